//! The log of a process that runs everything: segment files of checksummed batches in the data directory.
//!
//! Each topic is a journal of its own: appender threads fill batches in their stored form, one committer thread writes
//! what all of them queued with one call and syncs it once, readers take durable batches from memory or from the files.
//! It knows bytes, keys and offsets, no telemetry. Invariants: nothing is acknowledged or shown before its fdatasync; no
//! offset is ever given twice, even when every record is gone; a crash leaves a prefix that holds all that was
//! acknowledged; at a full disk or a full log nothing is lost and nothing is acknowledged.

mod appender;
mod batch;
mod clock;
mod committer;
mod config;
mod data_dir;
mod index;
mod journal;
mod reader;
mod recovery;
mod retention;
mod rewrite;
mod segment;
mod sweeper;
mod tail;

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use model::LogId;
use parking_lot::Mutex;

pub use appender::EmbeddedAppender;
pub use clock::{Clock, SystemClock};
pub use config::{EmbeddedConfig, Failpoint, Fatal};
pub use reader::EmbeddedReader;

use crate::{Consumer, Error, Log, Topic, TopicStatus, Wake};
use committer::Committer;
use journal::Journal;
use sweeper::SweepSignal;

/// By topic, in the order of [`Topic::ALL`].
type Journals = Arc<[Arc<Journal>; Topic::ALL.len()]>;

/// Where a [`Failpoint`] is called, in the order in which a commit passes them. `before_append` and `after_append` are
/// before the fdatasync: an error there is a failed write, tried again. `sync` and later: the log fails for good.
pub const POINTS: [&str; 9] = [
    "before_roll",
    "before_append",
    "after_append",
    "sync",
    "after_sync",
    "before_ack",
    "before_unlink",
    "before_compact",
    "after_compact",
];

/// The embedded log. Cloning shares it; it closes with its last clone.
#[derive(Clone)]
pub struct EmbeddedLog {
    open: Arc<Open>,
}

struct Open {
    log_id: LogId,
    partitions: u32,
    journals: Journals,
    sweep: Arc<SweepSignal>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    lock: Mutex<Option<File>>,
}

impl EmbeddedLog {
    /// Opens the log, made when it does not exist; a torn tail is cut and said.
    ///
    /// # Errors
    /// [`Error::Refused`] where the configuration, another process or another log stands against it, [`Error::Damaged`]
    /// where what was durable does not check any more, or [`Error::Io`].
    pub fn open(config: EmbeddedConfig) -> Result<Self, Error> {
        config.validate()?;
        let lock = data_dir::lock(&config.data_dir)?;
        let log_id = data_dir::log_id(&config.data_dir)?;
        let partitions = config.partitions;
        let mut recovered = Vec::new();
        for topic in Topic::ALL {
            let dir = config.data_dir.join(data_dir::LOG).join(topic.name());
            recovered.push((recovery::recover(&dir, topic, log_id, partitions)?, dir));
        }
        data_dir::sync_parents(&config.data_dir)?;
        let sweep = Arc::new(SweepSignal::default());
        let mut recovered = recovered.into_iter();
        let journals: Journals = Arc::new(Topic::ALL.map(|topic| {
            let (found, dir) = recovered.next().expect("every topic was recovered");
            Arc::new(Journal::new(topic, dir, config.clone(), Arc::clone(&sweep), found))
        }));
        let threads = start(&journals, &sweep)?;
        let (threads, lock) = (Mutex::new(threads), Mutex::new(Some(lock)));
        Ok(EmbeddedLog { open: Arc::new(Open { log_id, partitions, journals, sweep, threads, lock }) })
    }

    fn journal(&self, topic: Topic) -> Result<&Arc<Journal>, Error> {
        let journal = &self.open.journals[topic as usize];
        if journal.is_closed() { Err(Error::Closed) } else { Ok(journal) }
    }
}

/// Starts a committer for each topic, and the sweeper.
fn start(journals: &Journals, sweep: &Arc<SweepSignal>) -> Result<Vec<JoinHandle<()>>, Error> {
    let mut threads = Vec::new();
    for journal in journals.iter() {
        let committer = Committer::new(Arc::clone(journal));
        threads.push(spawn(format!("log-{}", journal.topic.name()), move || committer.run())?);
    }
    let (journals, signal) = (Arc::clone(journals), Arc::clone(sweep));
    threads.push(spawn("log-sweeper".to_owned(), move || sweeper::run(&signal, &journals[..]))?);
    // What the last process left to do.
    sweep.ask();
    Ok(threads)
}

fn spawn(name: String, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Error> {
    let path = std::path::PathBuf::from(&name);
    std::thread::Builder::new().name(name).spawn(run).map_err(segment::io("start thread", &path))
}

impl Log for EmbeddedLog {
    type Appender = EmbeddedAppender;
    type Reader = EmbeddedReader;

    fn log_id(&self) -> LogId {
        self.open.log_id
    }

    fn partitions(&self) -> u32 {
        self.open.partitions
    }

    fn appender(&self, wake: Wake) -> Result<EmbeddedAppender, Error> {
        self.open.journals.iter().try_for_each(|journal| journal.check_open())?;
        Ok(EmbeddedAppender::new(Arc::clone(&self.open.journals), wake))
    }

    fn group_reader(&self, _: Consumer) -> Result<EmbeddedReader, Error> {
        Ok(EmbeddedReader::of_group(Arc::clone(self.journal(Topic::Telemetry)?)))
    }

    fn reader(&self, topic: Topic, starts: &[(u32, i64)]) -> Result<EmbeddedReader, Error> {
        use crate::Reader;
        let mut reader = EmbeddedReader::new(Arc::clone(self.journal(topic)?));
        starts.iter().try_for_each(|(partition, offset)| reader.start(*partition, *offset))?;
        Ok(reader)
    }

    fn offsets(&self, topic: Topic, partition: u32) -> Result<Range<i64>, Error> {
        let journal = self.journal(topic)?;
        journal.check_partition(partition)?;
        Ok(journal.published.lock().offsets(partition))
    }

    fn release(&self, consumer: Consumer, partition: u32, offset: i64) -> Result<(), Error> {
        let journal = self.journal(Topic::Telemetry)?;
        journal.check_partition(partition)?;
        journal.retention.release(consumer, partition, offset);
        self.open.sweep.ask();
        Ok(())
    }

    fn status(&self) -> Vec<TopicStatus> {
        let status = |journal: &Arc<Journal>| {
            let published = journal.published.lock();
            TopicStatus {
                topic: journal.topic,
                disk_bytes: journal.disk_bytes.load(Ordering::Relaxed),
                disk_bytes_max: journal.config.bytes_max,
                segments: published.segments.len(),
                tail_bytes: published.tail.bytes(),
                tail_bytes_max: published.tail.bytes_max(),
                clock_ahead_us: journal.clock_ahead_us.load(Ordering::Relaxed),
            }
        };
        self.open.journals.iter().map(status).collect()
    }

    fn trouble(&self) -> Option<String> {
        self.open.journals.iter().find_map(|journal| journal.trouble())
    }

    fn close(&self) {
        self.open.close();
    }
}

impl Open {
    fn close(&self) {
        self.journals.iter().for_each(|journal| journal.begin_close());
        self.sweep.begin_close();
        // Held until all have ended: a second closer returns no earlier than the first.
        let mut threads = self.threads.lock();
        for thread in threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the log panicked");
            }
        }
        self.journals.iter().for_each(|journal| journal.close());
        *self.lock.lock() = None;
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.close();
    }
}
