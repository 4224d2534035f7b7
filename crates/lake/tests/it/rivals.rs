//! Two writers that both believe that they own a log partition.

use proptest::prelude::*;
use urban_neuron_lake::{CommitOutcome, Lake, LakeConfig, Step};

use crate::city;
use crate::log::{Worker, assert_whole, folder};

/// What one of the workers does next.
#[derive(Clone, Debug)]
enum Move {
    Read(usize),
    Commit(usize),
    /// The commit fails at this step; the worker tries again at its next commit.
    CommitTo(usize, Step),
    /// The worker dies and another takes its place.
    Die(usize),
}

fn moves() -> impl Strategy<Value = Move> {
    let step = prop::sample::select(Step::ALL.to_vec());
    prop_oneof![
        5 => (0usize..3).prop_map(Move::Read),
        3 => (0usize..3).prop_map(Move::Commit),
        3 => (0usize..3, step).prop_map(|(worker, step)| Move::CommitTo(worker, step)),
        1 => (0usize..3).prop_map(Move::Die),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn any_interleaving_lands_every_record_once(schedule in prop::collection::vec(moves(), 0..60), seed: u64) {
        let folder = folder();
        let records = city::records(seed, 0, 120);
        let stop: std::sync::Arc<parking_lot::Mutex<Option<Step>>> = Default::default();
        let failpoint: urban_neuron_lake::Failpoint = {
            let stop = stop.clone();
            std::sync::Arc::new(move |here| match *stop.lock() {
                Some(step) if step == here => Err(std::io::Error::other("it stops here")),
                _ => Ok(()),
            })
        };
        let lake = Lake::open(LakeConfig { failpoint: Some(failpoint), ..LakeConfig::new(folder.path()) }).unwrap();
        let assign = |worker: usize| Worker::assign(&lake, &records, 5 + 7 * worker);
        let mut workers: Vec<Worker<'_>> = (0..3).map(assign).collect();
        for step in schedule {
            match step {
                Move::Read(worker) => workers[worker].read(),
                Move::Commit(worker) => {
                    workers[worker].commit().unwrap();
                }
                Move::CommitTo(worker, step) => {
                    *stop.lock() = Some(step);
                    // It fails where there is something to commit and the step is reached.
                    let _stopped = workers[worker].commit();
                    *stop.lock() = None;
                }
                Move::Die(worker) => workers[worker] = assign(worker),
            }
        }
        for worker in &mut workers {
            worker.finish();
        }
        drop(workers);
        assert_whole(folder.path(), &records);
    }
}

#[test]
fn a_writer_that_wakes_after_another_took_over_gives_up_its_range() {
    let folder = folder();
    let records = city::records(21, 0, 200);
    let lake = Lake::open(LakeConfig::new(folder.path())).unwrap();
    let mut paused = Worker::assign(&lake, &records, 50);
    paused.read();
    let mut rival = Worker::assign(&lake, &records, 30);
    rival.read();
    assert!(matches!(rival.commit().unwrap(), CommitOutcome::Committed(_)));
    rival.read();
    assert!(matches!(rival.commit().unwrap(), CommitOutcome::Committed(_)));

    let CommitOutcome::Restart(start) = paused.commit().unwrap() else { panic!("the range is the rival's") };
    assert_eq!(start.next, rival.lander.next());
    paused.finish();
    rival.finish();
    assert_whole(folder.path(), &records);
}

#[test]
fn a_range_that_was_decided_by_a_dead_writer_is_published_by_the_next() {
    let folder = folder();
    let records = city::records(22, 0, 100);
    let failpoint: urban_neuron_lake::Failpoint = std::sync::Arc::new(|step| match step {
        Step::BeforePublish => Err(std::io::Error::other("it stops here")),
        _ => Ok(()),
    });
    let stopping = LakeConfig { failpoint: Some(failpoint), ..LakeConfig::new(folder.path()) };
    let lake = Lake::open(stopping).unwrap();
    let mut dead = Worker::assign(&lake, &records, 100);
    dead.read();
    dead.commit().unwrap_err();
    let report = urban_neuron_lake::verify(folder.path()).unwrap();
    assert!(report.unpublished > 0 && report.problems.is_empty(), "{report:?}");

    let lake = Lake::open(LakeConfig::new(folder.path())).unwrap();
    let next = Worker::assign(&lake, &records, 100);
    assert_eq!(next.lander.next(), records[99].offset + 1);
    assert_whole(folder.path(), &records);
}
