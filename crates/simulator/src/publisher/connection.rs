//! One gateway's connection: opened as often as it takes, with what is not acknowledged in its hands.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rumqttc::{
    ConnectReturnCode, ConnectionError, Disconnect, Event, EventLoop, MqttOptions, Packet, Publish, QoS,
    Request, StateError,
};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::PublisherConfig;
use super::tally::Tally;
use crate::{Error, Message};

/// The wait before the first attempt to connect again; it doubles.
const RECONNECT_MIN: Duration = Duration::from_millis(50);
const RECONNECT_MAX: Duration = Duration::from_secs(5);

/// Sent, and not acknowledged.
struct InFlight {
    publish: Publish,
    message: Message,
    sent_at: Instant,
}

/// A gateway.
pub(super) struct Connection {
    options: MqttOptions,
    broker: String,
    in_flight_max: u16,
    queue: mpsc::Receiver<Message>,
    tally: Rc<RefCell<Tally>>,
    /// In the order in which they were sent.
    in_flight: VecDeque<InFlight>,
    last_packet_id: u16,
}

/// Why a session ended before its work was done.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error("{0}")]
    Connection(#[from] Box<ConnectionError>),
    #[error("{0}")]
    State(#[from] StateError),
    #[error("the broker does not read")]
    Stalled,
    /// Not the connection's fault: the whole run ends.
    #[error("{0}")]
    Fatal(#[from] Error),
}

impl Connection {
    pub(super) fn new(
        config: &PublisherConfig,
        number: u32,
        queue: mpsc::Receiver<Message>,
        tally: Rc<RefCell<Tally>>,
    ) -> Self {
        let client_id = format!("{}-{number}", config.client_id_prefix);
        let mut options = MqttOptions::new(client_id, config.broker.host.clone(), config.broker.port);
        options.set_clean_session(false).set_keep_alive(config.keep_alive);
        let in_flight_max = config.in_flight_max.max(1);
        options.set_inflight(in_flight_max);
        if let Some((name, password)) = &config.credentials {
            options.set_credentials(name, password);
        }
        Connection {
            options,
            broker: config.broker.to_string(),
            in_flight_max,
            queue,
            tally,
            in_flight: VecDeque::new(),
            last_packet_id: 0,
        }
    }

    /// Until the queue is closed and everything in it is acknowledged.
    pub(super) async fn run(mut self) -> Result<(), Error> {
        let mut wait = RECONNECT_MIN;
        loop {
            let (was_open, lost) = match self.open().await {
                Ok(mut event_loop) => {
                    self.tally.borrow_mut().connect();
                    let ended = self.serve(&mut event_loop).await;
                    self.tally.borrow_mut().disconnect();
                    match ended {
                        Ok(()) => return Ok(()),
                        Err(lost) => (true, lost),
                    }
                }
                Err(lost) => (false, lost),
            };
            if let Lost::Fatal(error) = lost {
                return Err(error);
            }
            tracing::debug!(client_id = self.options.client_id(), error = %lost, "connection lost, connecting again");
            self.tally.borrow_mut().trouble(was_open, lost.to_string());
            wait = if was_open { RECONNECT_MIN } else { (wait * 2).min(RECONNECT_MAX) };
            sleep(wait).await;
        }
    }

    /// A fresh event loop each time: nothing of an older connection can be carried into the next.
    async fn open(&self) -> Result<EventLoop, Lost> {
        const NO_REQUESTS: usize = 1;
        let mut event_loop = EventLoop::new(self.options.clone(), NO_REQUESTS);
        match event_loop.poll().await {
            Ok(_) => Ok(event_loop),
            Err(ConnectionError::ConnectionRefused(code)) if is_final(code) => {
                Err(Lost::Fatal(Error::Refused {
                    broker: self.broker.clone(),
                    client_id: self.options.client_id(),
                    code: format!("{code:?}"),
                }))
            }
            Err(error) => Err(Box::new(error).into()),
        }
    }

    async fn serve(&mut self, event_loop: &mut EventLoop) -> Result<(), Lost> {
        self.send_again(event_loop).await?;
        loop {
            let has_window = self.in_flight.len() < usize::from(self.in_flight_max);
            tokio::select! {
                // Dropping this is safe here: without requests of ours it only ever waits for bytes.
                event = event_loop.poll() => {
                    self.take(event.map_err(Box::new)?)?;
                    while let Some(event) = event_loop.state.events.pop_front() {
                        self.take(event)?;
                    }
                }
                message = self.queue.recv(), if has_window => match message {
                    Some(message) => self.send_many(event_loop, message).await?,
                    None if self.in_flight.is_empty() => return self.say_goodbye(event_loop).await,
                    None => self.wait_for_last(event_loop).await?,
                },
            }
        }
    }

    /// The queue is closed: only acknowledgements are still to come.
    async fn wait_for_last(&mut self, event_loop: &mut EventLoop) -> Result<(), Lost> {
        while !self.in_flight.is_empty() {
            let event = event_loop.poll().await.map_err(Box::new)?;
            self.take(event)?;
        }
        Ok(())
    }

    fn take(&mut self, event: Event) -> Result<(), Error> {
        let Event::Incoming(Packet::PubAck(ack)) = event else { return Ok(()) };
        // Servers acknowledge in order of arrival, so it is the first.
        let Some(at) = self.in_flight.iter().position(|sent| sent.publish.pkid == ack.pkid) else {
            return Ok(());
        };
        let acknowledged = self.in_flight.remove(at).expect("the position is that of an element");
        self.tally.borrow_mut().acknowledge(&acknowledged.message, acknowledged.sent_at)
    }

    async fn send_again(&mut self, event_loop: &mut EventLoop) -> Result<(), Lost> {
        for sent in &mut self.in_flight {
            sent.publish.dup = true;
            write(event_loop, Request::Publish(sent.publish.clone())).await?;
            self.tally.borrow_mut().resend();
        }
        flush(event_loop, self.options.keep_alive()).await
    }

    /// Sends `first` and what else waits, as far as the window goes, in one flush.
    async fn send_many(&mut self, event_loop: &mut EventLoop, first: Message) -> Result<(), Lost> {
        let mut next = Some(first);
        while let Some(message) = next {
            let mut publish = Publish::new(message.topic.clone(), QoS::AtLeastOnce, message.payload.clone());
            publish.pkid = self.free_packet_id();
            // It is in flight before it is written: a write that fails may have sent it.
            self.in_flight.push_back(InFlight { publish: publish.clone(), message, sent_at: Instant::now() });
            self.tally.borrow_mut().send();
            write(event_loop, Request::Publish(publish)).await?;
            let has_window = self.in_flight.len() < usize::from(self.in_flight_max);
            next = if has_window { self.queue.try_recv().ok() } else { None };
        }
        flush(event_loop, self.options.keep_alive()).await
    }

    /// Packet ids are chosen here, never by rumqttc: its own counter begins anew with each event loop, and would meet
    /// the ids of what is sent again.
    fn free_packet_id(&mut self) -> u16 {
        loop {
            self.last_packet_id = self.last_packet_id % self.in_flight_max + 1;
            if !self.in_flight.iter().any(|sent| sent.publish.pkid == self.last_packet_id) {
                return self.last_packet_id;
            }
        }
    }

    async fn say_goodbye(&self, event_loop: &mut EventLoop) -> Result<(), Lost> {
        write(event_loop, Request::Disconnect(Disconnect)).await?;
        flush(event_loop, self.options.keep_alive()).await
    }
}

/// The credentials or the name are wrong, and will be the next time.
fn is_final(code: ConnectReturnCode) -> bool {
    matches!(
        code,
        ConnectReturnCode::BadUserNamePassword
            | ConnectReturnCode::NotAuthorized
            | ConnectReturnCode::BadClientId
            | ConnectReturnCode::RefusedProtocolVersion
    )
}

/// Puts a packet into the write buffer. rumqttc's request channel is not used: it flushes once a packet.
async fn write(event_loop: &mut EventLoop, request: Request) -> Result<(), Lost> {
    if let (Some(packet), Some(network)) =
        (event_loop.state.handle_outgoing_packet(request)?, &mut event_loop.network)
    {
        network.write(packet).await?;
    }
    Ok(())
}

async fn flush(event_loop: &mut EventLoop, patience: Duration) -> Result<(), Lost> {
    match &mut event_loop.network {
        Some(network) => Ok(timeout(patience, network.flush()).await.map_err(|_| Lost::Stalled)??),
        None => Err(Lost::Stalled),
    }
}
