//! `verify` names what is wrong.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use urban_neuron_lake::{Lake, LakeConfig, Problem, Source, verify};

use crate::city::{self, CityRecord, LOG_ID, PARTITION};
use crate::log::{Worker, folder};
use crate::table;

const SOURCE: Source = Source { log_id: LOG_ID, log_partition: PARTITION };

fn landed() -> (TempDir, Vec<CityRecord>) {
    let folder = folder();
    let records = city::records(41, 0, 200);
    Worker::assign(&Lake::open(LakeConfig::new(folder.path())).unwrap(), &records, 50).finish();
    (folder, records)
}

fn problems(root: &Path) -> Vec<Problem> {
    verify(root).unwrap().problems
}

fn relative(root: &Path, path: &Path) -> PathBuf {
    path.strip_prefix(root).unwrap().to_owned()
}

#[test]
fn a_whole_lake_has_no_problems() {
    let (folder, records) = landed();
    let report = verify(folder.path()).unwrap();
    assert_eq!(report.problems, []);
    assert_eq!((report.log_partitions, report.commits), (1, 4));
    assert_eq!(report.counts.records(), records.len() as u64);
    let files = table::files(folder.path(), "telemetry").len() + table::files(folder.path(), "control").len();
    assert_eq!(report.files, files as u64);
}

#[test]
fn a_deleted_file_is_named() {
    let (folder, _) = landed();
    for table in ["telemetry", "control"] {
        let path = table::files(folder.path(), table)[0].clone();
        let bytes = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert_eq!(problems(folder.path()), [Problem::MissingFile { path: relative(folder.path(), &path) }]);
        fs::write(&path, bytes).unwrap();
    }
    assert_eq!(problems(folder.path()), []);
}

#[test]
fn every_flipped_bit_is_seen() {
    let (folder, _) = landed();
    let path = table::files(folder.path(), "telemetry")[0].clone();
    let good = fs::read(&path).unwrap();
    let name = relative(folder.path(), &path);
    for at in [0, 4, good.len() / 2, good.len() - 1] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&path, bad).unwrap();
        assert_eq!(problems(folder.path()), [Problem::WrongDigest { path: name.clone() }], "byte {at}");
    }
    fs::write(&path, &good[1..]).unwrap();
    let (expected, found) = (good.len() as u64, good.len() as u64 - 1);
    assert_eq!(problems(folder.path()), [Problem::WrongSize { path: name, expected, found }]);
}

#[test]
fn a_file_of_nobody_is_named() {
    let (folder, _) = landed();
    let extra = folder.path().join("telemetry/domain=water/README");
    fs::write(&extra, b"").unwrap();
    let path = relative(folder.path(), &extra);
    assert_eq!(problems(folder.path()), [Problem::ExtraFile { path }]);
}

#[test]
fn a_hole_in_the_chain_is_named() {
    let (folder, _) = landed();
    let chain = folder.path().join(format!("_commits/telemetry/{LOG_ID}/{PARTITION}"));
    let mut records: Vec<PathBuf> = fs::read_dir(chain).unwrap().map(|entry| entry.unwrap().path()).collect();
    records.sort();
    let middle = fs::read(&records[1]).unwrap();
    fs::remove_file(&records[1]).unwrap();
    let found = problems(folder.path());
    assert!(matches!(found[0], Problem::BrokenChain { source: SOURCE, .. }), "{found:?}");
    assert!(found[1..].iter().all(|problem| matches!(problem, Problem::ExtraFile { .. })), "{found:?}");

    fs::write(&records[1], b"{}").unwrap();
    let found = problems(folder.path());
    assert!(matches!(found[0], Problem::BrokenRecord { source: SOURCE, .. }), "{found:?}");

    let wrong = String::from_utf8(middle).unwrap().replace("\"messages\": ", "\"messages\": 9");
    fs::write(&records[1], wrong).unwrap();
    let found = problems(folder.path());
    assert!(matches!(&found[..], [Problem::WrongCounts { source: SOURCE, .. }]), "{found:?}");
}
