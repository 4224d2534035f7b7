//! What the consumers of the log have done since the start, for metrics, `demo` and tests.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::latency::Latency;
use crate::rules_partition::Said;

/// Shared by the lake worker, the rules worker and who reads.
#[derive(Debug, Default)]
pub struct PipelineStats {
    rows: AtomicU64,
    files: AtomicU64,
    commits: AtomicU64,
    landed_messages: AtomicU64,
    lake_repeats: AtomicU64,
    lake_control: AtomicU64,
    lake_undecodable: AtomicU64,
    evaluated: AtomicU64,
    rules_repeats: AtomicU64,
    sensor_to_alert: Latency,
}

/// What one commit of the lake landed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Landed {
    pub messages: u64,
    pub rows: u64,
    pub files: u64,
    pub repeats: u64,
    pub control: u64,
    pub undecodable: u64,
}

impl PipelineStats {
    pub fn lake_committed(&self, partition: u32, landed: &Landed, next: i64, took: Duration) {
        let add = |counter: &AtomicU64, count| counter.fetch_add(count, Ordering::Relaxed);
        add(&self.rows, landed.rows);
        add(&self.files, landed.files);
        add(&self.commits, 1);
        add(&self.landed_messages, landed.messages);
        add(&self.lake_repeats, landed.repeats);
        add(&self.lake_control, landed.control);
        add(&self.lake_undecodable, landed.undecodable);
        metrics::counter!("urban_neuron_lake_rows_total").increment(landed.rows);
        metrics::counter!("urban_neuron_lake_files_total").increment(landed.files);
        metrics::counter!("urban_neuron_lake_commits_total").increment(1);
        metrics::counter!("urban_neuron_lake_messages_total").increment(landed.messages);
        metrics::counter!("urban_neuron_lake_repeats_total").increment(landed.repeats);
        metrics::counter!("urban_neuron_lake_undecodable_records_total").increment(landed.undecodable);
        metrics::histogram!("urban_neuron_lake_commit_seconds").record(took.as_secs_f64());
        let label = partition.to_string();
        metrics::gauge!("urban_neuron_lake_position", "log_partition" => label).set(next as f64);
    }

    pub fn rules_took(&self, partition: u32, said: &Said, position: i64, repeat_window_seconds: f64) {
        self.evaluated.fetch_add(said.evaluated_messages, Ordering::Relaxed);
        self.rules_repeats.fetch_add(said.repeats, Ordering::Relaxed);
        metrics::counter!("urban_neuron_rules_evaluated_messages_total").increment(said.evaluated_messages);
        metrics::counter!("urban_neuron_rules_repeats_total").increment(said.repeats);
        metrics::counter!("urban_neuron_rules_undecodable_records_total").increment(said.undecodable);
        let gauge = |name: &'static str, value: f64| {
            metrics::gauge!(name, "log_partition" => partition.to_string()).set(value);
        };
        gauge("urban_neuron_rules_position", position as f64);
        gauge("urban_neuron_repeat_window_seconds", repeat_window_seconds);
    }

    /// Alerts were handed to their subscribers at `now_us`, microseconds since 1970-01-01T00:00:00Z.
    pub fn alerts_said(&self, said: &Said, now_us: i64) {
        for alert in &said.alerts {
            let event = alert.event.name();
            let name =
                if alert.shadow { "urban_neuron_shadow_alerts_total" } else { "urban_neuron_alerts_total" };
            metrics::counter!(name, "event" => event, "severity" => alert.severity.name()).increment(1);
        }
        for received_at_us in &said.caused_by_received_at_us {
            let took = Duration::from_micros(u64::try_from(now_us - received_at_us).unwrap_or(0));
            self.sensor_to_alert.record(took);
            metrics::histogram!("urban_neuron_sensor_to_alert_seconds").record(took.as_secs_f64());
        }
    }

    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// Messages whose rows have landed.
    pub fn landed_messages(&self) -> u64 {
        self.landed_messages.load(Ordering::Relaxed)
    }

    /// Repeats and undecodable records that the lake passed over.
    pub fn lake_passed_over(&self) -> u64 {
        self.lake_repeats.load(Ordering::Relaxed) + self.lake_undecodable.load(Ordering::Relaxed)
    }

    pub fn evaluated(&self) -> u64 {
        self.evaluated.load(Ordering::Relaxed)
    }

    /// From the first byte of a message to its alert at the subscribers.
    pub fn sensor_to_alert(&self) -> &Latency {
        &self.sensor_to_alert
    }
}
