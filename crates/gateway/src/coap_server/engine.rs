//! One thread's server without its sockets: datagrams and times in, datagrams out.
//!
//! Invariants: a response to what the intake was handed leaves only when its flush is durable; a message of which a repeat
//! comes is handed on once; no answer is larger than its request.

use model::{Adapter, RawMessage};
use tokio::time::Instant;

use super::config::CoapConfig;
use super::counters::Meters;
use super::exchanges::{ExchangeKey, Exchanges, Seen};
use super::flights::{Flight, Flights};
use super::outbox::Outbox;
use super::remote::Remote;
use super::reply::{Extra, Reply};
use super::request::Request;
use super::separate::Separates;
use super::uploads::{BlockPart, Progress, UploadKey, UploadLimits, Uploads};
use crate::coap::{Code, FormatError, Message, MessageType, Token};
use crate::intake::{Intake, IntakeError};

/// Who publishes, as far as events are concerned: a device's address changes with its network's mood, and its path names it.
const PUBLISHER: &str = "coap";

pub(super) struct Engine<I> {
    config: CoapConfig,
    /// `None` while the log has failed and gives no new one.
    intake: Option<I>,
    exchanges: Exchanges,
    uploads: Uploads,
    flights: Flights,
    separates: Separates,
    unflushed_bytes: usize,
    /// When the open flush must go out at the latest.
    flush_due: Option<Instant>,
    /// Message id of our next own message; peers acknowledge it.
    next_message_id: u16,
    topic: String,
    pub(super) out: Outbox,
    pub(super) meters: Meters,
}

/// Where a request that arrived stands.
#[derive(Clone, Copy)]
struct Arrival {
    key: ExchangeKey,
    is_confirmable: bool,
    token: Token,
    request_bytes: u16,
    received_at_us: i64,
    now: Instant,
}

impl Arrival {
    fn reply(&self, code: Code, extra: Extra) -> Reply {
        Reply { code, token: self.token, extra, request_bytes: self.request_bytes }
    }
}

/// What is to become of a request that the intake does not get.
type Refusal = (Code, Extra);

impl<I: Intake> Engine<I> {
    pub(super) fn new(config: CoapConfig, intake: I, meters: Meters, now: Instant) -> Self {
        let limits = UploadLimits {
            body_bytes_max: config.body_bytes_max,
            uploads_max: config.uploads_max,
            uploads_of_peer_max: config.uploads_of_peer_max,
            bytes_max: config.upload_bytes_max,
            timeout: config.upload_timeout,
        };
        Engine {
            exchanges: Exchanges::new(config.exchanges_max, now),
            uploads: Uploads::new(limits),
            flights: Flights::default(),
            separates: Separates::new(config.separates_max),
            intake: Some(intake),
            unflushed_bytes: 0,
            flush_due: None,
            next_message_id: first_message_id(),
            topic: String::new(),
            out: Outbox::default(),
            meters,
            config,
        }
    }

    /// Takes a datagram.
    pub(super) fn datagram(&mut self, remote: Remote, datagram: &[u8], received_at_us: i64, now: Instant) {
        let message = match Message::parse(datagram) {
            Ok(message) => message,
            Err(error) => return self.malformed(remote, datagram, error),
        };
        let key = ExchangeKey { remote, message_id: message.message_id };
        match message.message_type {
            MessageType::Confirmable | MessageType::NonConfirmable if message.code.is_request() => {
                let arrival = Arrival {
                    key,
                    is_confirmable: message.message_type == MessageType::Confirmable,
                    token: message.token,
                    request_bytes: u16::try_from(datagram.len()).unwrap_or(u16::MAX),
                    received_at_us,
                    now,
                };
                self.request(arrival, &message);
            }
            // A ping (section 4.3), or a response that nobody waits for.
            MessageType::Confirmable => self.reset(key),
            MessageType::Acknowledgement | MessageType::Reset => self.separates.acknowledged(&key),
            MessageType::NonConfirmable => {}
        }
    }

    fn malformed(&mut self, remote: Remote, datagram: &[u8], error: FormatError) {
        self.meters.malformed();
        tracing::debug!(peer = %remote.address, %error, "not a coap message");
        if let Ok((MessageType::Confirmable, message_id)) = Message::header(datagram) {
            self.reset(ExchangeKey { remote, message_id });
        }
    }

    fn reset(&mut self, key: ExchangeKey) {
        self.out.put(key.remote, MessageType::Reset, key.message_id, &Reply::empty());
    }

    fn request(&mut self, arrival: Arrival, message: &Message<'_>) {
        match self.exchanges.admit(arrival.key, arrival.is_confirmable, arrival.now) {
            Seen::New => {}
            Seen::Waiting => return self.meters.repeated(),
            Seen::Answered(reply) => {
                self.meters.repeated();
                return self.out.put(
                    arrival.key.remote,
                    MessageType::Acknowledgement,
                    arrival.key.message_id,
                    &reply,
                );
            }
        }
        let request = match Request::read(message) {
            Ok(request) => request,
            Err(code) => {
                self.meters.refused(code);
                // Section 5.4.1: a non-confirmable message that cannot be understood is dropped.
                if arrival.is_confirmable {
                    self.answer(&arrival, None, arrival.reply(code, Extra::None));
                }
                return;
            }
        };
        match self.take(&arrival, &request, message) {
            Ok(None) => {}
            Ok(Some(reply)) => self.answer(&arrival, Some(&request), reply),
            Err((code, extra)) => {
                self.meters.refused(code);
                self.answer(&arrival, Some(&request), arrival.reply(code, extra));
            }
        }
    }

    /// Hands a request on; `None` when its answer waits for durability.
    fn take(
        &mut self,
        arrival: &Arrival,
        request: &Request<'_>,
        message: &Message<'_>,
    ) -> Result<Option<Reply>, Refusal> {
        let device = request.device().ok_or((Code::NOT_FOUND, Extra::None))?;
        if !matches!(request.code, Code::POST | Code::PUT) {
            return Err((Code::METHOD_NOT_ALLOWED, Extra::None));
        }
        let content_type = request.content_type().ok_or((Code::UNSUPPORTED_CONTENT_FORMAT, Extra::None))?;
        if self.flights.len() >= self.config.in_flight_max
            || !self.intake.as_ref().is_some_and(Intake::has_room)
        {
            return Err(self.overload());
        }
        let Some(block) = request.block1 else {
            if message.payload.len() > self.config.body_bytes_max {
                return Err((Code::REQUEST_ENTITY_TOO_LARGE, self.uploads.size_max()));
            }
            self.push(arrival, request, device, content_type, message.payload, Extra::None);
            return Ok(None);
        };
        let part = BlockPart {
            block,
            body_bytes: request.size1,
            content_format: request.content_format,
            payload: message.payload,
        };
        let key = UploadKey::new(arrival.key.remote, message.options);
        match self.uploads.take(key, part, arrival.now) {
            Progress::Continue => Ok(Some(arrival.reply(Code::CONTINUE, Extra::Block1(block)))),
            Progress::Whole(body) => {
                self.push(arrival, request, device, content_type, &body, Extra::Block1(block));
                Ok(None)
            }
            Progress::NoRoom => Err(self.overload()),
            Progress::Refused(code, extra) => Err((code, extra)),
        }
    }

    fn overload(&self) -> Refusal {
        let seconds = u32::try_from(self.config.retry_after.as_secs()).unwrap_or(u32::MAX);
        (Code::SERVICE_UNAVAILABLE, Extra::MaxAge(seconds))
    }

    fn push(
        &mut self,
        arrival: &Arrival,
        request: &Request<'_>,
        device: &str,
        content_type: &str,
        body: &[u8],
        extra: Extra,
    ) {
        self.topic.clear();
        for part in ["urban-neuron/v1/devices/", device, "/telemetry"] {
            self.topic.push_str(part);
        }
        let message = RawMessage {
            adapter: Adapter::Coap,
            topic: &self.topic,
            payload: body,
            publisher: PUBLISHER,
            content_type,
            packet_id: Some(arrival.key.remote.packet_id(arrival.key.message_id, &arrival.token)),
            is_redelivered: self.exchanges.may_have_forgotten(arrival.now),
            is_retained: false,
            is_will: false,
            received_at_us: arrival.received_at_us,
        };
        let reason = self.intake.as_mut().and_then(|intake| intake.push(&message));
        self.meters.received(arrival.is_confirmable);
        if self.flush_due.is_none() {
            self.flush_due = Some(arrival.now + self.config.flush_interval);
        }
        self.unflushed_bytes += body.len();
        let reply = match reason {
            None => arrival.reply(Code::CHANGED, extra),
            Some(reason) => arrival.reply(Code::BAD_REQUEST, Extra::Diagnostic(reason)),
        };
        self.flights.push(Flight {
            key: arrival.key,
            is_confirmable: arrival.is_confirmable,
            reply,
            is_unwanted: request.is_unwanted(reply.code),
            is_separate: false,
            arrived_at: arrival.now,
        });
    }

    /// Answers a request at once.
    fn answer(&mut self, arrival: &Arrival, request: Option<&Request<'_>>, reply: Reply) {
        let is_unwanted = request.is_some_and(|request| request.is_unwanted(reply.code));
        let flight = Flight {
            key: arrival.key,
            is_confirmable: arrival.is_confirmable,
            reply,
            is_unwanted,
            is_separate: false,
            arrived_at: arrival.now,
        };
        self.respond(&flight, arrival.now);
    }

    fn respond(&mut self, flight: &Flight, now: Instant) {
        let Flight { key, reply, is_confirmable, is_unwanted, is_separate, .. } = flight;
        match (is_confirmable, is_separate) {
            (true, false) => {
                // RFC 7967 section 2.1: the acknowledgement leaves also when the response is not wanted.
                let reply = if *is_unwanted { Reply::empty() } else { *reply };
                let copies = self.exchanges.answer(key, reply);
                for _ in 0..=copies {
                    self.out.put(key.remote, MessageType::Acknowledgement, key.message_id, &reply);
                }
            }
            (true, true) => self.respond_apart(key.remote, *reply, now),
            (false, _) if *is_unwanted => {}
            (false, _) => {
                let message_id = self.take_message_id();
                self.out.put(key.remote, MessageType::NonConfirmable, message_id, reply);
            }
        }
    }

    fn respond_apart(&mut self, remote: Remote, reply: Reply, now: Instant) {
        let message_id = self.take_message_id();
        self.out.put(remote, MessageType::Confirmable, message_id, &reply);
        self.separates.sent(ExchangeKey { remote, message_id }, reply, now);
    }

    fn take_message_id(&mut self) -> u16 {
        self.next_message_id = self.next_message_id.wrapping_add(1);
        self.next_message_id
    }

    /// Moves on what waits: durability, flushes, late answers.
    ///
    /// # Errors
    /// The log failed: nothing that is not durable is answered, and [`Engine::reopen`] is wanted.
    pub(super) fn advance(&mut self, now: Instant) -> Result<(), IntakeError> {
        self.settle(now)?;
        let is_due = self.flush_due.is_some_and(|due| due <= now);
        let is_large = self.unflushed_bytes >= self.config.flush_bytes;
        if self.flights.is_dirty() && (!self.flights.is_any_sealed() || is_large || is_due) {
            if let Some(intake) = &mut self.intake {
                self.flights.seal(intake.flush());
            }
            self.flush_due = None;
            self.unflushed_bytes = 0;
            // It may be durable already, and the wake for that may have come before.
            self.settle(now)?;
        }
        self.say_that_answers_come_apart(now);
        while let Some((key, reply)) = self.separates.pop_due(now) {
            self.out.put(key.remote, MessageType::Confirmable, key.message_id, &reply);
        }
        self.meters.exchanges.set(self.exchanges.len());
        self.meters.upload_bytes.set(self.uploads.bytes());
        self.meters.in_flight.set(self.flights.len());
        Ok(())
    }

    fn settle(&mut self, now: Instant) -> Result<(), IntakeError> {
        let Some(intake) = &mut self.intake else { return Ok(()) };
        match intake.durable() {
            Ok(ticket) => {
                let mut flights = std::mem::take(&mut self.flights);
                let mut count = 0;
                for flight in flights.settle(ticket) {
                    self.meters.answer_latency.record(now - flight.arrived_at);
                    self.respond(&flight, now);
                    count += 1;
                }
                self.flights = flights;
                if count > 0 {
                    self.meters.answered(count);
                }
                Ok(())
            }
            Err(error) => {
                self.fail(now);
                Err(error)
            }
        }
    }

    /// A client that is not told anything for 2 s sends again: it is told that the answer will come.
    fn say_that_answers_come_apart(&mut self, now: Instant) {
        for flight in self.flights.overdue(self.config.separate_after, now) {
            // Of what is not wanted the acknowledgement is all that is heard: it must not come early.
            if flight.is_confirmable && !flight.is_unwanted {
                flight.is_separate = true;
                self.meters.separate();
                let copies = self.exchanges.answer(&flight.key, Reply::empty());
                for _ in 0..=copies {
                    let key = flight.key;
                    self.out.put(key.remote, MessageType::Acknowledgement, key.message_id, &Reply::empty());
                }
            }
        }
    }

    fn fail(&mut self, now: Instant) {
        self.intake = None;
        self.flush_due = None;
        self.unflushed_bytes = 0;
        let (code, extra) = self.overload();
        let mut flights = std::mem::take(&mut self.flights);
        for flight in flights.fail() {
            // Who waits for its acknowledgement sends again; who has it would wait in vain.
            if flight.is_separate {
                self.respond_apart(flight.key.remote, Reply { code, extra, ..flight.reply }, now);
            }
            self.exchanges.forget(&flight.key);
        }
        self.flights = flights;
    }

    /// Goes on with a new intake after a failure.
    pub(super) fn reopen(&mut self, intake: I) {
        self.intake = Some(intake);
    }

    pub(super) fn has_intake(&self) -> bool {
        self.intake.is_some()
    }

    /// Nothing waits to be durable.
    pub(super) fn is_idle(&self) -> bool {
        self.flights.len() == 0
    }

    /// When [`Engine::advance`] is wanted at the latest.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let overdue = self.flights.next_overdue(self.config.separate_after);
        [self.flush_due, overdue, self.separates.next_due()].into_iter().flatten().min()
    }
}

/// Not the same in each process, so that a peer does not take a new message for one of an earlier process.
fn first_message_id() -> u16 {
    use std::hash::{BuildHasher, Hasher};
    std::hash::RandomState::new().build_hasher().finish() as u16
}
