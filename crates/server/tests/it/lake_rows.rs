//! The rows of a lake, read as any reader of plain Parquet does.

use std::path::{Path, PathBuf};

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// What the oracle needs of a row.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Of the folder that the row stands in.
    pub domain: String,
    pub device_id: String,
    pub metric: String,
    pub value: Option<f64>,
    pub observed_at_us: i64,
    pub position: (String, i32, i64, i32),
}

/// Every row below `{root}/telemetry`.
pub fn read(root: &Path) -> Vec<Row> {
    let mut files = Vec::new();
    find(&root.join("telemetry"), &mut files);
    files.iter().flat_map(|file| read_file(file)).collect()
}

fn find(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            find(&path, files);
        } else {
            assert_eq!(path.extension().unwrap(), "parquet", "only finished files: {}", path.display());
            files.push(path);
        }
    }
}

fn read_file(path: &Path) -> Vec<Row> {
    let file = std::fs::File::open(path).unwrap();
    let folders = path.iter().filter_map(|folder| folder.to_str());
    let domain =
        folders.filter_map(|folder| folder.strip_prefix("domain=")).next().expect("a folder of a domain");
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    let mut rows = Vec::new();
    for batch in reader {
        let batch = batch.unwrap();
        let column = |name: &str| batch.column_by_name(name).unwrap_or_else(|| panic!("no column {name}"));
        let text =
            |name: &str| arrow::compute::cast(column(name), &arrow::datatypes::DataType::Utf8).unwrap();
        let (device, metric, log_id) = (text("device_id"), text("metric"), text("log_id"));
        let value = column("value").as_primitive::<Float64Type>();
        let observed = column("observed_at").as_primitive::<TimestampMicrosecondType>();
        let partition = column("log_partition").as_primitive::<Int32Type>();
        let offset = column("log_offset").as_primitive::<Int64Type>();
        let index = column("reading_index").as_primitive::<Int32Type>();
        for at in 0..batch.num_rows() {
            rows.push(Row {
                domain: domain.to_owned(),
                device_id: device.as_string::<i32>().value(at).to_owned(),
                metric: metric.as_string::<i32>().value(at).to_owned(),
                value: value.is_valid(at).then(|| value.value(at)),
                observed_at_us: observed.value(at),
                position: (
                    log_id.as_string::<i32>().value(at).to_owned(),
                    partition.value(at),
                    offset.value(at),
                    index.value(at),
                ),
            });
        }
    }
    rows
}
