//! Every column of every row, against the reference.

use parquet::file::reader::{FileReader, SerializedFileReader};
use proptest::prelude::*;
use urban_neuron_lake::{Lake, LakeConfig};

use crate::city::{self, LOG_ID, PARTITION};
use crate::log::{assert_whole, commit, folder, push_all};
use crate::table;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn every_column_is_what_the_record_says(
        seed: u64,
        count in 1usize..600,
        batch in 1usize..200,
        commit_every in 1usize..8,
        roll_rows in 1u64..2000,
        memory in prop::sample::select(vec![1usize, 20_000, 60_000, 96 << 20]),
    ) {
        let folder = folder();
        let config = LakeConfig { roll_rows, memory_bytes_max: memory, ..LakeConfig::new(folder.path()) };
        let lake = Lake::open(config).unwrap();
        let mut lander = lake.partition(LOG_ID, PARTITION, 0).unwrap();
        let records = city::records(seed, 0, count);
        let mut undecodable = Vec::new();
        for (at, batch) in city::batches(&records, batch).iter().enumerate() {
            undecodable.extend(push_all(&mut lander, batch));
            if at % commit_every == 0 {
                commit(&mut lander);
            }
        }
        commit(&mut lander);
        prop_assert_eq!(undecodable, city::expected(&records).undecodable);
        assert_whole(folder.path(), &records);
    }
}

#[test]
fn files_are_sorted_and_say_where_they_come_from() {
    let folder = folder();
    let lake = Lake::open(LakeConfig::new(folder.path())).unwrap();
    let mut lander = lake.partition(LOG_ID, PARTITION, 0).unwrap();
    let records = city::records(7, 0, 3000);
    for batch in city::batches(&records, 500) {
        push_all(&mut lander, &batch);
    }
    commit(&mut lander);
    let next = lander.next();
    for path in table::files(folder.path(), "telemetry") {
        let keys: Vec<(String, String, i64)> = table::rows_of(&path)
            .into_iter()
            .map(|row| (row[1].clone(), row[3].clone(), row[9].parse().unwrap()))
            .collect();
        assert!(keys.is_sorted(), "{}", path.display());

        let reader = SerializedFileReader::new(std::fs::File::open(&path).unwrap()).unwrap();
        let lineage: Vec<(String, String)> = reader
            .metadata()
            .file_metadata()
            .key_value_metadata()
            .unwrap()
            .iter()
            .map(|pair| (pair.key.clone(), pair.value.clone().unwrap()))
            .collect();
        let pair = |key: &str, value: String| (format!("urban_neuron.{key}"), value);
        assert_eq!(
            lineage[..5],
            [
                pair("schema_version", "1".to_owned()),
                pair("log_id", LOG_ID.to_string()),
                pair("log_partition", PARTITION.to_string()),
                pair("first", "0".to_owned()),
                pair("next", next.to_string()),
            ]
        );
    }
}
