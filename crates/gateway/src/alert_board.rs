//! What fires now, and who wants to know: the alerts that MQTT subscribers see.
//!
//! Owns the retained set and the queue of each subscriber; knows no rule, no connection and no packet. MQTT is state,
//! not history: a subscriber that cannot keep up loses its queue and its connection, and learns what fires now when it
//! comes back. Invariants: a subscriber gets the retained messages of a filter and then every later one, in the order of
//! publication; `publish` never blocks; both the retained set and the queues are bounded.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use metrics::{Counter, Gauge};
use parking_lot::Mutex;

use crate::mqtt::{Qos, topic};

/// Limits of the board.
#[derive(Clone, Copy, Debug)]
pub struct AlertBoardLimits {
    /// Retained messages, one a firing alert. Beyond it a new one is sent but not retained, and counted. Default 100,000.
    pub retained_max: usize,
    /// Messages that wait for one subscriber. One more closes its connection. Default 10,000.
    pub queue_messages_max: usize,
}

impl Default for AlertBoardLimits {
    fn default() -> Self {
        AlertBoardLimits { retained_max: 100_000, queue_messages_max: 10_000 }
    }
}

/// One alert message as published.
#[derive(Debug)]
pub struct AlertMessage {
    pub mqtt_topic: String,
    /// JSON; empty clears what was retained under the topic.
    pub payload: Bytes,
    pub user_properties: Vec<(String, String)>,
}

/// One alert message on its way to one subscriber.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub message: Arc<AlertMessage>,
    pub qos: Qos,
    pub is_retain: bool,
    /// Of all subscriptions that match.
    pub subscription_identifiers: Vec<u32>,
}

/// One filter of a subscriber.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertSubscription {
    /// A valid filter.
    pub filter: String,
    pub qos: Qos,
    pub is_retain_as_published: bool,
    pub subscription_identifier: Option<u32>,
}

/// The board, shared by those who publish alerts and by the endpoint. Cloning shares it.
#[derive(Clone)]
pub struct AlertBoard {
    shared: Arc<Shared>,
}

struct Shared {
    limits: AlertBoardLimits,
    is_live: AtomicBool,
    state: Mutex<State>,
    published: Counter,
    not_retained: Counter,
    retained: Gauge,
}

#[derive(Default)]
struct State {
    retained: BTreeMap<String, Arc<AlertMessage>>,
    subscribers: HashMap<u64, Entry>,
    next_id: u64,
}

struct Entry {
    subscriptions: Vec<AlertSubscription>,
    queue: Arc<Queue>,
}

struct Queue {
    waiting: Mutex<VecDeque<Delivery>>,
    len: AtomicU64,
    is_overflowed: AtomicBool,
    wake: Box<dyn Fn() + Send + Sync>,
}

impl Default for AlertBoard {
    fn default() -> Self {
        Self::new(AlertBoardLimits::default())
    }
}

impl AlertBoard {
    /// An empty board that is not live.
    pub fn new(limits: AlertBoardLimits) -> Self {
        metrics::gauge!("urban_neuron_alert_board_retained_limit_messages").set(limits.retained_max as f64);
        AlertBoard {
            shared: Arc::new(Shared {
                limits,
                is_live: AtomicBool::new(false),
                state: Mutex::default(),
                published: metrics::counter!("urban_neuron_alert_board_published_messages_total"),
                not_retained: metrics::counter!("urban_neuron_alert_board_not_retained_messages_total"),
                retained: metrics::gauge!("urban_neuron_alert_board_retained_messages"),
            }),
        }
    }

    /// Says a message to every subscriber whose filters match. `is_retained` keeps it for later subscribers; an empty
    /// payload then clears what was kept. Never blocks.
    pub fn publish(
        &self,
        mqtt_topic: &str,
        payload: Bytes,
        is_retained: bool,
        user_properties: Vec<(String, String)>,
    ) {
        let message = Arc::new(AlertMessage { mqtt_topic: mqtt_topic.to_owned(), payload, user_properties });
        self.shared.published.increment(1);
        let mut state = self.shared.state.lock();
        if is_retained {
            self.retain(&mut state, &message);
        }
        for entry in state.subscribers.values() {
            if let Some(delivery) = entry.delivery(&message, is_retained) {
                entry.queue.push(delivery, self.shared.limits.queue_messages_max);
            }
        }
    }

    fn retain(&self, state: &mut State, message: &Arc<AlertMessage>) {
        if message.payload.is_empty() {
            state.retained.remove(&message.mqtt_topic);
        } else if let Some(kept) = state.retained.get_mut(&message.mqtt_topic) {
            *kept = message.clone();
        } else if state.retained.len() < self.shared.limits.retained_max {
            state.retained.insert(message.mqtt_topic.clone(), message.clone());
        } else {
            self.shared.not_retained.increment(1);
        }
        self.shared.retained.set(state.retained.len() as f64);
    }

    /// Subscribers are answered only while the board is live: it then says all that fires.
    pub fn set_live(&self, is_live: bool) {
        self.shared.is_live.store(is_live, Ordering::Release);
        for entry in self.shared.state.lock().subscribers.values() {
            (entry.queue.wake)();
        }
    }

    pub fn is_live(&self) -> bool {
        self.shared.is_live.load(Ordering::Acquire)
    }

    /// Whether something is retained under the topic.
    pub fn is_retained(&self, mqtt_topic: &str) -> bool {
        self.shared.state.lock().retained.contains_key(mqtt_topic)
    }

    /// Retained messages now.
    pub fn retained_len(&self) -> usize {
        self.shared.state.lock().retained.len()
    }

    /// A subscriber without subscriptions; `wake` is called from any thread when there is something for it, or when the
    /// board became live.
    pub fn subscriber(&self, wake: impl Fn() + Send + Sync + 'static) -> AlertSubscriber {
        let queue = Arc::new(Queue {
            waiting: Mutex::default(),
            len: AtomicU64::new(0),
            is_overflowed: AtomicBool::new(false),
            wake: Box::new(wake),
        });
        let mut state = self.shared.state.lock();
        let id = state.next_id;
        state.next_id += 1;
        state.subscribers.insert(id, Entry { subscriptions: Vec::new(), queue: queue.clone() });
        AlertSubscriber { board: self.clone(), id, queue }
    }
}

impl Entry {
    /// One delivery however many of the filters match: with the greatest QoS and all identifiers.
    fn delivery(&self, message: &Arc<AlertMessage>, is_retained: bool) -> Option<Delivery> {
        let mut found: Option<Delivery> = None;
        for subscription in &self.subscriptions {
            if !topic::matches(&subscription.filter, &message.mqtt_topic) {
                continue;
            }
            let delivery = found.get_or_insert_with(|| Delivery {
                message: message.clone(),
                qos: subscription.qos,
                is_retain: false,
                subscription_identifiers: Vec::new(),
            });
            delivery.qos = delivery.qos.max(subscription.qos);
            delivery.is_retain |= is_retained && subscription.is_retain_as_published;
            delivery.subscription_identifiers.extend(subscription.subscription_identifier);
        }
        found
    }
}

impl Queue {
    fn push(&self, delivery: Delivery, queue_messages_max: usize) {
        let mut waiting = self.waiting.lock();
        if waiting.len() >= queue_messages_max {
            self.is_overflowed.store(true, Ordering::Release);
        } else {
            waiting.push_back(delivery);
            self.len.store(waiting.len() as u64, Ordering::Release);
        }
        drop(waiting);
        (self.wake)();
    }
}

/// One subscriber's place at the board; dropping it leaves.
pub struct AlertSubscriber {
    board: AlertBoard,
    id: u64,
    queue: Arc<Queue>,
}

impl AlertSubscriber {
    pub fn is_live(&self) -> bool {
        self.board.is_live()
    }

    /// Subscribes, in the place of an equal filter. With `with_retained` what is retained under the filter comes first.
    pub fn subscribe(&self, subscription: AlertSubscription, with_retained: bool) -> Vec<Delivery> {
        let mut state = self.board.shared.state.lock();
        let retained = if with_retained { state.retained_for(&subscription) } else { Vec::new() };
        if let Some(entry) = state.subscribers.get_mut(&self.id) {
            entry.subscriptions.retain(|other| other.filter != subscription.filter);
            entry.subscriptions.push(subscription);
        }
        retained
    }

    /// Whether there was such a filter.
    pub fn unsubscribe(&self, filter: &str) -> bool {
        let mut state = self.board.shared.state.lock();
        state.subscribers.get_mut(&self.id).is_some_and(|entry| {
            let before = entry.subscriptions.len();
            entry.subscriptions.retain(|other| other.filter != filter);
            entry.subscriptions.len() < before
        })
    }

    /// The next message, in the order of publication.
    pub fn next_delivery(&self) -> Option<Delivery> {
        if self.queue.len.load(Ordering::Acquire) == 0 {
            return None;
        }
        let mut waiting = self.queue.waiting.lock();
        let delivery = waiting.pop_front();
        self.queue.len.store(waiting.len() as u64, Ordering::Release);
        delivery
    }

    /// Whether a message found the queue full: the subscriber has missed something and must start anew.
    pub fn is_overflowed(&self) -> bool {
        self.queue.is_overflowed.load(Ordering::Acquire)
    }
}

impl State {
    fn retained_for(&self, subscription: &AlertSubscription) -> Vec<Delivery> {
        let matching = self
            .retained
            .values()
            .filter(|message| topic::matches(&subscription.filter, &message.mqtt_topic));
        matching
            .map(|message| Delivery {
                message: message.clone(),
                qos: subscription.qos,
                is_retain: true,
                subscription_identifiers: subscription.subscription_identifier.into_iter().collect(),
            })
            .collect()
    }
}

impl Drop for AlertSubscriber {
    fn drop(&mut self) {
        self.board.shared.state.lock().subscribers.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscription(filter: &str, qos: Qos) -> AlertSubscription {
        AlertSubscription {
            filter: filter.into(),
            qos,
            is_retain_as_published: false,
            subscription_identifier: None,
        }
    }

    fn said(deliveries: impl IntoIterator<Item = Delivery>) -> Vec<(String, bool)> {
        deliveries
            .into_iter()
            .map(|delivery| (delivery.message.mqtt_topic.clone(), delivery.is_retain))
            .collect()
    }

    fn drain(subscriber: &AlertSubscriber) -> Vec<(String, bool)> {
        said(std::iter::from_fn(|| subscriber.next_delivery()))
    }

    #[test]
    fn what_fires_comes_first_and_then_what_happens() {
        let board = AlertBoard::default();
        board.publish("a/1", Bytes::from_static(b"x"), true, Vec::new());
        board.publish("a/2", Bytes::from_static(b"x"), true, Vec::new());
        board.publish("a/2", Bytes::new(), true, Vec::new());
        board.publish("b/1", Bytes::from_static(b"x"), true, Vec::new());
        let subscriber = board.subscriber(|| ());
        let retained = subscriber.subscribe(subscription("a/#", Qos::AtLeastOnce), true);
        assert_eq!(said(retained), [("a/1".to_owned(), true)]);
        board.publish("a/3", Bytes::from_static(b"x"), true, Vec::new());
        board.publish("b/3", Bytes::from_static(b"x"), true, Vec::new());
        assert_eq!(drain(&subscriber), [("a/3".to_owned(), false)]);
        assert!(subscriber.unsubscribe("a/#"));
        assert!(!subscriber.unsubscribe("a/#"));
        board.publish("a/4", Bytes::from_static(b"x"), false, Vec::new());
        assert_eq!(drain(&subscriber), []);
        assert_eq!(board.retained_len(), 4, "a/1, b/1, a/3, b/3");
    }

    #[test]
    fn overlapping_filters_give_one_delivery() {
        let board = AlertBoard::default();
        let subscriber = board.subscriber(|| ());
        subscriber.subscribe(
            AlertSubscription { subscription_identifier: Some(7), ..subscription("a/#", Qos::AtMostOnce) },
            false,
        );
        subscriber.subscribe(
            AlertSubscription {
                subscription_identifier: Some(9),
                is_retain_as_published: true,
                ..subscription("a/+", Qos::AtLeastOnce)
            },
            false,
        );
        board.publish("a/1", Bytes::from_static(b"x"), true, Vec::new());
        let delivery = subscriber.next_delivery().unwrap();
        assert_eq!(
            (delivery.qos, delivery.is_retain, &delivery.subscription_identifiers[..]),
            (Qos::AtLeastOnce, true, &[7, 9][..])
        );
        assert!(subscriber.next_delivery().is_none());
    }

    #[test]
    fn both_bounds_hold() {
        let board = AlertBoard::new(AlertBoardLimits { retained_max: 2, queue_messages_max: 2 });
        let subscriber = board.subscriber(|| ());
        subscriber.subscribe(subscription("#", Qos::AtMostOnce), false);
        for n in 0..2 {
            board.publish(&n.to_string(), Bytes::from_static(b"x"), true, Vec::new());
        }
        assert!(!subscriber.is_overflowed());
        board.publish("2", Bytes::from_static(b"x"), true, Vec::new());
        assert!(subscriber.is_overflowed());
        assert_eq!((board.retained_len(), drain(&subscriber).len()), (2, 2));
    }

    #[test]
    fn leaving_frees_the_place() {
        let board = AlertBoard::default();
        drop(board.subscriber(|| ()));
        assert!(board.shared.state.lock().subscribers.is_empty());
    }
}
