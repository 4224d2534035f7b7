//! A process that dies, and a disk that fails, at every step of a commit.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use urban_neuron_lake::{CommitOutcome, Disposition, Failpoint, Lake, LakeConfig, Step};

use crate::city;
use crate::log::{Worker, assert_whole, folder};
use crate::table;

/// Does `what` the `nth` time that `step` is reached, counted from 0.
fn at(step: Step, nth: usize, what: impl Fn() -> io::Result<()> + Send + Sync + 'static) -> Failpoint {
    let reached = AtomicUsize::new(0);
    Arc::new(
        move |here| {
            if here == step && reached.fetch_add(1, Ordering::SeqCst) == nth { what() } else { Ok(()) }
        },
    )
}

#[test]
fn a_process_that_dies_anywhere_is_continued_without_loss_or_repeat() {
    let records = city::records(11, 0, 300);
    for step in Step::ALL {
        for nth in 0..4 {
            let folder = folder();
            let dying = LakeConfig {
                failpoint: Some(at(step, nth, || panic!("the process dies here"))),
                ..LakeConfig::new(folder.path())
            };
            let lake = Lake::open(dying).unwrap();
            let died = catch_unwind(AssertUnwindSafe(|| Worker::assign(&lake, &records, 60).finish()));
            assert!(died.is_err(), "{} was not reached {nth} times", step.name());

            let lake = Lake::open(LakeConfig::new(folder.path())).unwrap();
            Worker::assign(&lake, &records, 70).finish();
            assert_whole(folder.path(), &records);
            for left in ["_staging/telemetry", "_staging/control", "_staging/commits"] {
                let left = table::files(folder.path(), left);
                assert!(left.is_empty(), "{} {nth} leaves {left:?}", step.name());
            }
        }
    }
}

#[test]
fn a_process_that_dies_again_and_again_gets_there() {
    let records = city::records(12, 0, 300);
    let folder = folder();
    let mut dice = city::Dice(12);
    for _ in 0..40 {
        let step = Step::ALL[dice.roll(6) as usize];
        let dying = LakeConfig {
            failpoint: Some(at(step, dice.roll(3) as usize, || panic!("the process dies here"))),
            ..LakeConfig::new(folder.path())
        };
        let lake = Lake::open(dying).unwrap();
        // Some get through: then there is nothing left to do for the next ones.
        let _died = catch_unwind(AssertUnwindSafe(|| Worker::assign(&lake, &records, 30).finish()));
    }
    Worker::assign(&Lake::open(LakeConfig::new(folder.path())).unwrap(), &records, 30).finish();
    assert_whole(folder.path(), &records);
}

#[test]
fn a_disk_that_fails_anywhere_is_tried_again_and_nothing_is_lost() {
    let records = city::records(13, 0, 300);
    for step in Step::ALL {
        let folder = folder();
        let full = || Err(io::Error::from(io::ErrorKind::StorageFull));
        let config = LakeConfig { failpoint: Some(at(step, 1, full)), ..LakeConfig::new(folder.path()) };
        let lake = Lake::open(config).unwrap();
        let mut worker = Worker::assign(&lake, &records, 60);
        let mut failures = 0;
        while !worker.is_done() || worker.lander.taken() > worker.lander.next() {
            worker.read();
            match worker.commit() {
                Ok(outcome) => {
                    assert!(!matches!(outcome, CommitOutcome::Restart(_)), "{}", step.name());
                    assert_eq!(lake.trouble(), None);
                }
                Err(error) => {
                    failures += 1;
                    assert_eq!(error.disposition(), Disposition::Retry);
                    assert_eq!(lake.trouble(), Some(error.to_string()));
                }
            }
        }
        assert_eq!(failures, 1, "{}", step.name());
        assert_whole(folder.path(), &records);
    }
}
