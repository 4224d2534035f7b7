//! The writing side of one thread: fills batches in their stored form and hands them to the committers.
//!
//! It takes no lock to append and none to ask what is durable.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Journals;
use super::batch::{OpenBatch, SealedBatch};
use super::journal::{Progress, Submission};
use crate::{Appender, Error, Ticket, Topic, Wake};

/// Appends to the embedded log from one thread.
pub struct EmbeddedAppender {
    journals: Journals,
    topics: [OpenTopic; Topic::ALL.len()],
    progress: Arc<Progress>,
    /// Oldest first, all that was flushed and not seen to be durable. Bounded by what the appender has room for.
    flushed: VecDeque<Flushed>,
    appended_records: u64,
    durable_records: u64,
    appended_bytes: u64,
    open_bytes: usize,
}

/// The open batches of one topic.
#[derive(Default)]
struct OpenTopic {
    batches: Vec<OpenBatch>,
    /// Log partitions whose batch is not empty, in the order of their first record.
    touched: Vec<u32>,
    bytes: u64,
}

struct Flushed {
    ticket: u64,
    /// One bit a topic that the flush wrote to.
    topics: u8,
}

impl EmbeddedAppender {
    pub(super) fn new(journals: Journals, wake: Wake) -> Self {
        let topics = std::array::from_fn(|at| {
            let count = Topic::ALL[at].partition_count(journals[at].config.partitions);
            let batches = (0..count).map(|_| OpenBatch::default()).collect();
            OpenTopic { batches, ..OpenTopic::default() }
        });
        let progress = Progress { tickets: Default::default(), durable_bytes: AtomicU64::new(0), wake };
        EmbeddedAppender {
            journals,
            topics,
            progress: Arc::new(progress),
            flushed: VecDeque::new(),
            appended_records: 0,
            durable_records: 0,
            appended_bytes: 0,
            open_bytes: 0,
        }
    }

    fn is_durable(&self, flushed: &Flushed) -> bool {
        let tickets = self.progress.tickets.iter().enumerate();
        tickets.filter(|(at, _)| flushed.topics & 1 << at != 0).all(|(_, durable)| {
            // Pairs with the committer's store after it published the batches.
            durable.load(Ordering::Acquire) >= flushed.ticket
        })
    }
}

impl Appender for EmbeddedAppender {
    #[inline]
    fn append(
        &mut self,
        topic: Topic,
        log_partition: u32,
        key: &[u8],
        value: Option<&[u8]>,
        headers: &[u8],
    ) -> Result<(), Error> {
        let journal = &self.journals[topic as usize];
        journal.check_open()?;
        let bytes = key.len() + value.map_or(0, <[u8]>::len) + headers.len();
        let max = journal.config.record_bytes_max;
        if bytes > max {
            return Err(Error::RecordTooLarge { bytes, max });
        }
        let open = &mut self.topics[topic as usize];
        let Some(batch) = open.batches.get_mut(log_partition as usize) else {
            return journal.check_partition(log_partition);
        };
        if batch.is_empty() {
            open.touched.push(log_partition);
        }
        let taken = batch.push(key, value, headers);
        open.bytes += taken as u64;
        self.appended_bytes += taken as u64;
        self.appended_records += 1;
        self.open_bytes += taken;
        if self.open_bytes >= journal.config.batch_bytes_max {
            self.flush();
        }
        Ok(())
    }

    fn flush(&mut self) -> Ticket {
        let ticket = self.appended_records;
        let mut topics = 0;
        for (at, open) in self.topics.iter_mut().enumerate().filter(|(_, open)| !open.touched.is_empty()) {
            topics |= 1 << at;
            let seal = |log_partition: u32| open.batches[log_partition as usize].seal(log_partition);
            let batches: Vec<SealedBatch> = open.touched.drain(..).map(seal).collect();
            let bytes = std::mem::take(&mut open.bytes);
            self.journals[at].submit(Submission {
                progress: Arc::clone(&self.progress),
                ticket,
                batches,
                bytes,
            });
        }
        if topics != 0 {
            self.flushed.push_back(Flushed { ticket, topics });
            self.open_bytes = 0;
        }
        Ticket(ticket)
    }

    fn durable(&mut self) -> Result<Ticket, Error> {
        // Asked first: what is not durable when the log has ended never will be.
        let open = self.journals.iter().try_for_each(|journal| journal.check_open());
        let before = self.durable_records;
        while let Some(oldest) = self.flushed.front().filter(|flushed| self.is_durable(flushed)) {
            self.durable_records = oldest.ticket;
            self.flushed.pop_front();
        }
        if self.durable_records == before && !self.flushed.is_empty() {
            open?;
        }
        Ok(Ticket(self.durable_records))
    }

    fn has_room(&self) -> bool {
        let (fill, max) = self.fill();
        fill <= max
    }

    fn fill(&self) -> (usize, usize) {
        let durable_bytes = self.progress.durable_bytes.load(Ordering::Relaxed);
        let max = self.journals[Topic::Telemetry as usize].config.appender_bytes_max;
        ((self.appended_bytes - durable_bytes) as usize, max)
    }
}
