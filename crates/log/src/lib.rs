//! The stream between the gateway and its two consumers: one small port, two implementations.
//!
//! [`Log`] is the port. [`embedded`] keeps segment files of checksummed batches in the data directory, for a process
//! that runs everything; [`kafka`] is Apache Kafka. Both are the same to every caller: `tests/support/conformance.rs`
//! is the suite that both pass.
//!
//! Invariants: nothing is shown to a reader or acknowledged to an appender before it is durable (I1, I9); no offset is
//! ever given twice; every buffer has a limit with a name (I5).

use std::sync::Arc;
use std::time::Duration;

use model::{LogId, RecordBatch};

pub mod embedded;
mod error;
pub mod kafka;

pub use error::{Disposition, Error};
pub use model::log_partition::partition_of;

/// The log's topics, by what they hold. Their names follow the configured prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    Telemetry,
    DeadLetter,
    Alerts,
    AlertsCurrent,
    Sessions,
    /// What shadow rules say, apart from the live alerts.
    AlertsShadow,
    /// What people ask to be done with alerts.
    AlertCommands,
}

impl Topic {
    pub const ALL: [Topic; 7] = [
        Topic::Telemetry,
        Topic::DeadLetter,
        Topic::Alerts,
        Topic::AlertsCurrent,
        Topic::Sessions,
        Topic::AlertsShadow,
        Topic::AlertCommands,
    ];

    /// Name after the prefix.
    pub const fn name(self) -> &'static str {
        match self {
            Topic::Telemetry => "telemetry.v1",
            Topic::DeadLetter => "dead-letter.v1",
            Topic::Alerts => "alerts.v1",
            Topic::AlertsCurrent => "alerts.current.v1",
            Topic::Sessions => "sessions.v1",
            Topic::AlertsShadow => "alerts.shadow.v1",
            Topic::AlertCommands => "alerts.commands.v1",
        }
    }

    /// Only the newest record of each key is kept; a tombstone erases the key.
    pub const fn is_compacted(self) -> bool {
        matches!(self, Topic::AlertsCurrent | Topic::Sessions)
    }

    /// Telemetry and all of alerts have the configured count, the others one partition.
    pub const fn partition_count(self, partitions: u32) -> u32 {
        match self {
            Topic::Telemetry
            | Topic::Alerts
            | Topic::AlertsCurrent
            | Topic::AlertsShadow
            | Topic::AlertCommands => partitions,
            Topic::DeadLetter | Topic::Sessions => 1,
        }
    }
}

/// Which of the log's consumers a position belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Consumer {
    Lake,
    Rules,
}

impl Consumer {
    pub const fn name(self) -> &'static str {
        match self {
            Consumer::Lake => "lake",
            Consumer::Rules => "rules",
        }
    }
}

/// Counts what one appender was given: everything up to it, over all topics and log partitions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// Called, from any thread, when [`Appender::durable`] may have advanced or room may have come back. Must not block.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// The port.
pub trait Log: Clone + Send + Sync + 'static {
    type Appender: Appender;
    type Reader: Reader;

    fn log_id(&self) -> LogId;

    /// Log partitions of `telemetry.v1`.
    fn partitions(&self) -> u32;

    /// An appender for one thread.
    ///
    /// # Errors
    /// The log is closed or cannot be reached.
    fn appender(&self, wake: Wake) -> Result<Self::Appender, Error>;

    /// A reader of `telemetry.v1` as a member of its consumer group: the partitions that this process is given arrive
    /// as [`ReadEvent::Assigned`], and each is silent until [`Reader::start`].
    ///
    /// # Errors
    /// The log is closed or cannot be reached.
    fn group_reader(&self, consumer: Consumer) -> Result<Self::Reader, Error>;

    /// A reader of named partitions from named offsets, outside any group. Nothing is assigned or revoked.
    ///
    /// # Errors
    /// The log is closed or cannot be reached, or an offset is outside the log's range.
    fn reader(&self, topic: Topic, starts: &[(u32, i64)]) -> Result<Self::Reader, Error>;

    /// The offsets that the log holds of one partition: first kept .. next to be given.
    ///
    /// # Errors
    /// The log is closed or cannot be reached.
    fn offsets(&self, topic: Topic, partition: u32) -> Result<std::ops::Range<i64>, Error>;

    /// `consumer` will never again read below `offset` of this partition of `telemetry.v1` for its own work. The embedded
    /// log may then unlink what no consumer needs and no repeat window reaches; Kafka notes it in the group for lag tools.
    ///
    /// # Errors
    /// The log is closed or cannot be reached; nothing depends on the answer.
    fn release(&self, consumer: Consumer, partition: u32, offset: i64) -> Result<(), Error>;

    /// How near what this process itself keeps is to its limits, by topic, for metrics.
    fn status(&self) -> Vec<TopicStatus>;

    /// Why nothing can be appended now, for readiness; `None` while all is well.
    fn trouble(&self) -> Option<String>;

    /// Closes the log: what was flushed becomes durable or fails, then appenders and readers get [`Error::Closed`].
    fn close(&self);
}

/// What an operator watches of one topic.
#[derive(Clone, Copy, Debug)]
pub struct TopicStatus {
    pub topic: Topic,
    /// Of segment files, and their limit.
    pub disk_bytes: u64,
    pub disk_bytes_max: u64,
    pub segments: usize,
    /// Of batches in memory for readers, and their limit.
    pub tail_bytes: usize,
    pub tail_bytes_max: usize,
    /// How far the log's clock is ahead of the wall clock, microseconds.
    pub clock_ahead_us: i64,
}

/// Appends to any topic from one thread. Nothing is sent before [`Appender::flush`] or before a produce batch is full.
pub trait Appender: Send {
    /// Adds one record to the open produce batch; never blocks, and takes it however full it is (see
    /// [`Appender::has_room`]). `value` `None` is a tombstone. `headers` are in the form of [`model::record::put_header`];
    /// `telemetry.v1` takes none.
    ///
    /// # Errors
    /// [`Error::RecordTooLarge`]: for its content, make it a dead letter. Anything else is for the log.
    fn append(
        &mut self,
        topic: Topic,
        partition: u32,
        key: &[u8],
        value: Option<&[u8]>,
        headers: &[u8],
    ) -> Result<(), Error>;

    /// Sends what was appended; the ticket is durable once all of it is.
    fn flush(&mut self) -> Ticket;

    /// The greatest ticket up to which everything is durable.
    ///
    /// # Errors
    /// The log failed for good for something above it: it will never become durable, and its senders get no answer.
    fn durable(&mut self) -> Result<Ticket, Error>;

    /// False while more than the appender's limit is appended and not durable: stop reading sockets.
    fn has_room(&self) -> bool;

    /// Bytes appended and not yet durable, and their limit, for metrics.
    fn fill(&self) -> (usize, usize);
}

/// What a reader has to say.
#[derive(Debug)]
pub enum ReadEvent {
    /// These partitions are this process's from now on; call [`Reader::start`] for each.
    Assigned(Vec<u32>),
    /// These are not any more. What was read of them and not committed is another's to do again. The next `poll` gives
    /// them up.
    Revoked(Vec<u32>),
    Records(RecordBatch),
    /// Nothing came within the wait.
    Idle,
}

/// Reads partitions of one topic. Records of a partition come in offset order, without a hole that the log does not have.
pub trait Reader: Send {
    /// The next event, waiting at most `wait`.
    ///
    /// # Errors
    /// [`Error::OutOfRange`]: that partition stops. Anything else: see [`Error::disposition`].
    fn poll(&mut self, wait: Duration) -> Result<ReadEvent, Error>;

    /// Begins, or begins again, to deliver a partition at `offset`.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] where the log does not hold the offset, at once or at the next `poll`.
    fn start(&mut self, partition: u32, offset: i64) -> Result<(), Error>;

    /// Stops delivering a partition until the next [`Reader::start`].
    ///
    /// # Errors
    /// The log is closed or cannot be reached.
    fn stop(&mut self, partition: u32) -> Result<(), Error>;

    /// The offset after the last durable record, as far as this reader knows; at start the log's end.
    ///
    /// # Errors
    /// The log is closed or cannot be reached.
    fn end(&mut self, partition: u32) -> Result<i64, Error>;
}
