//! How a subscriber does: for readiness, tests and whoever asks.

use parking_lot::Mutex;

use super::config::SubscriberConfig;
use super::meters::Meters;

/// One look at a subscriber.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubscriberStatus {
    pub is_connected: bool,
    /// Filters that the broker does not serve, or serves at a lower QoS than asked for.
    pub refused_filters: Vec<String>,
    /// Every filter has the broker's answer.
    pub is_subscribed: bool,
    /// Why the last connection ended, or could not be opened.
    pub last_trouble: Option<String>,
    pub counts: SubscriberCounts,
}

/// Messages and connections since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SubscriberCounts {
    /// PUBLISH packets by QoS, redeliveries too.
    pub received: [u64; 2],
    pub acknowledged: u64,
    /// Over `packet_bytes_max`: not handed on; counted as received, and acknowledged in their turn.
    pub refused: u64,
    /// Taken, and their connection ended before they were durable.
    pub abandoned: u64,
    /// Taken and not acknowledged.
    pub in_flight: u64,
    /// Connections that were lost or could not be opened.
    pub reconnects: u64,
}

/// The status, written by the subscriber's thread once a turn.
pub(super) struct Board {
    status: Mutex<SubscriberStatus>,
    meters: Meters,
}

/// What one turn adds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Turn {
    pub(super) received: [u64; 2],
    pub(super) acknowledged: u64,
    pub(super) refused: u64,
}

impl Board {
    pub(super) fn new(config: &SubscriberConfig) -> Self {
        Board { status: Mutex::default(), meters: Meters::new(config) }
    }

    pub(super) fn status(&self) -> SubscriberStatus {
        self.status.lock().clone()
    }

    /// Adds a turn and sets it back to nothing.
    pub(super) fn add(&self, turn: &mut Turn, in_flight: usize) {
        let turn = std::mem::take(turn);
        let mut status = self.status.lock();
        let counts = &mut status.counts;
        counts.received.iter_mut().zip(turn.received).for_each(|(sum, added)| *sum += added);
        counts.acknowledged += turn.acknowledged;
        counts.refused += turn.refused;
        counts.in_flight = in_flight as u64;
        self.meters.add(&turn, in_flight);
    }

    pub(super) fn connected(&self) {
        self.status.lock().is_connected = true;
        self.meters.connected.set(1.0);
    }

    /// The connection is gone, with `abandoned` messages that were not durable.
    pub(super) fn disconnected(&self, abandoned: usize) {
        let mut status = self.status.lock();
        status.is_connected = false;
        status.counts.abandoned += abandoned as u64;
        status.counts.in_flight = 0;
        self.meters.disconnected(abandoned);
    }

    pub(super) fn trouble(&self, cause: String) {
        let mut status = self.status.lock();
        status.last_trouble = Some(cause);
        status.counts.reconnects += 1;
        self.meters.reconnects.increment(1);
    }

    /// The broker has answered, or is asked again.
    pub(super) fn subscribed(&self, is_subscribed: bool, refused_filters: Vec<String>) {
        let mut status = self.status.lock();
        status.is_subscribed = is_subscribed;
        self.meters.refused_filters.set(refused_filters.len() as f64);
        status.refused_filters = refused_filters;
    }
}
