//! What other people's programs see: DuckDB, pyarrow and polars on the lake while it grows, paho as a publisher.

use std::path::PathBuf;
use std::process::Command;

use crate::binary::Deployment;
use crate::honest_client::HonestClient;
use crate::oracle::Oracle;

/// The interpreter that `make python` made, with the readers in it.
fn python() -> PathBuf {
    let made = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/pyenv/bin/python");
    let python = std::env::var_os("URBAN_NEURON_PYTHON").map_or_else(|| PathBuf::from(made), PathBuf::from);
    assert!(python.exists(), "{} is not there: run `make python`", python.display());
    python
}

fn run(script: &str, arguments: &[&str]) -> String {
    let output = Command::new(python()).args(["-c", script]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Counts rows, and rows by position, with each reader, again and again until `count` are there; no count may ever fall or
/// hold a row twice.
const READ: &str = r#"
import glob, sys, time
import duckdb, polars, pyarrow.dataset
root, count = sys.argv[1], int(sys.argv[2])
pattern = root + "/telemetry/**/*.parquet"
key = "log_partition, log_offset, reading_index"

def by_duckdb():
    query = f"SELECT count(*), count(DISTINCT ({key})) FROM read_parquet('{pattern}', hive_partitioning = true)"
    return duckdb.sql(query).fetchall()[0]

def by_pyarrow():
    table = pyarrow.dataset.dataset(root + "/telemetry", partitioning="hive").to_table(columns=key.split(", "))
    return table.num_rows, table.group_by(key.split(", ")).aggregate([]).num_rows

def by_polars():
    rows = polars.scan_parquet(pattern, hive_partitioning=True).select(key.split(", ")).collect()
    return rows.height, rows.unique().height

seen = {}
deadline = time.monotonic() + 60
while time.monotonic() < deadline:
    if glob.glob(pattern, recursive=True):
        for read in (by_duckdb, by_pyarrow, by_polars):
            rows, positions = read()
            assert rows == positions, f"{read.__name__}: {rows} rows, {positions} positions"
            assert rows >= seen.get(read, 0), f"{read.__name__}: {rows} rows after {seen[read]}"
            seen[read] = rows
        if set(seen.values()) == {count}:
            print("whole")
            sys.exit(0)
sys.exit(f"rows at the end: { {read.__name__: rows for read, rows in seen.items()} }, wanted {count}")
"#;

#[test]
fn readers_count_every_row_once_while_the_lake_grows() {
    let directory = tempfile::tempdir().unwrap();
    let deployment = Deployment::new(directory.path()).set("lake.roll_age=100ms");
    let oracle = Oracle::new();
    let service = deployment.start(&[]);
    let lake = deployment.lake().display().to_string();
    let reading = std::thread::spawn(move || run(READ, &[&lake, "2400"]));
    let mut client = HonestClient::new(deployment.mqtt, "a");
    for number in 0..1_200 {
        let (topic, payload) = oracle.message("a", number);
        client.publish(&topic, &payload, number);
        // Slow enough that files appear while the readers look.
        std::thread::park_timeout(std::time::Duration::from_micros(500));
    }
    client.finish();
    assert_eq!(reading.join().unwrap().trim(), "whole");
    service.stop();
}

const PAHO: &str = r#"
import sys
import paho.mqtt.client as mqtt
for version in (mqtt.MQTTv311, mqtt.MQTTv5):
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=f"paho-{int(version)}", protocol=version)
    client.connect("127.0.0.1", int(sys.argv[1]))
    client.loop_start()
    for qos in (0, 1, 2):
        for n in range(20):
            topic = f"urban-neuron/v1/devices/paho-{int(version)}-{qos}/telemetry"
            client.publish(topic, f'{{"sequence": {n}, "n": {n}}}', qos=qos).wait_for_publish(30)
    client.disconnect()
    client.loop_stop()
print("published")
"#;

#[test]
fn paho_publishes_with_every_quality_of_service() {
    let directory = tempfile::tempdir().unwrap();
    let deployment = Deployment::new(directory.path());
    let service = deployment.start(&[]);
    assert_eq!(run(PAHO, &[&deployment.mqtt.port().to_string()]).trim(), "published");
    service.stop();
    let rows = crate::lake_rows::read(&deployment.lake());
    for qos in [1, 2] {
        for version in [4, 5] {
            let device = format!("paho-{version}-{qos}");
            let mut numbers: Vec<_> =
                rows.iter().filter(|row| row.device_id == device).filter_map(|row| row.value).collect();
            numbers.sort_by(f64::total_cmp);
            assert_eq!(numbers, (0..20).map(f64::from).collect::<Vec<_>>(), "{device}");
        }
    }
}
