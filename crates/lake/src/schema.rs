//! The columns of the tables, in order, and the lineage in a file's footer. Columns are only appended, nullable.

use std::sync::{Arc, LazyLock};

use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{WriterProperties, WriterPropertiesPtr};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::{ColumnPath, TypePtr};

use crate::layout::Source;

/// Version of the columns, in every footer. A later version has more columns at the end.
pub const SCHEMA_VERSION: u32 = 1;

/// Rows of a data page at most: what a reader has to decode to find one row.
pub(crate) const PAGE_ROWS_MAX: usize = 20_000;

/// zstd level of all pages: higher ones cost several times the CPU for a few percent.
pub(crate) const ZSTD_LEVEL: i32 = 1;

const TELEMETRY: &str = "
message telemetry {
    required binary tenant (STRING);
    required binary device_id (STRING);
    optional binary asset_id (STRING);
    required binary metric (STRING);
    optional double value;
    optional binary value_text (STRING);
    optional binary unit (STRING);
    optional binary raw_unit (STRING);
    optional binary quality (STRING);
    required int64 observed_at (TIMESTAMP(MICROS, true));
    optional binary observed_at_source (STRING);
    optional binary clock_verdict (STRING);
    optional int64 device_time (TIMESTAMP(MICROS, true));
    required int64 received_at (TIMESTAMP(MICROS, true));
    required int64 log_time (TIMESTAMP(MICROS, true));
    optional binary kind (STRING);
    required binary flags (STRING);
    optional int64 sequence;
    optional double latitude;
    optional double longitude;
    optional binary protocol (STRING);
    optional binary gateway_id (STRING);
    required fixed_len_byte_array(16) event_id;
    required binary log_id (STRING);
    required int32 log_partition;
    required int64 log_offset;
    required int32 reading_index;
}";

const CONTROL: &str = "
message control {
    required binary log_id (STRING);
    required int32 log_partition;
    required int64 log_offset;
    required int64 log_time (TIMESTAMP(MICROS, true));
    required binary kind (STRING);
    optional binary instance (STRING);
    optional binary digest (STRING);
}";

fn parsed(message: &str) -> TypePtr {
    Arc::new(parse_message_type(message).expect("the schema is a constant that a test parses"))
}

pub(crate) fn telemetry_schema() -> TypePtr {
    static SCHEMA: LazyLock<TypePtr> = LazyLock::new(|| parsed(TELEMETRY));
    SCHEMA.clone()
}

pub(crate) fn control_schema() -> TypePtr {
    static SCHEMA: LazyLock<TypePtr> = LazyLock::new(|| parsed(CONTROL));
    SCHEMA.clone()
}

/// How the columns that the general writer writes are encoded; `chunk.rs` writes the others. Chosen by measuring, see
/// `docs/lake.md`.
pub(crate) fn writer_properties() -> WriterPropertiesPtr {
    static PROPERTIES: LazyLock<WriterPropertiesPtr> = LazyLock::new(|| {
        let zstd = ZstdLevel::try_new(ZSTD_LEVEL).expect("a constant between 1 and 22");
        let sorted_by = |column_idx| SortingColumn { column_idx, descending: false, nulls_first: false };
        let mut properties = WriterProperties::builder()
            .set_created_by(concat!("urban-neuron ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_compression(Compression::ZSTD(zstd))
            .set_data_page_row_count_limit(PAGE_ROWS_MAX)
            .set_sorting_columns(Some(
                ["device_id", "metric", "observed_at"].map(|name| sorted_by(column(name))).into(),
            ))
            .set_dictionary_enabled(false);
        for name in ["observed_at", "device_time", "received_at", "sequence", "log_offset", "log_time"] {
            properties =
                properties.set_column_encoding(ColumnPath::from(name), Encoding::DELTA_BINARY_PACKED);
        }
        Arc::new(properties.set_column_dictionary_enabled(ColumnPath::from("value"), true).build())
    });
    PROPERTIES.clone()
}

/// Place of a telemetry column.
fn column(name: &str) -> i32 {
    let schema = telemetry_schema();
    let place = schema.get_fields().iter().position(|field| field.name() == name);
    place.expect("a column of the constant schema") as i32
}

/// Where a file comes from, for its footer.
#[derive(Clone, Debug)]
pub(crate) struct Lineage {
    pub(crate) source: Source,
    pub(crate) first: i64,
    pub(crate) next: i64,
    pub(crate) writer: String,
}

impl Lineage {
    pub(crate) fn key_values(&self) -> Vec<KeyValue> {
        let pair = |key: &str, value: String| KeyValue::new(format!("urban_neuron.{key}"), value);
        vec![
            pair("schema_version", SCHEMA_VERSION.to_string()),
            pair("log_id", self.source.log_id.to_string()),
            pair("log_partition", self.source.log_partition.to_string()),
            pair("first", self.first.to_string()),
            pair("next", self.next.to_string()),
            pair("writer", self.writer.clone()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_stand_in_their_order() {
        let names = |schema: TypePtr| -> Vec<String> {
            schema.get_fields().iter().map(|field| field.name().to_owned()).collect()
        };
        assert_eq!(
            names(telemetry_schema()).join(" "),
            "tenant device_id asset_id metric value value_text unit raw_unit quality observed_at observed_at_source \
             clock_verdict device_time received_at log_time kind flags sequence latitude longitude protocol gateway_id \
             event_id log_id log_partition log_offset reading_index"
        );
        assert_eq!(
            names(control_schema()).join(" "),
            "log_id log_partition log_offset log_time kind instance digest"
        );
        assert_eq!(writer_properties().sorting_columns().map(|columns| columns[0].column_idx), Some(1));
    }
}
