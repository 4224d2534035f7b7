//! Any sequence of appends, flushes, reopenings and releases against a plain list of records.

use proptest::prelude::*;
use urban_neuron_log::embedded::{EmbeddedAppender, EmbeddedConfig, EmbeddedLog};
use urban_neuron_log::{Consumer, Log, Topic};

use crate::{Entry, appender, commit, config, memory_dir, put, read};

#[derive(Clone, Debug)]
enum Step {
    Append {
        partition: u32,
        value_bytes: usize,
    },
    Commit,
    Reopen,
    /// Everything up to so many records before the end.
    Release {
        partition: u32,
        behind: i64,
    },
    Check,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0..2u32, 0..120usize).prop_map(|(partition, value_bytes)| Step::Append { partition, value_bytes }),
        4 => Just(Step::Commit),
        1 => Just(Step::Reopen),
        1 => (0..2u32, 0..20i64).prop_map(|(partition, behind)| Step::Release { partition, behind }),
        1 => Just(Step::Check),
    ]
}

/// What the log must hold.
#[derive(Default)]
struct Model {
    appended: [Vec<Entry>; 2],
    released: [i64; 2],
}

const KEPT: i64 = 5;

impl Model {
    fn check(&self, log: &EmbeddedLog, appender: &mut EmbeddedAppender) {
        commit(appender);
        for partition in 0..2u32 {
            let appended = &self.appended[partition as usize];
            let held = log.offsets(Topic::Telemetry, partition).unwrap();
            assert_eq!(held.end, appended.len() as i64);
            assert!(held.start <= (self.released[partition as usize] - KEPT).max(0), "{held:?}");
            // Retention works beside this thread: what is read begins no earlier than what was held.
            let found = read(log, Topic::Telemetry, partition);
            assert!(appended.ends_with(&found) && found.len() as i64 <= held.end - held.start);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn the_log_is_a_list_that_survives_everything(
        steps in proptest::collection::vec(step(), 1..150),
        segment_bytes in 300..2000u64,
        tail_bytes_max in 0..3000usize,
        batch_bytes_max in 50..500usize,
    ) {
        let dir = memory_dir();
        let open = || {
            EmbeddedLog::open(EmbeddedConfig {
                segment_bytes,
                tail_bytes_max,
                batch_bytes_max,
                kept_records: KEPT,
                consumers: vec![Consumer::Lake],
                ..config(dir.path())
            })
            .unwrap()
        };
        let mut log = open();
        let mut appender = appender(&log);
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Append { partition, value_bytes } => {
                    let appended = &mut model.appended[partition as usize];
                    let offset = appended.len() as i64;
                    let entry = Entry { offset, key: offset.to_string(), value: Some("v".repeat(value_bytes)) };
                    put(&mut appender, Topic::Telemetry, partition, &entry.key, entry.value.as_deref());
                    appended.push(entry);
                }
                Step::Commit => _ = commit(&mut appender),
                Step::Reopen => {
                    model.check(&log, &mut appender);
                    log.close();
                    log = open();
                    appender = crate::appender(&log);
                }
                Step::Release { partition, behind } => {
                    let released = &mut model.released[partition as usize];
                    let end = log.offsets(Topic::Telemetry, partition).unwrap().end;
                    *released = (*released).max(end - behind);
                    log.release(Consumer::Lake, partition, (end - behind).max(0)).unwrap();
                }
                Step::Check => model.check(&log, &mut appender),
            }
        }
        model.check(&log, &mut appender);
        log.close();
    }
}
