//! What the CoAP server counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use metrics::{Counter, Gauge, Histogram};

use super::config::CoapConfig;
use crate::coap::Code;

/// Requests since the start, over all threads.
#[derive(Debug, Default)]
pub struct CoapCounters {
    received: AtomicU64,
    answered: AtomicU64,
    refused: AtomicU64,
    repeated: AtomicU64,
}

/// One look at [`CoapCounters`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CoapCounts {
    /// Messages handed to the intake; a body in blocks is one.
    pub received: u64,
    /// Messages that became durable and whose answer, or the silence that was asked for, followed.
    pub answered: u64,
    /// Requests that were turned away before the intake.
    pub refused: u64,
    /// Requests that had been seen before.
    pub repeated: u64,
}

impl CoapCounters {
    pub fn counts(&self) -> CoapCounts {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CoapCounts {
            received: load(&self.received),
            answered: load(&self.answered),
            refused: load(&self.refused),
            repeated: load(&self.repeated),
        }
    }
}

/// Handles of every metric, made once a thread.
pub(super) struct Meters {
    counters: Arc<CoapCounters>,
    received: [Counter; 2],
    answered: Counter,
    repeated: Counter,
    malformed: Counter,
    unsent: Counter,
    separate: Counter,
    pub(super) answer_latency: Histogram,
    pub(super) exchanges: Level,
    pub(super) upload_bytes: Level,
    pub(super) in_flight: Level,
}

/// One thread's part of a gauge that all threads share.
pub(super) struct Level {
    gauge: Gauge,
    told: usize,
}

impl Level {
    fn new(gauge: Gauge) -> Self {
        Level { gauge, told: 0 }
    }

    pub(super) fn set(&mut self, level: usize) {
        let told = std::mem::replace(&mut self.told, level);
        if told != level {
            self.gauge.increment(level as f64 - told as f64);
        }
    }
}

impl Meters {
    pub(super) fn new(counters: Arc<CoapCounters>, config: &CoapConfig) -> Self {
        metrics::gauge!("urban_neuron_coap_exchanges_limit").set(config.exchanges_max as f64);
        metrics::gauge!("urban_neuron_coap_upload_limit_bytes").set(config.upload_bytes_max as f64);
        metrics::gauge!("urban_neuron_coap_in_flight_limit_messages").set(config.in_flight_max as f64);
        let received = |of| metrics::counter!("urban_neuron_coap_received_messages_total", "type" => of);
        Meters {
            counters,
            received: [received("con"), received("non")],
            answered: metrics::counter!("urban_neuron_coap_answered_messages_total"),
            repeated: metrics::counter!("urban_neuron_coap_repeated_messages_total"),
            malformed: metrics::counter!("urban_neuron_coap_malformed_datagrams_total"),
            unsent: metrics::counter!("urban_neuron_coap_unsent_datagrams_total"),
            separate: metrics::counter!("urban_neuron_coap_separate_answers_total"),
            answer_latency: metrics::histogram!("urban_neuron_coap_answer_seconds"),
            exchanges: Level::new(metrics::gauge!("urban_neuron_coap_exchanges")),
            upload_bytes: Level::new(metrics::gauge!("urban_neuron_coap_upload_bytes")),
            in_flight: Level::new(metrics::gauge!("urban_neuron_coap_in_flight_messages")),
        }
    }

    pub(super) fn received(&self, is_confirmable: bool) {
        self.counters.received.fetch_add(1, Ordering::Relaxed);
        self.received[usize::from(!is_confirmable)].increment(1);
    }

    pub(super) fn answered(&self, count: u64) {
        self.counters.answered.fetch_add(count, Ordering::Relaxed);
        self.answered.increment(count);
    }

    pub(super) fn refused(&self, code: Code) {
        self.counters.refused.fetch_add(1, Ordering::Relaxed);
        metrics::counter!("urban_neuron_coap_refused_messages_total", "code" => code.to_string())
            .increment(1);
    }

    pub(super) fn repeated(&self) {
        self.counters.repeated.fetch_add(1, Ordering::Relaxed);
        self.repeated.increment(1);
    }

    pub(super) fn malformed(&self) {
        self.malformed.increment(1);
    }

    pub(super) fn separate(&self) {
        self.separate.increment(1);
    }

    /// The kernel took an answer not at once: its client asks again.
    pub(super) fn unsent(&self) {
        self.unsent.increment(1);
    }
}
