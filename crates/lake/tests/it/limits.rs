//! Limits, rotation, gaps and records that cannot land.

use std::time::{Duration, Instant, SystemTime};

use model::proto::log_record::Record;
use model::{RecordBatch, RecordBatchBuilder, proto};
use parquet::file::reader::{FileReader, SerializedFileReader};
use prost::Message;
use urban_neuron_lake::{
    CommitOutcome, Disposition, Error, Lake, LakeConfig, Pushed, RangeKind, Source, describe, ranges, verify,
};

use crate::city::{self, Dice, LOG_ID, PARTITION};
use crate::log::{Worker, assert_whole, commit, folder, push_all};
use crate::table;

const DAY_US: i64 = 86_400_000_000;

fn telemetry_at(offset: i64, observed_at_us: i64, domain: &str) -> Vec<u8> {
    let mut telemetry = city::telemetry(&mut Dice(1), offset);
    telemetry.observed_at_us = observed_at_us;
    telemetry.domain = domain.to_owned();
    telemetry.readings.iter_mut().for_each(|reading| reading.time = None);
    city::log_record(Record::Telemetry(telemetry))
}

fn batch_of(first: i64, values: &[Vec<u8>]) -> RecordBatch {
    let mut builder = RecordBatchBuilder::default();
    for (offset, value) in (first..).zip(values) {
        builder.push(offset, 1_000_000 + offset, b"", Some(value), &[]);
    }
    builder.finish(PARTITION, first + values.len() as i64)
}

#[test]
fn late_rows_go_to_their_old_dates_and_never_open_more_than_the_limit() {
    let folder = folder();
    let config = LakeConfig { open_table_partitions_max: 3, ..LakeConfig::new(folder.path()) };
    let lake = Lake::open(config).unwrap();
    let mut lander = lake.partition(LOG_ID, PARTITION, 0).unwrap();
    let values: Vec<Vec<u8>> = (0..10).map(|day| telemetry_at(day, day * 365 * DAY_US, "water")).collect();
    let batch = batch_of(0, &values);
    let mut commits = 0;
    while lander.push(&batch).unwrap() == Pushed::Full {
        let CommitOutcome::Committed(committed) = commit(&mut lander) else { panic!("there are rows") };
        assert!(committed.files <= 3);
        commits += 1;
    }
    commit(&mut lander);
    assert_eq!(commits, 3);
    let partitions: Vec<String> = describe(folder.path())
        .unwrap()
        .table_partitions
        .iter()
        .map(|partition| partition.directory.to_str().unwrap().to_owned())
        .collect();
    assert_eq!(partitions.len(), 10);
    assert_eq!(partitions[9], "telemetry/domain=water/date=1978-12-30");
    assert_eq!(verify(folder.path()).unwrap().problems, []);
}

#[test]
fn a_message_of_more_dates_than_the_limit_lands_whole() {
    let folder = folder();
    let config = LakeConfig { open_table_partitions_max: 1, ..LakeConfig::new(folder.path()) };
    let lake = Lake::open(config).unwrap();
    let mut lander = lake.partition(LOG_ID, PARTITION, 0).unwrap();
    let mut telemetry = city::telemetry(&mut Dice(1), 0);
    let reading = telemetry.readings[0].clone();
    telemetry.readings = (0..5)
        .map(|day| proto::Reading {
            time: Some(proto::ReadingTime { observed_at_us: day * DAY_US, ..Default::default() }),
            ..reading.clone()
        })
        .collect();
    push_all(&mut lander, &batch_of(0, &[city::log_record(Record::Telemetry(telemetry))]));
    commit(&mut lander);
    assert_eq!(table::rows(folder.path(), "telemetry").len(), 5);
    assert_eq!(table::files(folder.path(), "telemetry").len(), 5);
}

#[test]
fn a_small_memory_makes_row_groups_and_not_more_files() {
    let folder = folder();
    let records = city::records(31, 0, 3000);
    let lake =
        Lake::open(LakeConfig { memory_bytes_max: 64 << 10, ..LakeConfig::new(folder.path()) }).unwrap();
    let mut lander = lake.partition(LOG_ID, PARTITION, 0).unwrap();
    for batch in city::batches(&records, 10) {
        let pushed = lander.push(&batch).unwrap();
        lander.take_undecodable();
        let (bytes, share) = lander.memory();
        assert!(
            bytes <= share || pushed == Pushed::Full || lander.should_roll(Instant::now()),
            "{bytes} of {share}"
        );
        if pushed == Pushed::Full {
            commit(&mut lander);
            push_all(&mut lander, &batch);
        }
    }
    commit(&mut lander);
    assert_whole(folder.path(), &records);
}

#[test]
fn a_range_of_many_row_groups_is_one_file_a_table_partition() {
    let folder = folder();
    let lake =
        Lake::open(LakeConfig { memory_bytes_max: 512 << 10, ..LakeConfig::new(folder.path()) }).unwrap();
    let mut lander = lake.partition(LOG_ID, PARTITION, 0).unwrap();
    let values: Vec<Vec<u8>> = (0..9000).map(|offset| telemetry_at(offset, offset, "water")).collect();
    for (n, values) in values.chunks(500).enumerate() {
        assert_eq!(lander.push(&batch_of(n as i64 * 500, values)).unwrap(), Pushed::All);
    }
    commit(&mut lander);
    let files = table::files(folder.path(), "telemetry");
    assert_eq!(files.len(), 1);
    let reader = SerializedFileReader::new(std::fs::File::open(&files[0]).unwrap()).unwrap();
    assert!((3..=9).contains(&reader.num_row_groups()), "{}", reader.num_row_groups());
    assert_eq!(verify(folder.path()).unwrap().problems, []);
}

#[test]
fn ranges_roll_by_rows_and_by_age_and_without_rows_by_the_hour() {
    let folder = folder();
    let lake = Lake::open(LakeConfig { roll_rows: 5, ..LakeConfig::new(folder.path()) }).unwrap();
    let mut lander = lake.partition(LOG_ID, PARTITION, 0).unwrap();
    let start = Instant::now();
    let after = |seconds| start + Duration::from_secs(seconds);
    let heartbeat = city::log_record(Record::Heartbeat(proto::Heartbeat { instance: "0f".to_owned() }));
    assert!(!lander.should_roll(after(100_000)));
    push_all(&mut lander, &batch_of(0, std::slice::from_ref(&heartbeat)));
    assert!(!lander.should_roll(after(0)));
    assert!(!lander.should_roll(after(3599)));
    assert!(lander.should_roll(after(3600)));
    push_all(&mut lander, &batch_of(1, &[telemetry_at(1, 0, "water")]));
    assert!(!lander.should_roll(after(59)));
    assert!(lander.should_roll(after(60)));
    let CommitOutcome::Committed(committed) = commit(&mut lander) else { panic!("there are rows") };
    assert_eq!((committed.first, committed.next, committed.clock_us), (0, 2, 1_000_001));
    assert_eq!((committed.counts.messages, committed.counts.control), (1, 1));
    assert!(!lander.should_roll(after(100_000)));
    assert_eq!(commit(&mut lander), CommitOutcome::Nothing);

    let values: Vec<Vec<u8>> = (2..12).map(|offset| telemetry_at(offset, 0, "water")).collect();
    push_all(&mut lander, &batch_of(2, &values));
    commit(&mut lander);
    let source = Source { log_id: LOG_ID, log_partition: PARTITION };
    assert!(ranges(folder.path(), source, 0).unwrap().len() > 2);
}

#[test]
fn what_cannot_land_is_handed_back_before_its_range_is_committed() {
    let folder = folder();
    let lake = Lake::open(LakeConfig::new(folder.path())).unwrap();
    let mut lander = lake.partition(LOG_ID, PARTITION, 0).unwrap();
    let values = [
        vec![0xff; 3],
        telemetry_at(1, 0, "../etc"),
        telemetry_at(2, i64::MAX, "water"),
        telemetry_at(3, i64::MIN, "water"),
        telemetry_at(4, 0, "water"),
        Vec::new(),
    ];
    assert_eq!(lander.push(&batch_of(0, &values)).unwrap(), Pushed::All);
    let error = lander.commit(SystemTime::UNIX_EPOCH).unwrap_err();
    assert!(matches!(error, Error::UndecodableNotTaken { count: 5 }), "{error}");
    let undecodable = lander.take_undecodable();
    let told: Vec<(i64, &str)> =
        undecodable.iter().map(|record| (record.position.log_offset, record.detail.as_str())).collect();
    assert_eq!(
        told,
        [
            (0, "the record does not parse"),
            (1, "domain: not of [a-z0-9_]{1,32}"),
            (2, "readings[0].observed_at_us: not in the years 1 to 9999"),
            (3, "readings[0].observed_at_us: not in the years 1 to 9999"),
            (5, "the record does not parse"),
        ]
    );
    assert_eq!(undecodable[1].value, values[1]);
    let CommitOutcome::Committed(committed) = commit(&mut lander) else { panic!("there are rows") };
    assert_eq!((committed.counts.messages, committed.counts.undecodable), (1, 5));
}

#[test]
fn a_newer_major_stops_before_the_record_and_keeps_those_before_it() {
    let folder = folder();
    let lake = Lake::open(LakeConfig::new(folder.path())).unwrap();
    let mut lander = lake.partition(LOG_ID, PARTITION, 0).unwrap();
    let newer = proto::LogRecord { record: None, major: 2 }.encode_to_vec();
    let batch = batch_of(0, &[telemetry_at(0, 0, "water"), newer]);
    for _ in 0..2 {
        let error = lander.push(&batch).unwrap_err();
        assert!(
            matches!(error, Error::NewerMajor { found: 2, position } if position.log_offset == 1),
            "{error}"
        );
        assert_eq!(error.disposition(), Disposition::Stop);
    }
    commit(&mut lander);
    assert_eq!(lander.next(), 1);
}

#[test]
fn a_gap_is_recorded_on_a_fresh_lake_and_else_only_when_it_is_accepted() {
    let folder = folder();
    let lake = Lake::open(LakeConfig::new(folder.path())).unwrap();
    let mut lander = lake.partition(LOG_ID, PARTITION, 100).unwrap();
    assert_eq!((lander.start().replay_from, lander.next()), (100, 100));
    push_all(&mut lander, &batch_of(100, &[telemetry_at(100, 0, "water")]));
    commit(&mut lander);
    drop(lander);

    let error = lake.partition(LOG_ID, PARTITION, 150).err().unwrap();
    assert!(matches!(&error, Error::Gap { missing, .. } if *missing == (101..150)), "{error}");
    assert_eq!(error.disposition(), Disposition::Stop);
    assert!(lake.trouble().is_some());
    assert_eq!(lake.accept_gap(LOG_ID, PARTITION, 150).unwrap(), Some(101..150));
    assert_eq!(lake.accept_gap(LOG_ID, PARTITION, 150).unwrap(), None);
    assert_eq!(lake.partition(LOG_ID, PARTITION, 150).unwrap().next(), 150);

    let report = verify(folder.path()).unwrap();
    assert_eq!(report.problems, []);
    assert_eq!(report.gaps.iter().map(|(_, gap)| gap.clone()).collect::<Vec<_>>(), [0..100, 101..150]);
    let source = Source { log_id: LOG_ID, log_partition: PARTITION };
    let kinds: Vec<RangeKind> =
        ranges(folder.path(), source, 100).unwrap().iter().map(|record| record.kind).collect();
    assert_eq!(kinds, [RangeKind::Landed, RangeKind::Gap]);
    let state = &describe(folder.path()).unwrap().log_partitions[0];
    assert_eq!((state.next, state.gap_offsets, state.commits), (150, 149, 3));
    assert_eq!(state.clock_us, 1_000_100);
}

#[test]
fn the_repeat_window_is_rebuilt_from_the_log_at_an_assignment() {
    let folder = folder();
    let lake = Lake::open(LakeConfig::new(folder.path())).unwrap();
    let values: Vec<Vec<u8>> = [0, 1, 2, 0, 3].map(|event| telemetry_at(event, 0, "water")).into();
    let mut lander = lake.partition(LOG_ID, PARTITION, 0).unwrap();
    push_all(&mut lander, &batch_of(0, &values[..3]));
    commit(&mut lander);
    drop(lander);
    let mut lander = lake.partition(LOG_ID, PARTITION, 0).unwrap();
    assert_eq!((lander.start().replay_from, lander.start().next), (0, 3));
    push_all(&mut lander, &batch_of(0, &values));
    let CommitOutcome::Committed(committed) = commit(&mut lander) else { panic!("there are rows") };
    assert_eq!((committed.first, committed.counts.messages, committed.counts.repeats), (3, 1, 1));
}

#[test]
fn a_root_that_cannot_be_written_is_refused_with_its_path() {
    let folder = folder();
    let file = folder.path().join("a-file");
    std::fs::write(&file, b"").unwrap();
    let error = Lake::open(LakeConfig::new(file.join("lake"))).err().unwrap();
    assert_eq!(error.disposition(), Disposition::Retry);
    assert!(error.to_string().contains("a-file/lake"), "{error}");
}

#[test]
fn a_root_that_goes_away_and_comes_back_loses_nothing() {
    let folder = folder();
    let root = folder.path().join("lake");
    let records = city::records(33, 0, 200);
    let lake = Lake::open(LakeConfig::new(&root)).unwrap();
    let mut worker = Worker::assign(&lake, &records, 50);
    worker.read();
    // A disk that is unmounted, and a file in its place that nothing can be written below.
    std::fs::rename(&root, folder.path().join("away")).unwrap();
    std::fs::write(&root, b"").unwrap();
    for _ in 0..3 {
        assert_eq!(worker.commit().unwrap_err().disposition(), Disposition::Retry);
        assert!(lake.trouble().is_some() && lake.probe().is_err());
    }
    std::fs::remove_file(&root).unwrap();
    std::fs::rename(folder.path().join("away"), &root).unwrap();
    lake.probe().unwrap();
    worker.finish();
    assert_eq!(lake.trouble(), None);
    assert_whole(&root, &records);
}
