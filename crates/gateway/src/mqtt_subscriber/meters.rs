//! The subscriber's metrics, labelled by broker and client id.

use metrics::{Counter, Gauge};

use super::config::SubscriberConfig;
use super::status::Turn;

pub(super) struct Meters {
    received: [Counter; 2],
    acknowledged: Counter,
    refused: Counter,
    abandoned: Counter,
    in_flight: Gauge,
    pub(super) reconnects: Counter,
    pub(super) connected: Gauge,
    pub(super) refused_filters: Gauge,
}

impl Meters {
    pub(super) fn new(config: &SubscriberConfig) -> Self {
        let labels = [("broker", config.url.to_string()), ("client_id", config.client_id.clone())];
        let received = |qos: &'static str| {
            let labels = [("qos", qos.to_owned()), labels[0].clone(), labels[1].clone()];
            metrics::counter!("urban_neuron_mqtt_subscriber_received_messages_total", &labels)
        };
        metrics::gauge!("urban_neuron_mqtt_subscriber_in_flight_limit_messages", &labels)
            .set(f64::from(config.in_flight_max));
        Meters {
            received: [received("0"), received("1")],
            acknowledged: metrics::counter!(
                "urban_neuron_mqtt_subscriber_acknowledged_messages_total",
                &labels
            ),
            refused: metrics::counter!("urban_neuron_mqtt_subscriber_refused_messages_total", &labels),
            abandoned: metrics::counter!("urban_neuron_mqtt_subscriber_abandoned_messages_total", &labels),
            in_flight: metrics::gauge!("urban_neuron_mqtt_subscriber_in_flight_messages", &labels),
            reconnects: metrics::counter!("urban_neuron_mqtt_subscriber_reconnects_total", &labels),
            connected: metrics::gauge!("urban_neuron_mqtt_subscriber_connected", &labels),
            refused_filters: metrics::gauge!("urban_neuron_mqtt_subscriber_refused_filters", &labels),
        }
    }

    pub(super) fn add(&self, turn: &Turn, in_flight: usize) {
        self.received.iter().zip(turn.received).for_each(|(counter, count)| counter.increment(count));
        self.acknowledged.increment(turn.acknowledged);
        self.refused.increment(turn.refused);
        self.in_flight.set(in_flight as f64);
    }

    pub(super) fn disconnected(&self, abandoned: usize) {
        self.connected.set(0.0);
        self.in_flight.set(0.0);
        self.abandoned.increment(abandoned as u64);
    }
}
