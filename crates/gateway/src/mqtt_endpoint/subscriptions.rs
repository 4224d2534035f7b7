//! What one connection has subscribed to, and the alerts on their way to it.
//!
//! Only filters below [`ALERTS_ROOT`] are granted, at most at QoS 1. A SUBSCRIBE is answered when the session's filters
//! are durable and the board is live: what fires now is then complete. Invariant: answers leave in the order of arrival.

use std::collections::VecDeque;

use model::proto::SessionFilter;

use super::config::EndpointConfig;
use super::identity::Identity;
use super::session::ClientSession;
use crate::alert_board::{AlertBoard, AlertSubscriber, AlertSubscription, Delivery};
use crate::mqtt::encode::{self, Outgoing};
use crate::mqtt::{PacketError, Qos, ReasonCode, Subscribe, SubscriptionRequest, Version, topic};

/// Everything that may be subscribed to lies below.
pub const ALERTS_ROOT: &str = "urban-neuron/v1/alerts";

/// Bytes that may wait to be written before further alerts stay in the queue.
const OUT_BYTES_MAX: usize = 64 << 10;

pub(super) struct Subscriptions {
    version: Version,
    packet_bytes_max: u32,
    board: AlertBoard,
    subscriber: Option<AlertSubscriber>,
    waiting: VecDeque<Waiting>,
    waiting_max: usize,
    /// Changes that were answered and not made yet: one snapshot of retained messages is held at a time.
    answered: VecDeque<Change>,
    /// What was retained under a new filter; it comes before what the board queued since.
    retained: VecDeque<Delivery>,
    /// Packet ids of QoS 1 alerts that the client has not acknowledged.
    in_flight: Vec<u16>,
    in_flight_max: usize,
    last_packet_id: u16,
}

/// Changes that take effect together, with their answer.
struct Waiting {
    /// The flush that makes the session's filters durable; `None` when there is nothing to wait for.
    flush: Option<u64>,
    answer: Vec<u8>,
    changes: Vec<Change>,
}

enum Change {
    Add { subscription: AlertSubscription, with_retained: bool },
    Remove(String),
}

impl Subscriptions {
    pub(super) fn new(
        config: &EndpointConfig,
        board: AlertBoard,
        version: Version,
        receive_maximum: u16,
        packet_bytes_max: u32,
    ) -> Self {
        Subscriptions {
            version,
            packet_bytes_max,
            board,
            subscriber: None,
            waiting: VecDeque::new(),
            waiting_max: config.subscribes_waiting_max,
            answered: VecDeque::new(),
            retained: VecDeque::new(),
            in_flight: Vec::new(),
            in_flight_max: usize::from(receive_maximum.min(config.deliveries_in_flight_max)),
            last_packet_id: 0,
        }
    }

    /// Puts the filters of a resumed session in force again.
    pub(super) fn resume(&mut self, filters: &[SessionFilter], wake: impl Fn() + Send + Sync + 'static) {
        if filters.is_empty() {
            return;
        }
        let add =
            |filter: &SessionFilter| Change::Add { subscription: subscription(filter), with_retained: true };
        self.join(wake);
        self.waiting.push_back(Waiting {
            flush: None,
            answer: Vec::new(),
            changes: filters.iter().map(add).collect(),
        });
    }

    fn join(&mut self, wake: impl Fn() + Send + Sync + 'static) {
        let board = &self.board;
        self.subscriber.get_or_insert_with(|| board.subscriber(wake));
    }

    fn wait(&mut self, waiting: Waiting) -> Result<(), PacketError> {
        if self.waiting.len() >= self.waiting_max {
            let what = "too many SUBSCRIBE packets wait for their answer";
            return Err(PacketError { reason: ReasonCode::QUOTA_EXCEEDED, what });
        }
        self.waiting.push_back(waiting);
        Ok(())
    }

    /// Takes a SUBSCRIBE that was granted by [`grant`]; `flush` carries the session's new filters.
    ///
    /// # Errors
    /// Too many wait already.
    pub(super) fn subscribe(
        &mut self,
        packet_id: u16,
        granted: Granted,
        flush: Option<u64>,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Result<(), PacketError> {
        if !granted.added.is_empty() {
            self.join(wake);
        }
        let mut answer = Vec::new();
        encode::put_suback(&mut answer, self.version, packet_id, &granted.codes);
        let add = |(filter, with_retained): (SessionFilter, bool)| Change::Add {
            subscription: subscription(&filter),
            with_retained,
        };
        self.wait(Waiting { flush, answer, changes: granted.added.into_iter().map(add).collect() })
    }

    /// Takes an UNSUBSCRIBE whose filters have left the session.
    ///
    /// # Errors
    /// Too many wait already.
    pub(super) fn unsubscribe(
        &mut self,
        packet_id: u16,
        filters: &[&str],
        codes: &[ReasonCode],
        flush: Option<u64>,
    ) -> Result<(), PacketError> {
        let mut answer = Vec::new();
        encode::put_unsuback(&mut answer, self.version, packet_id, codes);
        let changes = filters.iter().map(|filter| Change::Remove((*filter).to_owned())).collect();
        self.wait(Waiting { flush, answer, changes })
    }

    /// The client has an alert of QoS 1.
    pub(super) fn acknowledge(&mut self, packet_id: u16) {
        if let Some(at) = self.in_flight.iter().position(|in_flight| *in_flight == packet_id) {
            self.in_flight.swap_remove(at);
        }
    }

    /// Moves what can be said now to `out`.
    ///
    /// # Errors
    /// The client did not keep up, and has missed an alert.
    pub(super) fn advance(
        &mut self,
        is_durable: impl Fn(u64) -> bool,
        out: &mut Vec<u8>,
    ) -> Result<(), PacketError> {
        loop {
            self.answer(&is_durable, out);
            if self.subscriber.as_ref().is_some_and(AlertSubscriber::is_overflowed) {
                let what = "the client does not keep up with the alerts";
                return Err(PacketError { reason: ReasonCode::QUOTA_EXCEEDED, what });
            }
            if out.len() >= OUT_BYTES_MAX || self.in_flight.len() >= self.in_flight_max {
                return Ok(());
            }
            match self.next_delivery() {
                Some(delivery) => self.deliver(&delivery, out),
                None => return Ok(()),
            }
        }
    }

    fn answer(&mut self, is_durable: impl Fn(u64) -> bool, out: &mut Vec<u8>) {
        let is_live = self.board.is_live();
        let is_ready = |waiting: &mut Waiting| {
            let adds = waiting.changes.iter().any(|change| matches!(change, Change::Add { .. }));
            (is_live || !adds) && waiting.flush.is_none_or(&is_durable)
        };
        while self.answered.is_empty() {
            let Some(waiting) = self.waiting.pop_front_if(is_ready) else { break };
            out.extend_from_slice(&waiting.answer);
            self.answered.extend(waiting.changes);
            self.make_changes();
        }
    }

    /// Makes answered changes until one brings retained messages.
    fn make_changes(&mut self) {
        while self.retained.is_empty()
            && let Some(change) = self.answered.pop_front()
        {
            let Some(subscriber) = &self.subscriber else { continue };
            match change {
                Change::Add { subscription, with_retained } => {
                    self.retained = subscriber.subscribe(subscription, with_retained).into();
                }
                Change::Remove(filter) => {
                    subscriber.unsubscribe(&filter);
                }
            }
        }
    }

    fn next_delivery(&mut self) -> Option<Delivery> {
        if self.retained.is_empty() {
            self.make_changes();
        }
        self.retained.pop_front().or_else(|| self.subscriber.as_ref()?.next_delivery())
    }

    fn deliver(&mut self, delivery: &Delivery, out: &mut Vec<u8>) {
        let packet_id = match delivery.qos {
            Qos::AtMostOnce => 0,
            Qos::AtLeastOnce | Qos::ExactlyOnce => self.next_packet_id(),
        };
        let outgoing = Outgoing {
            topic: &delivery.message.mqtt_topic,
            payload: &delivery.message.payload,
            qos: delivery.qos,
            is_retain: delivery.is_retain,
            packet_id,
            subscription_identifiers: &delivery.subscription_identifiers,
            user_properties: &delivery.message.user_properties,
        };
        let is_said = encode::put_publish(out, self.version, &outgoing, self.packet_bytes_max);
        if is_said && packet_id != 0 {
            self.in_flight.push(packet_id);
        }
    }

    /// The next id that is not in flight. There is one: far fewer than 65,535 are.
    fn next_packet_id(&mut self) -> u16 {
        loop {
            self.last_packet_id = self.last_packet_id.checked_add(1).unwrap_or(1);
            if !self.in_flight.contains(&self.last_packet_id) {
                return self.last_packet_id;
            }
        }
    }
}

fn subscription(filter: &SessionFilter) -> AlertSubscription {
    AlertSubscription {
        filter: filter.filter.clone(),
        qos: if filter.qos == 0 { Qos::AtMostOnce } else { Qos::AtLeastOnce },
        is_retain_as_published: filter.retain_as_published,
        subscription_identifier: (filter.subscription_identifier != 0)
            .then_some(filter.subscription_identifier),
    }
}

/// What became of a SUBSCRIBE.
pub(super) struct Granted {
    /// One a filter.
    codes: Vec<ReasonCode>,
    /// What was added to the session's filters, and whether its retained messages are to be sent.
    added: Vec<(SessionFilter, bool)>,
}

impl Granted {
    /// The first filter of the SUBSCRIBE that its sender may not have.
    pub(super) fn first_not_authorized<'a>(&self, subscribe: &Subscribe<'a>) -> Option<&'a str> {
        let at = self.codes.iter().position(|code| *code == ReasonCode::NOT_AUTHORIZED)?;
        subscribe.requests.get(at).map(|request| request.filter)
    }

    /// Whether the session's filters changed.
    pub(super) fn has_changes(&self) -> bool {
        !self.added.is_empty()
    }
}

/// Decides a SUBSCRIBE filter by filter and adds what is granted to the session's filters.
pub(super) fn grant(
    config: &EndpointConfig,
    session: &mut ClientSession,
    subscribe: &Subscribe<'_>,
) -> Granted {
    let ClientSession { filters, identity, .. } = session;
    let mut granted = Granted { codes: Vec::new(), added: Vec::new() };
    for request in &subscribe.requests {
        let known = filters.iter().position(|known| known.filter == request.filter);
        let code = decide(config, identity, request, known.is_some(), filters.len());
        if let Ok(qos) = code {
            let filter = SessionFilter {
                filter: request.filter.to_owned(),
                qos: u32::from(qos.bits()),
                retain_as_published: request.is_retain_as_published,
                subscription_identifier: subscribe.subscription_identifier.unwrap_or(0),
                retain_handling: u32::from(request.retain_handling),
            };
            let with_retained = match request.retain_handling {
                0 => true,
                1 => known.is_none(),
                _ => false,
            };
            match known {
                Some(at) => filters[at] = filter.clone(),
                None => filters.push(filter.clone()),
            }
            granted.added.push((filter, with_retained));
        }
        granted.codes.push(code.map_or_else(|reason| reason, |qos| ReasonCode(qos.bits())));
    }
    granted
}

fn decide(
    config: &EndpointConfig,
    identity: &Identity,
    request: &SubscriptionRequest<'_>,
    is_known: bool,
    filter_count: usize,
) -> Result<Qos, ReasonCode> {
    let filter = request.filter;
    if filter == "$share" || filter.starts_with("$share/") {
        return Err(ReasonCode::SHARED_SUBSCRIPTIONS_NOT_SUPPORTED);
    }
    if !topic::is_valid_filter(filter) || filter.len() > config.topic_bytes_max {
        return Err(ReasonCode::TOPIC_FILTER_INVALID);
    }
    if !topic::is_within(filter, ALERTS_ROOT) || !identity.may_subscribe(filter) {
        return Err(ReasonCode::NOT_AUTHORIZED);
    }
    if !is_known && filter_count >= config.subscriptions_max {
        return Err(ReasonCode::QUOTA_EXCEEDED);
    }
    Ok(request.qos.min(Qos::AtLeastOnce))
}
