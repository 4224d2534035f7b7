//! A gateway process is alive: it says so in every log partition, whatever else it writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use log::{Appender, Error, Log, Topic};
use model::proto;
use prost::Message;

/// Between two heartbeats of one process.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(10);

/// How soon a stop is noticed.
const STOP_CHECK: Duration = Duration::from_millis(100);

/// Appends heartbeats until `stop`. `instance` is random per process start, hex digits.
///
/// # Errors
/// The log failed for good.
pub fn run<L: Log>(log: &L, instance: &str, stop: &AtomicBool) -> Result<(), Error> {
    let mut appender = log.appender(Arc::new(|| {}))?;
    let heartbeat = proto::Heartbeat { instance: instance.to_owned() };
    let record = proto::LogRecord {
        record: Some(proto::log_record::Record::Heartbeat(heartbeat)),
        ..proto::LogRecord::default()
    }
    .encode_to_vec();
    let mut due = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        if Instant::now() < due {
            std::thread::park_timeout(STOP_CHECK);
            continue;
        }
        due = Instant::now() + HEARTBEAT_EVERY;
        // A log that cannot take them gets them once when it can again, not all that were missed.
        if appender.durable()? == appender.flush() {
            for partition in 0..log.partitions() {
                appender.append(Topic::Telemetry, partition, &[], Some(&record), &[])?;
            }
            appender.flush();
        }
    }
    Ok(())
}
