//! Reads the tables back with the general reader of the `parquet` crate, every column as a text.

use std::fs::{self, File};
use std::path::Path;

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;

use crate::city::Row;

/// Table partition and columns of every row below `root/table`, sorted.
pub(crate) fn rows(root: &Path, table: &str) -> Vec<(String, Row)> {
    let mut rows = Vec::new();
    for path in files(root, table) {
        let directory = path.parent().unwrap().strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        rows.extend(rows_of(&path).into_iter().map(|row| (directory.clone(), row)));
    }
    rows.sort();
    rows
}

/// The rows of one file, in its order.
pub(crate) fn rows_of(path: &Path) -> Vec<Row> {
    let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
    let rows = reader.get_row_iter(None).unwrap();
    rows.map(|row| row.unwrap().get_column_iter().map(|(_, field)| text_of(field)).collect()).collect()
}

/// Every file below `root/table`, sorted.
pub(crate) fn files(root: &Path, table: &str) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut directories = vec![root.join(table)];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { directories.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

fn text_of(field: &Field) -> String {
    match field {
        Field::Null => "null".to_owned(),
        Field::Str(text) => text.clone(),
        Field::Double(value) => format!("{value:?}"),
        Field::Int(value) => value.to_string(),
        Field::Long(value) | Field::TimestampMicros(value) => value.to_string(),
        Field::Bytes(bytes) => bytes.data().iter().map(|byte| format!("{byte:02x}")).collect(),
        other => panic!("a column of a type that the schema does not have: {other:?}"),
    }
}
