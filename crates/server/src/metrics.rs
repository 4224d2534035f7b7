//! The Prometheus recorder: which buckets the histograms have, and what every metric means.
//!
//! The recorder is the process's, as the `metrics` crate has it; [`install`] may be called by each service of a test.

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use parking_lot::Mutex;

mod catalog;

pub use catalog::{METRICS, Metric, MetricKind};

/// Seconds: from a fast fdatasync to a slow landing.
const SECONDS_BUCKETS: [f64; 16] =
    [0.000_5, 0.001, 0.002, 0.004, 0.006, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 120.0];

/// Begins to record; later calls give the same handle.
///
/// # Errors
/// Another recorder was installed before.
pub fn install() -> Result<PrometheusHandle, metrics_exporter_prometheus::BuildError> {
    static HANDLE: Mutex<Option<PrometheusHandle>> = Mutex::new(None);
    let mut handle = HANDLE.lock();
    if let Some(handle) = handle.as_ref() {
        return Ok(handle.clone());
    }
    let installed = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS_BUCKETS)?
        .install_recorder()?;
    describe();
    Ok(handle.insert(installed).clone())
}

fn describe() {
    for metric in METRICS {
        match metric.kind {
            MetricKind::Counter => metrics::describe_counter!(metric.name, metric.text),
            MetricKind::Gauge => metrics::describe_gauge!(metric.name, metric.text),
            MetricKind::Histogram => metrics::describe_histogram!(metric.name, metric.text),
        }
    }
}
