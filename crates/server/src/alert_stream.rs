//! What fires now, as MQTT subscribers are told it.
//!
//! Fed twice with the same events: by the evaluator of this process, before they are durable (their cause is, and a replay
//! says them again), and by the log, which also brings those of other processes. The second of two equal ids is dropped.
//! MQTT is state, not history: a raise and every change while firing are retained, a resolve is published and clears.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use gateway::AlertBoard;
use model::record::put_header;
use model::{Alert, AlertState};
use parking_lot::Mutex;

/// Ids remembered to drop the log's copy of what was said directly. The log's copy follows within a commit, so this
/// is minutes of even a storm of alerts; beyond it an event is published twice, which its equal id says.
const SEEN_IDS_MAX: usize = 65_536;

/// Shared by the rules worker, the follower of the log and the MQTT endpoint.
#[derive(Clone)]
pub struct AlertStream {
    board: AlertBoard,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// Alert ids and the log partitions of their causes. Bounded by the evaluator's limit of states.
    firing: HashMap<String, u32>,
    seen: HashSet<String>,
    seen_order: VecDeque<String>,
    raised: u64,
    resolved: u64,
}

impl AlertStream {
    pub fn new(board: AlertBoard) -> Self {
        AlertStream { board, state: Arc::default() }
    }

    /// An alert that already fired when this process started: state, not news.
    pub fn restore(&self, partition: u32, alert: &Alert) {
        if alert.state == AlertState::Firing {
            self.state.lock().firing.insert(alert.alert_id.clone(), partition);
            self.publish(alert);
        }
    }

    /// An event of a log partition; false when it was heard before.
    pub fn say(&self, partition: u32, alert: &Alert) -> bool {
        {
            let mut state = self.state.lock();
            if !state.note(alert.ce_id()) {
                return false;
            }
            match alert.state {
                AlertState::Firing => {
                    state.raised += u64::from(alert.event == model::AlertEvent::Raised);
                    state.firing.insert(alert.alert_id.clone(), partition);
                }
                AlertState::Resolved => {
                    state.resolved += 1;
                    state.firing.remove(&alert.alert_id);
                }
            }
        }
        self.publish(alert);
        true
    }

    /// MQTT subscribers are served only while this is true.
    pub fn set_live(&self, is_live: bool) {
        self.board.set_live(is_live);
    }

    pub fn firing_count(&self) -> usize {
        self.state.lock().firing.len()
    }

    /// The log partition of an alert that fires.
    pub fn partition_of(&self, alert_id: &str) -> Option<u32> {
        self.state.lock().firing.get(alert_id).copied()
    }

    /// Events heard since the start: raised, resolved.
    pub fn totals(&self) -> (u64, u64) {
        let state = self.state.lock();
        (state.raised, state.resolved)
    }

    fn publish(&self, alert: &Alert) {
        let topic = mqtt_topic(alert);
        let payload = Bytes::from(alert_json(alert));
        let is_firing = alert.state == AlertState::Firing;
        self.board.publish(&topic, payload, is_firing, cloud_event(alert));
        if !is_firing {
            self.board.publish(&topic, Bytes::new(), true, Vec::new());
        }
    }
}

impl State {
    fn note(&mut self, ce_id: String) -> bool {
        if !self.seen.insert(ce_id.clone()) {
            return false;
        }
        self.seen_order.push_back(ce_id);
        if self.seen_order.len() > SEEN_IDS_MAX
            && let Some(oldest) = self.seen_order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        true
    }
}

/// `urban-neuron/v1/alerts/{domain}/{severity}/{device_id}/{rule_id}`.
pub fn mqtt_topic(alert: &Alert) -> String {
    let (severity, device, rule) = (alert.severity.name(), &alert.device_id, &alert.rule_id);
    format!("urban-neuron/v1/alerts/{}/{severity}/{device}/{rule}", alert.domain)
}

/// The alert on one line.
pub fn alert_json(alert: &Alert) -> String {
    serde_json::to_string(alert).expect("an alert has text keys and finite numbers")
}

/// CloudEvents attributes, as MQTT 5 user properties and Kafka headers name them (the latter with `ce_` before).
pub fn cloud_event(alert: &Alert) -> Vec<(String, String)> {
    let of_people = alert.people.last().filter(|_| alert.event.is_of_people()).map(|said| &said.at);
    let time = of_people.or(alert.resolved_at.as_ref()).unwrap_or(&alert.raised_at);
    [
        ("specversion", "1.0".to_owned()),
        ("id", alert.ce_id()),
        ("type", format!("urban-neuron.alert.{}.v1", alert.event.name())),
        ("source", format!("urban-neuron/{}", alert.tenant)),
        ("subject", alert.key()),
        ("time", time.clone()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// The headers of an alert's record, in the stored form.
pub fn alert_headers(alert: &Alert) -> Vec<u8> {
    let mut headers = Vec::new();
    for (name, value) in cloud_event(alert) {
        put_header(&mut headers, &format!("ce_{name}"), value.as_bytes());
    }
    put_header(&mut headers, "content-type", b"application/json");
    headers
}
