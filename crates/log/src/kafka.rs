//! Apache Kafka as the log.
//!
//! Owns the topics, producers, fetchers and group memberships of one deployment. It knows no position but those that it is
//! told: where a reader begins is the caller's, and consumer groups only share the partitions out.
//!
//! Invariants: acknowledged by all in-sync replicas before anything is durable; `log_time` is the broker's append time;
//! an offset outside the log is an error, never a reset.

mod appender;
mod config;
mod control;
mod health;
mod member;
mod native;
mod open_batch;
mod reader;
mod tickets;
mod topics;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use model::LogId;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

pub use self::appender::KafkaAppender;
use self::appender::Producer;
pub use self::config::{KafkaConfig, SaslConfig, SaslMechanism, TlsConfig};
use self::control::Control;
use self::health::Health;
pub use self::reader::KafkaReader;
use crate::{Consumer, Error, Log, Topic, TopicStatus, Wake};

/// Records that wait longer for the broker's report are a trouble; the slowest disks answer within it.
const REPORT_WAIT_SOUND: Duration = Duration::from_secs(5);

/// [`Log`] over Kafka. Cloning shares it.
#[derive(Clone)]
pub struct KafkaLog {
    shared: Arc<Shared>,
}

struct Shared {
    config: KafkaConfig,
    log_id: LogId,
    control: Control,
    health: Arc<Health>,
    producers: Mutex<Vec<Weak<Producer>>>,
    /// What was released and not yet noted in the group.
    released: Mutex<HashMap<(Consumer, u32), i64>>,
    is_closed: AtomicBool,
}

impl KafkaLog {
    /// Connects, and makes or checks the topics.
    ///
    /// # Errors
    /// [`Error::Refused`]: the brokers do not let us in, or a topic is not as the log needs it. Anything else: see
    /// [`Error::disposition`].
    pub fn connect(config: KafkaConfig) -> Result<KafkaLog, Error> {
        let health = Arc::new(Health::default());
        let control = Control::connect(&config, Arc::clone(&health))?;
        let cluster_id = control.cluster_id()?;
        let telemetry_id = topics::ensure(&config, control.handle())?;
        let log_id = log_id(&cluster_id, telemetry_id);
        tracing::info!(%log_id, cluster_id, bootstrap_servers = config.bootstrap_servers, "kafka is the log");
        let shared = Shared {
            config,
            log_id,
            control,
            health,
            producers: Mutex::default(),
            released: Mutex::default(),
            is_closed: AtomicBool::new(false),
        };
        Ok(KafkaLog { shared: Arc::new(shared) })
    }
}

/// A topic that is deleted and made again is another log, and so is the same name on another cluster.
fn log_id(cluster_id: &str, telemetry_id: [u8; 16]) -> LogId {
    let digest = Sha256::new().chain_update(cluster_id).chain_update(telemetry_id).finalize();
    let mut id = [0; 16];
    id.copy_from_slice(&digest[..16]);
    LogId(id)
}

impl Log for KafkaLog {
    type Appender = KafkaAppender;
    type Reader = KafkaReader;

    fn log_id(&self) -> LogId {
        self.shared.log_id
    }

    fn partitions(&self) -> u32 {
        self.shared.config.partitions
    }

    fn appender(&self, wake: Wake) -> Result<KafkaAppender, Error> {
        closed_or(&self.shared)?;
        let appender = KafkaAppender::connect(&self.shared.config, Arc::clone(&self.shared.health), wake)?;
        let mut producers = self.shared.producers.lock();
        producers.retain(|producer| producer.strong_count() > 0);
        producers.push(Arc::downgrade(appender.producer()));
        Ok(appender)
    }

    fn group_reader(&self, consumer: Consumer) -> Result<KafkaReader, Error> {
        closed_or(&self.shared)?;
        KafkaReader::open(Arc::clone(&self.shared), Topic::Telemetry, Some(consumer))
    }

    fn reader(&self, topic: Topic, starts: &[(u32, i64)]) -> Result<KafkaReader, Error> {
        use crate::Reader;
        closed_or(&self.shared)?;
        let mut reader = KafkaReader::open(Arc::clone(&self.shared), topic, None)?;
        for (partition, offset) in starts {
            reader.start(*partition, *offset)?;
        }
        Ok(reader)
    }

    fn offsets(&self, topic: Topic, partition: u32) -> Result<Range<i64>, Error> {
        self.shared.offsets(topic, partition)
    }

    fn release(&self, consumer: Consumer, partition: u32, offset: i64) -> Result<(), Error> {
        closed_or(&self.shared)?;
        self.shared.released.lock().insert((consumer, partition), offset);
        Ok(())
    }

    /// Nothing: the brokers keep it, and say so themselves.
    fn status(&self) -> Vec<TopicStatus> {
        Vec::new()
    }

    fn trouble(&self) -> Option<String> {
        let shared = &self.shared;
        let producers: Vec<_> = shared.producers.lock().iter().filter_map(Weak::upgrade).collect();
        if let Some((code, reason)) = producers.iter().find_map(|producer| producer.failure()) {
            return Some(format!("an appender failed: {code}: {reason}"));
        }
        if let Some(cause) = shared.health.down() {
            return Some(cause);
        }
        let since = producers.iter().filter_map(|producer| producer.waiting_since()).min()?;
        // An older error is of another trouble.
        let error = shared.health.last().filter(|error| error.at >= since);
        let reason = error.map_or_else(String::new, |error| format!(": {}", error.reason));
        let waited = since.elapsed();
        (waited > REPORT_WAIT_SOUND)
            .then(|| format!("kafka has not acknowledged a record for {} s{reason}", waited.as_secs()))
    }

    fn close(&self) {
        self.shared.is_closed.store(true, Ordering::SeqCst);
        let producers: Vec<_> =
            self.shared.producers.lock().drain(..).filter_map(|each| each.upgrade()).collect();
        for producer in producers {
            producer.close(self.shared.config.close_wait_max);
        }
    }
}

impl Shared {
    fn offsets(&self, topic: Topic, partition: u32) -> Result<Range<i64>, Error> {
        closed_or(self)?;
        if partition >= topic.partition_count(self.config.partitions) {
            return Err(Error::Refused(format!("{} has no partition {partition}", topic.name())));
        }
        self.control.offsets(&self.config.topic_name(topic), partition)
    }

    /// What one consumer has released since it was last asked.
    fn take_released(&self, consumer: Consumer) -> impl Iterator<Item = (u32, i64)> + use<> {
        let mut released = self.released.lock();
        let taken: Vec<_> = released.extract_if(|key, _| key.0 == consumer).collect();
        taken.into_iter().map(|((_, partition), offset)| (partition, offset))
    }
}

fn closed_or(shared: &Shared) -> Result<(), Error> {
    if shared.is_closed.load(Ordering::Relaxed) { Err(Error::Closed) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_id_is_that_of_cluster_and_topic() {
        // printf 'abc' then sixteen bytes 0..15, through sha256sum.
        let id = log_id("abc", std::array::from_fn(|index| index as u8));
        assert_eq!(id.to_string(), "d3cf82474f34c5da65cd1b10502d8919");
        assert_ne!(id, log_id("abd", std::array::from_fn(|index| index as u8)));
    }
}
