//! The client that asks: offsets, and whether brokers answer at all. It neither appends nor fetches.

use std::ffi::CString;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use super::config::KafkaConfig;
use super::health::Health;
use super::native::{Event, Handle, Queue};
use crate::{Disposition, Error, Topic};

/// How often a cluster that does not answer is asked again.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
const PROBE_WAIT_MAX: Duration = Duration::from_secs(2);
const RETRY_INTERVAL: Duration = Duration::from_millis(20);

/// The client and the thread that serves its events.
pub(super) struct Control {
    watch: Arc<Watch>,
    thread: Option<JoinHandle<()>>,
    request_wait_max: Duration,
}

struct Watch {
    events: Queue,
    handle: Arc<Handle>,
    health: Arc<Health>,
    probed_topic: String,
    is_stopped: AtomicBool,
}

impl Control {
    pub(super) fn connect(config: &KafkaConfig, health: Arc<Health>) -> Result<Control, Error> {
        let handle = Handle::producer(&config.client())
            .map_err(|source| Error::Kafka { action: "make a client", source })?;
        let watch = Arc::new(Watch {
            events: Queue::main(&handle),
            handle,
            health,
            probed_topic: config.topic_name(Topic::Telemetry),
            is_stopped: AtomicBool::new(false),
        });
        let thread = std::thread::Builder::new()
            .name("kafka-control".into())
            .spawn({
                let watch = Arc::clone(&watch);
                move || watch.run()
            })
            .map_err(|source| Error::Io {
                action: "start a thread for",
                path: "kafka-control".into(),
                source,
            })?;
        Ok(Control { watch, thread: Some(thread), request_wait_max: config.request_wait_max })
    }

    pub(super) fn handle(&self) -> &Arc<Handle> {
        &self.watch.handle
    }

    /// The cluster's id, once a broker has answered.
    pub(super) fn cluster_id(&self) -> Result<String, Error> {
        const STEP: Duration = Duration::from_millis(200);
        let deadline = Instant::now() + self.request_wait_max;
        loop {
            if let Some(id) = self.watch.handle.client().fetch_cluster_id(STEP) {
                return Ok(id);
            }
            match self.watch.health.last() {
                // These do not mend by waiting.
                Some(error)
                    if matches!(error.code, RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SSL) =>
                {
                    return Err(Error::Refused(format!("kafka: {}", error.reason)));
                }
                _ if Instant::now() < deadline => {}
                last => {
                    let code = last.map_or(RDKafkaErrorCode::OperationTimedOut, |error| error.code);
                    return Err(Error::Kafka { action: "reach a broker", source: KafkaError::Global(code) });
                }
            }
        }
    }

    /// The offsets that the cluster holds of a partition.
    pub(super) fn offsets(&self, kafka_topic: &str, partition: u32) -> Result<Range<i64>, Error> {
        let client = self.watch.handle.client();
        let deadline = Instant::now() + self.request_wait_max;
        loop {
            let rest = deadline.saturating_duration_since(Instant::now());
            let error = match client.fetch_watermarks(kafka_topic, partition as i32, rest) {
                Ok((first, next)) => return Ok(first..next),
                Err(source) => Error::Kafka { action: "ask for offsets", source },
            };
            // While a partition's leader changes, who is asked may not be it any more, or not yet.
            if error.disposition() != Disposition::Retry || rest <= RETRY_INTERVAL {
                return Err(error);
            }
            std::thread::sleep(RETRY_INTERVAL);
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.watch.is_stopped.store(true, Ordering::SeqCst);
        self.watch.events.wake();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of the control client panicked");
        }
    }
}

impl Watch {
    fn run(&self) {
        while !self.is_stopped.load(Ordering::SeqCst) {
            let is_down = self.health.down().is_some();
            match self.events.poll(is_down.then_some(PROBE_INTERVAL)) {
                Some(Event::Error { code, reason, .. }) => {
                    self.health.error(code, reason);
                    if code == RDKafkaErrorCode::AllBrokersDown {
                        self.probe();
                    }
                }
                Some(Event::Log { level, facility, text }) => self.health.log(level, &facility, &text),
                None if is_down => self.probe(),
                _ => {}
            }
        }
    }

    /// Brokers close idle connections too, so that being without one is no trouble yet; not to be answered is.
    fn probe(&self) {
        match self.handle.client().fetch_metadata(Some(&self.probed_topic), PROBE_WAIT_MAX) {
            Ok(_) => self.health.set_up(),
            Err(error) => {
                let reason = self.health.last().map_or_else(|| error.to_string(), |last| last.reason);
                self.health.set_down(format!("no kafka broker answers: {reason}"));
            }
        }
    }
}

/// A topic's name as librdkafka takes it.
pub(super) fn c_name(name: String) -> Result<CString, Error> {
    CString::new(name).map_err(|error| Error::Refused(format!("log.topic_prefix: {error}")))
}
