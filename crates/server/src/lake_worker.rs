//! The lake's consumer: takes the log partitions that it is given, lands their records, commits by size and age.
//!
//! One thread. A commit is decided in the lake, never in the consumer group; a rival that was faster is followed. While the
//! lake cannot be written the log goes on, and landing resumes by itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use lake::{CommitOutcome, Lake, PartitionLander, Pushed, Undecodable};
use log::{Appender, Consumer, Log, ReadEvent, Reader, Topic};
use model::RecordBatch;
use tracing::{debug, error, warn};

use crate::dead_letter::DeadLetterDraft;
use crate::health::{Health, Role};
use crate::pipeline_stats::{Landed, PipelineStats};

/// Longest wait for records, so that commits by age are on time.
const POLL_WAIT: Duration = Duration::from_millis(50);

/// Wait before a partition that stands still, or a lake that cannot be written, is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Longest time that the last commits may take at a stop.
const DRAIN_WAIT: Duration = Duration::from_secs(20);

/// The worker of one process.
pub struct LakeWorker<L: Log> {
    log: L,
    lake: Lake,
    reader: L::Reader,
    /// For the undecodable records that are copied to the dead letters.
    appender: L::Appender,
    dead_letter: DeadLetterDraft,
    health: Health,
    stats: Arc<PipelineStats>,
    partitions: BTreeMap<u32, LandingPartition>,
    /// Partitions that stand still, and when they are tried again.
    standing: BTreeMap<u32, Instant>,
    checked_at: Instant,
}

struct LandingPartition {
    lander: PartitionLander,
    /// A batch that found its range full, or the lake not writable: it is pushed again, and nothing is read meanwhile.
    held: Option<RecordBatch>,
    retry_at: Option<Instant>,
}

impl<L: Log> LakeWorker<L> {
    /// # Errors
    /// The log cannot be reached.
    pub fn new(log: L, lake: Lake, health: Health, stats: Arc<PipelineStats>) -> Result<Self, log::Error> {
        let worker = std::thread::current();
        Ok(LakeWorker {
            reader: log.group_reader(Consumer::Lake)?,
            appender: log.appender(Arc::new(move || worker.unpark()))?,
            dead_letter: DeadLetterDraft::default(),
            partitions: BTreeMap::new(),
            standing: BTreeMap::new(),
            checked_at: Instant::now(),
            log,
            lake,
            health,
            stats,
        })
    }

    /// Runs until `stop`, then lands what the log holds and ends.
    ///
    /// # Errors
    /// The log failed for good.
    pub fn run(mut self, stop: &AtomicBool) -> Result<(), log::Error> {
        self.health.set("root", Role::Lake, self.lake.trouble());
        while !stop.load(Ordering::Relaxed) {
            self.turn(false)?;
        }
        let deadline = Instant::now() + DRAIN_WAIT;
        while Instant::now() < deadline && !self.has_landed_all()? {
            let is_at_end = self.is_at_end()?;
            self.turn(is_at_end)?;
        }
        Ok(())
    }

    fn turn(&mut self, is_last: bool) -> Result<(), log::Error> {
        self.read()?;
        let partitions: Vec<u32> = self.partitions.keys().copied().collect();
        for partition in partitions {
            self.roll(partition, is_last)?;
        }
        let now = Instant::now();
        if now >= self.checked_at + RETRY_AFTER {
            self.checked_at = now;
            self.check(now)?;
        }
        Ok(())
    }

    fn read(&mut self) -> Result<(), log::Error> {
        match self.reader.poll(POLL_WAIT) {
            Ok(ReadEvent::Idle) => Ok(()),
            Ok(ReadEvent::Assigned(assigned)) => assigned.into_iter().try_for_each(|p| self.assign(p)),
            Ok(ReadEvent::Revoked(revoked)) => {
                for partition in revoked {
                    self.partitions.remove(&partition);
                    self.standing.remove(&partition);
                    self.health.forget(&component(partition), Role::Lake);
                }
                Ok(())
            }
            Ok(ReadEvent::Records(batch)) => self.push(batch),
            Err(log::Error::OutOfRange { partition, offset, first, next, .. }) => {
                let cause = format!("lake position {offset} is outside the log, which holds {first}..{next}");
                self.stand_still(partition, cause)
            }
            Err(error) if error.disposition() == log::Disposition::Retry => {
                warn!(%error, "reading telemetry for the lake");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn assign(&mut self, partition: u32) -> Result<(), log::Error> {
        let first = self.log.offsets(Topic::Telemetry, partition)?.start;
        match self.lake.partition(self.log.log_id(), partition, first) {
            Ok(lander) => {
                let start = lander.start().replay_from.max(first);
                self.standing.remove(&partition);
                self.health.set(&component(partition), Role::Lake, None);
                self.partitions.insert(partition, LandingPartition { lander, held: None, retry_at: None });
                self.reader.start(partition, start)
            }
            Err(cause) => self.stand_still(partition, cause.to_string()),
        }
    }

    fn stand_still(&mut self, partition: u32, cause: String) -> Result<(), log::Error> {
        if self.standing.insert(partition, Instant::now() + RETRY_AFTER).is_none() {
            error!(partition, cause, "landing stands still");
        }
        self.partitions.remove(&partition);
        self.health.set(&component(partition), Role::Lake, Some(cause));
        self.reader.stop(partition)
    }

    fn push(&mut self, batch: RecordBatch) -> Result<(), log::Error> {
        let partition = batch.log_partition;
        let Some(landing) = self.partitions.get_mut(&partition) else { return Ok(()) };
        match landing.lander.push(&batch) {
            Ok(Pushed::All) => Ok(()),
            Ok(Pushed::Full) => {
                landing.held = Some(batch);
                self.reader.stop(partition)?;
                self.roll(partition, false)
            }
            Err(cause) => {
                // What came before the record may land; the partition is tried again from there.
                self.roll(partition, true)?;
                self.stand_still(partition, cause.to_string())
            }
        }
    }

    /// Commits a partition that is due, or whatever it holds when `is_last`.
    fn roll(&mut self, partition: u32, is_last: bool) -> Result<(), log::Error> {
        let Some(landing) = self.partitions.get_mut(&partition) else { return Ok(()) };
        let now = Instant::now();
        let is_waiting = landing.retry_at.is_some_and(|at| now < at);
        if is_waiting || !(landing.lander.should_roll(now) || is_last) {
            return Ok(());
        }
        let undecodable = landing.lander.take_undecodable();
        if !undecodable.is_empty() {
            self.set_aside(&undecodable)?;
        }
        self.commit(partition)
    }

    fn commit(&mut self, partition: u32) -> Result<(), log::Error> {
        let Some(landing) = self.partitions.get_mut(&partition) else { return Ok(()) };
        let began = Instant::now();
        match landing.lander.commit(SystemTime::now()) {
            Ok(CommitOutcome::Nothing) => Ok(()),
            Ok(CommitOutcome::Committed(committed)) => {
                landing.retry_at = None;
                let landed = Landed {
                    messages: committed.counts.messages,
                    rows: committed.counts.rows,
                    files: committed.files as u64,
                    repeats: committed.counts.repeats,
                    control: committed.counts.control,
                    undecodable: committed.counts.undecodable,
                };
                debug!(
                    partition,
                    first = committed.first,
                    next = committed.next,
                    rows = landed.rows,
                    "landed"
                );
                self.stats.lake_committed(partition, &landed, committed.next, began.elapsed());
                self.health.set("root", Role::Lake, None);
                self.log.release(Consumer::Lake, partition, committed.next)?;
                self.resume(partition)
            }
            Ok(CommitOutcome::Restart(start)) => {
                landing.held = None;
                landing.retry_at = None;
                self.reader.start(partition, start.replay_from)
            }
            Err(error) if error.disposition() == lake::Disposition::Retry => {
                landing.retry_at = Some(began + RETRY_AFTER);
                self.health.set("root", Role::Lake, Some(error.to_string()));
                Ok(())
            }
            Err(error) => self.stand_still(partition, error.to_string()),
        }
    }

    /// Pushes the batch that found its range full, and reads on behind it.
    fn resume(&mut self, partition: u32) -> Result<(), log::Error> {
        let Some(landing) = self.partitions.get_mut(&partition) else { return Ok(()) };
        let Some(batch) = landing.held.take() else { return Ok(()) };
        let next = batch.next;
        self.push(batch)?;
        let is_taken = self.partitions.get(&partition).is_some_and(|landing| landing.held.is_none());
        if is_taken { self.reader.start(partition, next) } else { Ok(()) }
    }

    /// Copies undecodable records to the dead letters and waits until they are durable there: only then may their range be
    /// committed.
    fn set_aside(&mut self, undecodable: &[Undecodable]) -> Result<(), log::Error> {
        for record in undecodable {
            warn!(position = %record.position, detail = record.detail, "undecodable record, copied to the dead letters");
            let (value, headers) = self.dead_letter.encode_undecodable(record);
            self.appender.append(Topic::DeadLetter, 0, b"log", Some(value), headers)?;
        }
        let ticket = self.appender.flush();
        while self.appender.durable()? < ticket {
            std::thread::park_timeout(POLL_WAIT);
        }
        Ok(())
    }

    /// Tries again what stands still, and says how the lake is.
    fn check(&mut self, now: Instant) -> Result<(), log::Error> {
        if let Err(error) = self.lake.probe() {
            self.health.set("root", Role::Lake, Some(error.to_string()));
        } else if self.partitions.values().all(|landing| landing.retry_at.is_none()) {
            self.health.set("root", Role::Lake, None);
        }
        let due: Vec<u32> = self.standing.iter().filter(|(_, at)| now >= **at).map(|(p, _)| *p).collect();
        for partition in due {
            self.standing.insert(partition, now + RETRY_AFTER);
            self.assign(partition)?;
        }
        for (partition, landing) in &self.partitions {
            let lag = self.reader.end(*partition)? - landing.lander.taken();
            let label = partition.to_string();
            metrics::gauge!("urban_neuron_log_lag_records", "consumer" => "lake", "log_partition" => label)
                .set(lag as f64);
            let (bytes, share) = landing.lander.memory();
            metrics::gauge!("urban_neuron_lake_open_bytes", "log_partition" => partition.to_string())
                .set(bytes as f64);
            metrics::gauge!("urban_neuron_lake_open_bytes_max", "log_partition" => partition.to_string())
                .set(share as f64);
        }
        Ok(())
    }

    fn is_at_end(&mut self) -> Result<bool, log::Error> {
        for (partition, landing) in &self.partitions {
            if landing.lander.taken() < self.reader.end(*partition)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn has_landed_all(&mut self) -> Result<bool, log::Error> {
        Ok(self.is_at_end()? && self.partitions.values().all(|p| p.lander.next() == p.lander.taken()))
    }
}

fn component(partition: u32) -> String {
    format!("partition {partition}")
}
