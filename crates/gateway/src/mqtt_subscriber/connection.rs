//! One connection to the broker, from CONNACK to its end, and everything that must not outlive it.

use std::time::Duration;

use futures_util::FutureExt;
use model::{Adapter, RawMessage};
use rumqttc::{
    ConnectionError, Disconnect, Event, EventLoop, MqttOptions, Packet, PingReq, PubAck, Publish, QoS,
    Request, StateError, SubAck, Subscribe, SubscribeReasonCode,
};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until, timeout, timeout_at};

use super::config::SubscriberConfig;
use super::in_flight::InFlight;
use super::status::{Board, Turn};
use crate::intake::{Intake, IntakeError};

/// Reads of the socket in one turn, of at most 10 packets each, before anything else is looked after.
const READS_MAX: usize = 32;
/// Messages that are flushed although the flush before them is not durable yet.
const FLUSH_MESSAGES: usize = 256;
/// How soon a broker that refused a filter is asked again: someone may have allowed it meanwhile.
const RESUBSCRIBE_INTERVAL: Duration = Duration::from_secs(60);

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Lost {
    #[error(transparent)]
    Connection(Box<ConnectionError>),
    #[error(transparent)]
    State(#[from] StateError),
    #[error("the broker does not read what is sent to it")]
    Stalled,
    #[error(
        "the broker sent a message of QoS 2, which was not asked for: another client uses this client id"
    )]
    UnexpectedQos2,
    /// The messages that are not durable stay unacknowledged.
    #[error(transparent)]
    Log(#[from] IntakeError),
}

impl From<ConnectionError> for Lost {
    fn from(error: ConnectionError) -> Self {
        Lost::Connection(Box::new(error))
    }
}

/// What a connection needs of its subscriber.
pub(super) struct Surroundings<'a> {
    pub(super) config: &'a SubscriberConfig,
    pub(super) options: &'a MqttOptions,
    /// The broker, as it stands in telemetry.
    pub(super) publisher: &'a str,
    pub(super) board: &'a Board,
    /// Rung by the intake.
    pub(super) signal: &'a Notify,
    pub(super) now_us: &'a dyn Fn() -> i64,
}

/// An open connection.
pub(super) struct Connection<'a> {
    around: Surroundings<'a>,
    event_loop: EventLoop,
    in_flight: InFlight,
    turn: Turn,
    acknowledged: u64,
    /// Filters of the SUBSCRIBE that is not answered yet, in its order.
    asked: Vec<String>,
    resubscribe_at: Option<Instant>,
    is_subscribed: bool,
}

impl<'a> Connection<'a> {
    /// Connects. `is_subscribed`: the broker has accepted all filters before in this process, so that a session which is
    /// still there needs no SUBSCRIBE (it would bring every retained message again).
    pub(super) async fn open(around: Surroundings<'a>, is_subscribed: bool) -> Result<Self, Lost> {
        const NO_REQUESTS: usize = 1;
        let mut event_loop = EventLoop::new(around.options.clone(), NO_REQUESTS);
        event_loop.network_options.set_connection_timeout(around.config.network_timeout.as_secs());
        let connected = event_loop.poll().await?;
        let is_session_present =
            matches!(connected, Event::Incoming(Packet::ConnAck(ack)) if ack.session_present);
        around.board.connected();
        tracing::info!(broker = around.publisher, is_session_present, "mqtt subscriber connected");
        let mut connection = Connection {
            around,
            event_loop,
            in_flight: InFlight::default(),
            turn: Turn::default(),
            acknowledged: 0,
            asked: Vec::new(),
            resubscribe_at: None,
            is_subscribed: is_subscribed && is_session_present,
        };
        if !connection.is_subscribed {
            connection.subscribe().await?;
        }
        Ok(connection)
    }

    pub(super) fn is_subscribed(&self) -> bool {
        self.is_subscribed
    }

    /// Messages acknowledged so far: what says that the connection was of use.
    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Takes messages until `stop` gives a deadline; then acknowledges what becomes durable before it, and disconnects.
    pub(super) async fn serve<I: Intake>(
        &mut self,
        intake: &mut I,
        stop: &mut watch::Receiver<Option<Instant>>,
    ) -> Result<(), Lost> {
        let mut pings = interval(self.around.config.keep_alive / 2);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let deadline = self.turn(intake, stop, &mut pings).await?;
            self.settle(intake).await?;
            if let Some(deadline) = deadline {
                return self.drain(intake, deadline).await;
            }
        }
    }

    /// Waits for what comes first and takes it; gives the deadline once it is to stop.
    async fn turn<I: Intake>(
        &mut self,
        intake: &mut I,
        stop: &mut watch::Receiver<Option<Instant>>,
        pings: &mut Interval,
    ) -> Result<Option<Instant>, Lost> {
        let may_read = self.has_room(intake);
        let resubscribe_at = self.resubscribe_at;
        tokio::select! {
            // Dropping this future loses nothing: no request of ours is in it, it only ever waits for bytes.
            event = self.event_loop.poll(), if may_read => match event {
                Ok(event) => {
                    self.take(event, intake)?;
                    self.take_what_is_there(intake)?;
                }
                Err(error) => {
                    self.rescue_qos_0(intake);
                    return Err(error.into());
                }
            },
            () = self.around.signal.notified() => {}
            _ = pings.tick(), if !may_read => self.ping().await?,
            () = sleep_until(resubscribe_at.unwrap_or_else(Instant::now)), if resubscribe_at.is_some() => {
                self.subscribe().await?;
            }
            deadline = stop.wait_for(Option::is_some) => match deadline {
                Ok(deadline) => return Ok(*deadline),
                // Dropped without a stop: it serves on, as its documentation says.
                Err(_) => std::future::pending().await,
            },
        }
        Ok(None)
    }

    fn has_room<I: Intake>(&self, intake: &I) -> bool {
        intake.has_room() && self.in_flight.len() < usize::from(self.around.config.in_flight_max)
    }

    fn take_what_is_there<I: Intake>(&mut self, intake: &mut I) -> Result<(), Lost> {
        for _ in 0..READS_MAX {
            // What has been read is taken whatever the room: rumqttc holds it for nobody else.
            while let Some(event) = self.event_loop.state.events.pop_front() {
                self.take(event, intake)?;
            }
            if !self.has_room(intake) {
                return Ok(());
            }
            match self.event_loop.poll().now_or_never() {
                Some(Ok(event)) => self.take(event, intake)?,
                Some(Err(error)) => {
                    self.rescue_qos_0(intake);
                    return Err(error.into());
                }
                None => return Ok(()),
            }
        }
        Ok(())
    }

    fn take<I: Intake>(&mut self, event: Event, intake: &mut I) -> Result<(), Lost> {
        match event {
            Event::Incoming(Packet::Publish(publish)) => self.take_message(&publish, intake),
            Event::Incoming(Packet::SubAck(answer)) => {
                self.take_answer(&answer);
                Ok(())
            }
            Event::Incoming(_) | Event::Outgoing(_) => Ok(()),
        }
    }

    fn take_message<I: Intake>(&mut self, publish: &Publish, intake: &mut I) -> Result<(), Lost> {
        let packet_id = match publish.qos {
            QoS::AtMostOnce => None,
            QoS::AtLeastOnce => Some(publish.pkid),
            QoS::ExactlyOnce => return Err(Lost::UnexpectedQos2),
        };
        self.turn.received[usize::from(packet_id.is_some())] += 1;
        if publish.size() > self.around.config.packet_bytes_max {
            self.turn.refused += 1;
            tracing::error!(
                broker = self.around.publisher,
                topic = publish.topic,
                bytes = publish.size(),
                limit_bytes = self.around.config.packet_bytes_max,
                "mqtt message over the limit dropped"
            );
        } else {
            intake.push(&RawMessage {
                adapter: Adapter::MqttSubscriber,
                topic: &publish.topic,
                payload: &publish.payload,
                publisher: self.around.publisher,
                content_type: "",
                packet_id: packet_id.map(u32::from),
                is_redelivered: publish.dup,
                is_retained: publish.retain,
                is_will: false,
                received_at_us: (self.around.now_us)(),
            });
        }
        // One that was refused is acknowledged in its turn too, so it stands in the same queue.
        self.in_flight.push(packet_id);
        Ok(())
    }

    /// The connection is lost. What was read of QoS 1 before that comes again, what was read of QoS 0 does not.
    fn rescue_qos_0<I: Intake>(&mut self, intake: &mut I) {
        while let Some(event) = self.event_loop.state.events.pop_front() {
            if let Event::Incoming(Packet::Publish(publish)) = event
                && publish.qos == QoS::AtMostOnce
            {
                self.take_message(&publish, intake).expect("only QoS 2 is an error");
            }
        }
    }

    fn take_answer(&mut self, answer: &SubAck) {
        let asked = std::mem::take(&mut self.asked);
        let wanted = self.around.config.filters().first().map_or(QoS::AtMostOnce, |filter| filter.qos);
        let is_served = |code: &SubscribeReasonCode| matches!(code, SubscribeReasonCode::Success(qos) if *qos as u8 >= wanted as u8);
        let answers = asked.into_iter().zip(&answer.return_codes);
        let refused: Vec<String> =
            answers.filter(|(_, code)| !is_served(code)).map(|(filter, _)| filter).collect();
        for filter in &refused {
            tracing::error!(
                broker = self.around.publisher,
                filter,
                "the broker does not serve this filter as asked for"
            );
        }
        self.is_subscribed = refused.is_empty();
        self.resubscribe_at = (!self.is_subscribed).then(|| Instant::now() + RESUBSCRIBE_INTERVAL);
        self.around.board.subscribed(self.is_subscribed, refused);
    }

    /// Acknowledges what is durable, and flushes. The log's own pace decides how much a flush carries: the next one goes
    /// out when the one before it is durable, or has become large.
    async fn settle<I: Intake>(&mut self, intake: &mut I) -> Result<(), Lost> {
        self.acknowledge(intake).await?;
        let unflushed = self.in_flight.unflushed();
        if unflushed > 0 && (!self.in_flight.is_any_sealed() || unflushed >= FLUSH_MESSAGES) {
            self.flush(intake);
        }
        self.note();
        Ok(())
    }

    /// Hands the counts of this turn on.
    pub(super) fn note(&mut self) {
        self.around.board.add(&mut self.turn, self.in_flight.len());
    }

    fn flush<I: Intake>(&mut self, intake: &mut I) {
        self.in_flight.seal(intake.flush());
        // It may be durable already, and the ring for that may have come before the seal.
        self.around.signal.notify_one();
    }

    async fn acknowledge<I: Intake>(&mut self, intake: &mut I) -> Result<(), Lost> {
        let durable = intake.durable()?;
        let Some(network) = &mut self.event_loop.network else { return Ok(()) };
        let mut count = 0;
        let acks = async {
            for packet_id in self.in_flight.settle(durable) {
                network.write(Packet::PubAck(PubAck::new(packet_id))).await?;
                count += 1;
            }
            if count > 0 { network.flush().await } else { Ok(()) }
        };
        let written = timeout(self.around.config.network_timeout, acks).await;
        self.turn.acknowledged += count;
        self.acknowledged += count;
        written.map_err(|_| Lost::Stalled)?.map_err(Lost::from)
    }

    async fn subscribe(&mut self) -> Result<(), Lost> {
        let filters = self.around.config.filters();
        self.asked = filters.iter().map(|filter| filter.path.clone()).collect();
        self.resubscribe_at = None;
        self.around.board.subscribed(false, Vec::new());
        self.send(Request::Subscribe(Subscribe::new_many(filters))).await
    }

    /// While the socket is not read, rumqttc cannot ping. The answers wait in the socket, so none is asked for.
    async fn ping(&mut self) -> Result<(), Lost> {
        self.event_loop.state.await_pingresp = false;
        self.send(Request::PingReq(PingReq)).await?;
        self.event_loop.state.await_pingresp = false;
        Ok(())
    }

    async fn send(&mut self, request: Request) -> Result<(), Lost> {
        let packet = self.event_loop.state.handle_outgoing_packet(request)?;
        if let (Some(packet), Some(network)) = (packet, &mut self.event_loop.network) {
            let sent = async {
                network.write(packet).await?;
                network.flush().await
            };
            timeout(self.around.config.network_timeout, sent).await.map_err(|_| Lost::Stalled)??;
        }
        Ok(())
    }

    async fn drain<I: Intake>(&mut self, intake: &mut I, deadline: Instant) -> Result<(), Lost> {
        self.flush(intake);
        while !self.in_flight.is_settled() {
            if timeout_at(deadline, self.around.signal.notified()).await.is_err() {
                tracing::warn!(
                    broker = self.around.publisher,
                    messages = self.in_flight.len(),
                    "the drain deadline passed: the broker keeps these messages"
                );
                break;
            }
            self.acknowledge(intake).await?;
        }
        self.note();
        self.send(Request::Disconnect(Disconnect)).await
    }
}

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        self.note();
        self.around.board.disconnected(self.in_flight.len());
    }
}
