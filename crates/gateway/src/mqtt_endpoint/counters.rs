//! What the endpoint counts: the conservation of messages, and the metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use metrics::{Counter, Gauge, Histogram};

use super::config::EndpointConfig;

/// Messages since the start, over all threads.
#[derive(Debug, Default)]
pub struct EndpointCounters {
    received: [AtomicU64; 3],
    acknowledged: AtomicU64,
    refused: AtomicU64,
    abandoned: AtomicU64,
}

/// One look at [`EndpointCounters`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndpointCounts {
    /// PUBLISH packets and wills by QoS; QoS 2 packets that were already taken count no second time.
    pub received: [u64; 3],
    /// Messages whose PUBACK or PUBREC was released.
    pub acknowledged: u64,
    /// PUBLISH packets that were not handed to the intake, for what they are; counted as received too.
    pub refused: u64,
    /// Messages that were handed to the intake and whose connection ended before they were durable.
    pub abandoned: u64,
}

impl EndpointCounters {
    pub fn counts(&self) -> EndpointCounts {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        EndpointCounts {
            received: [load(&self.received[0]), load(&self.received[1]), load(&self.received[2])],
            acknowledged: load(&self.acknowledged),
            refused: load(&self.refused),
            abandoned: load(&self.abandoned),
        }
    }
}

/// Handles of every metric, made once a thread.
pub(super) struct Meters {
    counters: std::sync::Arc<EndpointCounters>,
    received: [Counter; 3],
    acknowledged: Counter,
    abandoned: Counter,
    pub(super) ack_latency: Histogram,
    pub(super) connections: Gauge,
    pub(super) partial_bytes: Gauge,
    pub(super) in_flight: Gauge,
}

impl Meters {
    pub(super) fn new(counters: std::sync::Arc<EndpointCounters>, config: &EndpointConfig) -> Self {
        metrics::gauge!("urban_neuron_mqtt_endpoint_connections_limit").set(config.connections_max as f64);
        metrics::gauge!("urban_neuron_mqtt_endpoint_receive_maximum_messages")
            .set(f64::from(config.receive_maximum));
        metrics::gauge!("urban_neuron_mqtt_endpoint_partial_limit_bytes")
            .set(config.partial_bytes_max as f64);
        let received =
            |qos| metrics::counter!("urban_neuron_mqtt_endpoint_received_messages_total", "qos" => qos);
        Meters {
            counters,
            received: [received("0"), received("1"), received("2")],
            acknowledged: metrics::counter!("urban_neuron_mqtt_endpoint_acknowledged_messages_total"),
            abandoned: metrics::counter!("urban_neuron_mqtt_endpoint_abandoned_messages_total"),
            ack_latency: metrics::histogram!("urban_neuron_mqtt_endpoint_ack_seconds"),
            connections: metrics::gauge!("urban_neuron_mqtt_endpoint_connections"),
            partial_bytes: metrics::gauge!("urban_neuron_mqtt_endpoint_partial_bytes"),
            in_flight: metrics::gauge!("urban_neuron_mqtt_endpoint_in_flight_messages"),
        }
    }

    /// Adds a turn's messages by QoS and sets the turn back to none.
    pub(super) fn received(&self, turn: &mut [u64; 3]) {
        for (qos, count) in turn.iter_mut().enumerate() {
            if *count > 0 {
                self.counters.received[qos].fetch_add(*count, Ordering::Relaxed);
                self.received[qos].increment(*count);
                *count = 0;
            }
        }
    }

    pub(super) fn acknowledged(&self, count: usize) {
        self.counters.acknowledged.fetch_add(count as u64, Ordering::Relaxed);
        self.acknowledged.increment(count as u64);
    }

    pub(super) fn refused(&self, why: &'static str) {
        self.counters.refused.fetch_add(1, Ordering::Relaxed);
        metrics::counter!("urban_neuron_mqtt_endpoint_refused_messages_total", "reason" => why).increment(1);
    }

    pub(super) fn abandoned(&self, count: usize) {
        self.counters.abandoned.fetch_add(count as u64, Ordering::Relaxed);
        self.abandoned.increment(count as u64);
    }

    /// A connection ended.
    pub(super) fn closed(&self, why: &'static str) {
        metrics::counter!("urban_neuron_mqtt_endpoint_closed_connections_total", "reason" => why)
            .increment(1);
    }

    /// A newcomer was not let in.
    pub(super) fn not_admitted(&self, why: &'static str) {
        metrics::counter!("urban_neuron_mqtt_endpoint_refused_connections_total", "reason" => why)
            .increment(1);
    }
}
