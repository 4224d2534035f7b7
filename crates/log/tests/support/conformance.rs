//! The one suite that every implementation of [`urban_neuron_log::Log`] passes: what callers may rely on, whichever log they have.
//!
//! It knows the port only. An implementation gives [`Suite`] a way to open a named log and calls [`Suite::run`] from a
//! test; a check that fails panics with the check's name in the output. Nothing here waits for a fixed time: each wait is
//! for a condition, with `patience` as its end.
#![allow(unreachable_pub, reason = "included by the test of each implementation")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use model::record::put_header;

use urban_neuron_log::{Appender, Consumer, Error, Log, ReadEvent, Reader, Ticket, Topic, Wake};

/// The suite, over one implementation.
pub struct Suite<F> {
    /// Opens the log of this name with so many partitions, made when it does not exist. After [`Log::close`] the same name
    /// is opened again; other names are other logs.
    pub open: F,
    /// The largest record that the opened logs take, bytes.
    pub record_bytes_max: usize,
    /// The longest wait for anything that must happen.
    pub patience: Duration,
}

/// One promise, checked on the log of this name.
type Check<F> = fn(&Suite<F>, &str);

/// One record as the suite compares it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    offset: i64,
    log_time_us: i64,
    key: Vec<u8>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Vec<u8>)>,
}

const PARTITIONS: u32 = 4;
const POLL: Duration = Duration::from_millis(20);

impl<L: Log, F: Fn(&str, u32) -> Result<L, Error> + Sync> Suite<F> {
    /// Runs every check.
    pub fn run(&self) {
        let checks: [(&str, Check<F>); 15] = [
            ("order-and-next", Self::records_come_in_order_with_an_exact_next),
            ("before-flush", Self::nothing_is_sent_before_flush),
            ("tickets", Self::a_ticket_covers_all_topics_and_never_steps_back),
            ("wake", Self::wake_is_called_when_durable_advances),
            ("any-offset", Self::a_reader_starts_at_any_offset),
            ("out-of-range", Self::offsets_outside_the_log_are_errors),
            ("contents", Self::tombstones_headers_and_empty_values_survive),
            ("too-large", Self::a_record_too_large_is_refused_alone),
            ("partitions", Self::only_the_partitions_of_a_topic_exist),
            ("appenders", Self::appenders_interleave_without_loss_or_repeat),
            ("from-the-end", Self::a_reader_at_the_end_sees_only_what_is_new),
            ("group", Self::a_group_reader_is_assigned_and_obeys_start_and_stop),
            ("clock", Self::log_time_never_steps_back),
            ("close", Self::a_closed_log_says_so),
            ("reopen", Self::reopening_keeps_identity_offsets_and_records),
        ];
        for (name, check) in checks {
            // The test harness shows this line when the check fails.
            println!("conformance: {name}");
            check(self, name);
        }
    }

    fn records_come_in_order_with_an_exact_next(&self, name: &str) {
        let log = self.opened(name);
        let mut appender = log.appender(no_wake()).unwrap();
        for round in 0..5 {
            for index in 0..40u32 {
                let partition = index % PARTITIONS;
                let value = format!("{round}-{index}");
                appender.append(Topic::Telemetry, partition, b"device", Some(value.as_bytes()), &[]).unwrap();
            }
            let ticket = appender.flush();
            self.until_durable(&mut appender, ticket);
        }
        for partition in 0..PARTITIONS {
            assert_eq!(log.offsets(Topic::Telemetry, partition).unwrap(), 0..50);
        }
        let starts: Vec<_> = (0..PARTITIONS).map(|partition| (partition, 0)).collect();
        let mut reader = log.reader(Topic::Telemetry, &starts).unwrap();
        let seen = self.read_to(&mut reader, &starts, &[50; PARTITIONS as usize]);
        for partition in 0..PARTITIONS {
            let values: Vec<_> = seen[&partition].iter().map(|seen| text(&seen.value)).collect();
            let expected: Vec<_> = (0..5)
                .flat_map(|round| {
                    (0..40).filter(|i| i % PARTITIONS == partition).map(move |i| format!("{round}-{i}"))
                })
                .collect();
            assert_eq!(values, expected, "partition {partition}");
            assert!(seen[&partition].iter().map(|seen| seen.offset).eq(0..50), "offsets are dense");
            assert_eq!(reader.end(partition).unwrap(), 50);
        }
        log.close();
    }

    fn nothing_is_sent_before_flush(&self, name: &str) {
        let log = self.opened(name);
        let mut appender = log.appender(no_wake()).unwrap();
        append(&mut appender, Topic::Telemetry, 0, "held");
        let mut reader = log.reader(Topic::Telemetry, &[(0, 0)]).unwrap();
        assert!(matches!(reader.poll(POLL).unwrap(), ReadEvent::Idle));
        assert_eq!(log.offsets(Topic::Telemetry, 0).unwrap(), 0..0);
        assert!(appender.fill().0 > 0 && appender.has_room());
        let ticket = appender.flush();
        self.until_durable(&mut appender, ticket);
        assert_eq!(self.read_to(&mut reader, &[(0, 0)], &[1])[&0].len(), 1);
        assert_eq!(appender.fill().0, 0);
        log.close();
    }

    fn a_ticket_covers_all_topics_and_never_steps_back(&self, name: &str) {
        let log = self.opened(name);
        let mut appender = log.appender(no_wake()).unwrap();
        let mut tickets = vec![appender.flush()];
        assert_eq!(appender.durable().unwrap(), tickets[0], "nothing was appended, so all of it is durable");
        for round in 0..21 {
            let topic = Topic::ALL[round % Topic::ALL.len()];
            append(&mut appender, Topic::Telemetry, round as u32 % PARTITIONS, "reading");
            append(&mut appender, topic, 0, "other");
            tickets.push(appender.flush());
        }
        assert!(
            tickets.windows(2).all(|pair| pair[0] < pair[1]),
            "each flush of something is a greater ticket"
        );
        assert_eq!(appender.flush(), tickets[21], "a flush of nothing is the same ticket");
        let mut last = Ticket::default();
        self.until("every ticket is durable", || {
            let durable = appender.durable().unwrap();
            assert!(durable >= last && durable <= tickets[21], "{durable:?} after {last:?}");
            last = durable;
            durable == tickets[21]
        });
        let ends = |topic| -> i64 {
            (0..topic_partitions(topic)).map(|partition| log.offsets(topic, partition).unwrap().end).sum()
        };
        assert_eq!(Topic::ALL.map(ends), [24, 3, 3, 3, 3, 3, 3], "all topics hold what the ticket covers");
        log.close();
    }

    fn wake_is_called_when_durable_advances(&self, name: &str) {
        let log = self.opened(name);
        let woken = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&woken);
        let wake: Wake = Arc::new(move || {
            count.fetch_add(1, Ordering::SeqCst);
        });
        let mut appender = log.appender(wake).unwrap();
        for _ in 0..3 {
            let before = woken.load(Ordering::SeqCst);
            append(&mut appender, Topic::Telemetry, 0, "x");
            let ticket = appender.flush();
            // Only ever asked again after a wake: a wake that came too early or not at all leaves this waiting.
            let mut asked_at = before;
            self.until("a wake announces the ticket", || {
                let now = woken.load(Ordering::SeqCst);
                let is_woken = now > asked_at;
                asked_at = now;
                is_woken && appender.durable().unwrap() == ticket
            });
        }
        log.close();
    }

    fn a_reader_starts_at_any_offset(&self, name: &str) {
        let log = self.filled(name, 30);
        for start in [0, 1, 13, 29] {
            let mut reader = log.reader(Topic::Telemetry, &[(1, start)]).unwrap();
            let seen = self.read_to(&mut reader, &[(1, start)], &[30]);
            assert!(seen[&1].iter().map(|seen| seen.offset).eq(start..30), "from {start}");
            reader.start(1, 5).unwrap();
            let again = self.read_to(&mut reader, &[(1, 5)], &[30]);
            assert!(again[&1].iter().map(|seen| seen.offset).eq(5..30), "back to 5 after {start}");
        }
        log.close();
    }

    fn offsets_outside_the_log_are_errors(&self, name: &str) {
        let log = self.filled(name, 3);
        for offset in [-1, 4, 1_000_000] {
            let found =
                log.reader(Topic::Telemetry, &[(0, offset)]).map(|mut reader| self.first_error(&mut reader));
            let error = found.unwrap_or_else(|error| error);
            assert_out_of_range(&error, offset);
            let mut reader = log.reader(Topic::Telemetry, &[(0, 0)]).unwrap();
            let error = reader.start(0, offset).err().unwrap_or_else(|| self.first_error(&mut reader));
            assert_out_of_range(&error, offset);
        }
        log.close();
    }

    fn tombstones_headers_and_empty_values_survive(&self, name: &str) {
        let log = self.opened(name);
        let mut appender = log.appender(no_wake()).unwrap();
        let mut headers = Vec::new();
        put_header(&mut headers, "ce_id", "告警/raised".as_bytes());
        put_header(&mut headers, "empty", b"");
        let topic = Topic::AlertsCurrent;
        appender.append(topic, 0, b"a", Some(b"x"), &headers).unwrap();
        appender.append(topic, 0, b"b", Some(b""), &[]).unwrap();
        appender.append(topic, 0, b"c", None, &[]).unwrap();
        appender.append(topic, 0, b"d", Some(&[0, 255, 10]), &[]).unwrap();
        let ticket = appender.flush();
        self.until_durable(&mut appender, ticket);
        let mut reader = log.reader(topic, &[(0, 0)]).unwrap();
        let seen = self.read_to(&mut reader, &[(0, 0)], &[4]).remove(&0).unwrap();
        let keys: Vec<_> = seen.iter().map(|seen| seen.key.as_slice()).collect();
        assert_eq!(keys, [b"a", b"b", b"c", b"d"]);
        let values: Vec<_> = seen.iter().map(|seen| seen.value.as_deref()).collect();
        assert_eq!(values, [Some(&b"x"[..]), Some(b""), None, Some(&[0, 255, 10])]);
        let expected = [("ce_id".into(), "告警/raised".as_bytes().to_vec()), ("empty".into(), vec![])];
        assert_eq!(seen[0].headers, expected);
        assert!(seen[1..].iter().all(|seen| seen.headers.is_empty()));
        log.close();
    }

    fn a_record_too_large_is_refused_alone(&self, name: &str) {
        let log = self.opened(name);
        let mut appender = log.appender(no_wake()).unwrap();
        append(&mut appender, Topic::Telemetry, 0, "before");
        let large = vec![7; self.record_bytes_max + 1];
        let error = appender.append(Topic::Telemetry, 0, b"device", Some(&large), &[]).unwrap_err();
        assert!(
            matches!(error, Error::RecordTooLarge { max, .. } if max == self.record_bytes_max),
            "{error}"
        );
        appender
            .append(Topic::Telemetry, 0, b"device", Some(&large[..self.record_bytes_max / 2]), &[])
            .unwrap();
        append(&mut appender, Topic::Telemetry, 0, "after");
        let ticket = appender.flush();
        self.until_durable(&mut appender, ticket);
        let mut reader = log.reader(Topic::Telemetry, &[(0, 0)]).unwrap();
        let seen = self.read_to(&mut reader, &[(0, 0)], &[3]).remove(&0).unwrap();
        let sizes: Vec<_> = seen.iter().map(|seen| seen.value.as_ref().map_or(0, Vec::len)).collect();
        assert_eq!(sizes, [6, self.record_bytes_max / 2, 5]);
        log.close();
    }

    fn only_the_partitions_of_a_topic_exist(&self, name: &str) {
        let log = self.opened(name);
        assert_eq!(log.partitions(), PARTITIONS);
        let mut appender = log.appender(no_wake()).unwrap();
        for topic in Topic::ALL {
            let count = topic_partitions(topic);
            assert_eq!(log.offsets(topic, count - 1).unwrap(), 0..0, "{topic:?}");
            assert!(log.offsets(topic, count).is_err(), "{topic:?}");
            assert!(log.reader(topic, &[(count, 0)]).is_err(), "{topic:?}");
            assert!(appender.append(topic, count, b"k", Some(b"v"), &[]).is_err(), "{topic:?}");
        }
        log.close();
        let Err(error) = (self.open)(name, PARTITIONS + 1) else {
            panic!("another count of partitions was taken")
        };
        assert!(matches!(error, Error::Refused(_)), "{error}");
    }

    fn appenders_interleave_without_loss_or_repeat(&self, name: &str) {
        const THREADS: u32 = 3;
        const EACH: u32 = 600;
        let log = self.opened(name);
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let mut appender = log.appender(no_wake()).unwrap();
                scope.spawn(move || {
                    let mut ticket = Ticket::default();
                    for index in 0..EACH {
                        append(
                            &mut appender,
                            Topic::Telemetry,
                            index % PARTITIONS,
                            &format!("{thread}:{index}"),
                        );
                        // Produce batches of differing sizes, the last one short.
                        if index % (7 + thread) == 0 || index + 1 == EACH {
                            ticket = appender.flush();
                        }
                    }
                    self.until_durable(&mut appender, ticket);
                });
            }
        });
        let per_partition = i64::from(THREADS * EACH / PARTITIONS);
        let starts: Vec<_> = (0..PARTITIONS).map(|partition| (partition, 0)).collect();
        let mut reader = log.reader(Topic::Telemetry, &starts).unwrap();
        let seen = self.read_to(&mut reader, &starts, &[per_partition; PARTITIONS as usize]);
        for (partition, seen) in seen {
            for thread in 0..THREADS {
                let prefix = format!("{thread}:");
                let own =
                    seen.iter().map(|seen| text(&seen.value)).filter(|value| value.starts_with(&prefix));
                let expected =
                    (0..EACH).filter(|i| i % PARTITIONS == partition).map(|i| format!("{thread}:{i}"));
                assert!(
                    own.eq(expected),
                    "thread {thread}, partition {partition}: lost, repeated or out of order"
                );
            }
        }
        log.close();
    }

    fn a_reader_at_the_end_sees_only_what_is_new(&self, name: &str) {
        let log = self.filled(name, 10);
        let mut reader = log.reader(Topic::Telemetry, &[(0, 10)]).unwrap();
        assert!(matches!(reader.poll(POLL).unwrap(), ReadEvent::Idle));
        let mut appender = log.appender(no_wake()).unwrap();
        append(&mut appender, Topic::Telemetry, 0, "new");
        appender.flush();
        let seen = self.read_to(&mut reader, &[(0, 10)], &[11]).remove(&0).unwrap();
        assert_eq!((seen.len(), seen[0].offset, text(&seen[0].value).as_str()), (1, 10, "new"));
        log.close();
    }

    fn a_group_reader_is_assigned_and_obeys_start_and_stop(&self, name: &str) {
        let log = self.filled(name, 8);
        let mut reader = log.group_reader(Consumer::Lake).unwrap();
        let mut assigned = Vec::new();
        self.until("all partitions are assigned", || {
            match reader.poll(POLL).unwrap() {
                ReadEvent::Assigned(partitions) => assigned.extend(partitions),
                ReadEvent::Idle => {}
                other => panic!("silent until it is started, yet {other:?}"),
            }
            assigned.len() == PARTITIONS as usize
        });
        assigned.sort_unstable();
        assert!(assigned.iter().copied().eq(0..PARTITIONS));
        assert!(matches!(reader.poll(POLL).unwrap(), ReadEvent::Idle), "silent until it is started");

        reader.start(2, 3).unwrap();
        let seen = self.read_to(&mut reader, &[(2, 3)], &[8]);
        assert!(seen[&2].iter().map(|seen| seen.offset).eq(3..8));
        reader.stop(2).unwrap();
        let mut appender = log.appender(no_wake()).unwrap();
        (0..PARTITIONS).for_each(|partition| append(&mut appender, Topic::Telemetry, partition, "more"));
        let ticket = appender.flush();
        self.until_durable(&mut appender, ticket);
        assert!(matches!(reader.poll(POLL).unwrap(), ReadEvent::Idle), "a stopped partition is silent");
        reader.start(2, 8).unwrap();
        reader.start(0, 0).unwrap();
        let seen = self.read_to(&mut reader, &[(2, 8), (0, 0)], &[9, 9]);
        assert_eq!((seen[&2].len(), seen[&0].len()), (1, 9));
        log.release(Consumer::Lake, 2, 9).unwrap();
        log.close();
    }

    fn log_time_never_steps_back(&self, name: &str) {
        let log = self.filled(name, 20);
        let mut reader = log.reader(Topic::Telemetry, &[(3, 0)]).unwrap();
        let seen = self.read_to(&mut reader, &[(3, 0)], &[20]).remove(&3).unwrap();
        assert!(seen.windows(2).all(|pair| pair[0].log_time_us <= pair[1].log_time_us));
        // After 2020: microseconds, not another unit.
        assert!(seen[0].log_time_us > 1_577_836_800_000_000, "{}", seen[0].log_time_us);
        log.close();
    }

    fn a_closed_log_says_so(&self, name: &str) {
        let log = self.opened(name);
        let mut appender = log.appender(no_wake()).unwrap();
        let mut reader = log.reader(Topic::Telemetry, &[(0, 0)]).unwrap();
        append(&mut appender, Topic::Telemetry, 0, "flushed");
        let ticket = appender.flush();
        log.close();
        assert_eq!(appender.durable().unwrap(), ticket, "close makes durable what was flushed");
        let error = appender.append(Topic::Telemetry, 0, b"k", Some(b"late"), &[]).unwrap_err();
        assert!(matches!(error, Error::Closed), "{error}");
        let error = self.first_error(&mut reader);
        assert!(matches!(error, Error::Closed), "{error}");
        assert!(log.appender(no_wake()).is_err() && log.group_reader(Consumer::Rules).is_err());
        log.close();
    }

    fn reopening_keeps_identity_offsets_and_records(&self, name: &str) {
        let log = self.filled(name, 6);
        let (id, other) = (log.log_id(), self.opened("reopen-other"));
        assert_ne!(other.log_id(), id, "two logs have two identities");
        other.close();
        log.close();
        let log = self.opened(name);
        assert_eq!(log.log_id(), id);
        assert_eq!(log.offsets(Topic::Telemetry, 1).unwrap(), 0..6);
        let mut appender = log.appender(no_wake()).unwrap();
        append(&mut appender, Topic::Telemetry, 1, "after");
        let ticket = appender.flush();
        self.until_durable(&mut appender, ticket);
        let mut reader = log.reader(Topic::Telemetry, &[(1, 0)]).unwrap();
        let seen = self.read_to(&mut reader, &[(1, 0)], &[7]).remove(&1).unwrap();
        assert!(seen.iter().map(|seen| seen.offset).eq(0..7));
        assert_eq!(text(&seen[6].value), "after");
        assert!(seen[5].log_time_us <= seen[6].log_time_us);
        log.close();
    }

    fn opened(&self, name: &str) -> L {
        (self.open)(name, PARTITIONS).unwrap()
    }

    /// A log with `count` records in each partition of telemetry, in several produce batches.
    fn filled(&self, name: &str, count: u32) -> L {
        let log = self.opened(name);
        let mut appender = log.appender(no_wake()).unwrap();
        for index in 0..count {
            for partition in 0..PARTITIONS {
                append(&mut appender, Topic::Telemetry, partition, &index.to_string());
            }
            if index % 4 == 3 {
                appender.flush();
            }
        }
        let ticket = appender.flush();
        self.until_durable(&mut appender, ticket);
        log
    }

    /// Reads until each partition of `starts` has come to its end, and checks that nothing comes beyond, before or twice.
    fn read_to(
        &self,
        reader: &mut L::Reader,
        starts: &[(u32, i64)],
        ends: &[i64],
    ) -> BTreeMap<u32, Vec<Seen>> {
        let mut next: BTreeMap<u32, i64> = starts.iter().copied().collect();
        let ends: BTreeMap<u32, i64> =
            starts.iter().map(|(partition, _)| *partition).zip(ends.iter().copied()).collect();
        let mut seen: BTreeMap<u32, Vec<Seen>> = BTreeMap::new();
        self.until("the readers come to the end", || {
            match reader.poll(POLL).unwrap() {
                ReadEvent::Records(batch) => {
                    let Some(next) = next.get_mut(&batch.log_partition) else {
                        panic!("partition {} was not started", batch.log_partition)
                    };
                    for record in batch.iter() {
                        assert!(
                            record.offset >= *next,
                            "offset {} came before or twice, next is {next}",
                            record.offset
                        );
                        *next = record.offset + 1;
                        seen.entry(batch.log_partition).or_default().push(Seen {
                            offset: record.offset,
                            log_time_us: record.log_time_us,
                            key: record.key.to_vec(),
                            value: (!record.is_tombstone).then(|| record.value.to_vec()),
                            headers: record
                                .headers()
                                .map(|(name, value)| (name.to_owned(), value.to_vec()))
                                .collect(),
                        });
                    }
                    assert!(batch.next >= *next, "next lies inside the batch");
                    *next = batch.next;
                }
                ReadEvent::Idle => {}
                other => panic!("{other:?}"),
            }
            next == ends
        });
        seen
    }

    fn first_error(&self, reader: &mut L::Reader) -> Error {
        let mut found = None;
        self.until("the reader says an error", || {
            found = reader.poll(POLL).err();
            found.is_some()
        });
        found.unwrap()
    }

    fn until_durable(&self, appender: &mut L::Appender, ticket: Ticket) {
        self.until("the ticket is durable", || appender.durable().unwrap() >= ticket);
    }

    fn until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let deadline = Instant::now() + self.patience;
        while !holds() {
            assert!(Instant::now() < deadline, "waited {:?} until {what}", self.patience);
            std::thread::yield_now();
        }
    }
}

fn append(appender: &mut impl Appender, topic: Topic, partition: u32, value: &str) {
    appender.append(topic, partition, b"device", Some(value.as_bytes()), &[]).unwrap();
}

fn no_wake() -> Wake {
    Arc::new(|| {})
}

fn text(value: &Option<Vec<u8>>) -> String {
    String::from_utf8(value.clone().unwrap()).unwrap()
}

fn topic_partitions(topic: Topic) -> u32 {
    topic.partition_count(PARTITIONS)
}

fn assert_out_of_range(error: &Error, asked: i64) {
    assert!(matches!(error, Error::OutOfRange { partition: 0, .. }), "offset {asked}: {error}");
}
