//! Rows of some offsets of a range, read from its files and put into the order of the log.

use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Field, Float64Type, Int32Type, Int64Type, Schema, TimestampMicrosecondType,
};
use model::EventId;
use model::proto::{ClockVerdict, Flag, Kind, Quality, TimeSource};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::errors::ParquetError;

use crate::commit_record::{CommitRecord, CommittedFile};
use crate::disk::Disk;
use crate::error::{Error, io_error};
use crate::layout::Table;
use crate::names::{NO_NAME, NameId, Names};

const BATCH_ROWS: usize = 8_192;
/// Names are forgotten past this, between windows.
const NAMES_BYTES_MAX: usize = 64 << 20;
/// Columns that a replay has no use for, or knows from the range.
const NOT_READ: [&str; 3] = ["tenant", "log_id", "log_partition"];

/// One row of either table.
#[derive(Clone, Debug)]
pub(crate) struct ReplayRow {
    pub(crate) log_offset: i64,
    pub(crate) log_time_us: i64,
    pub(crate) body: Body,
}

#[derive(Clone, Debug)]
pub(crate) enum Body {
    Reading(Box<ReplayReading>),
    Control { kind: NameId, digest: NameId },
}

/// Texts and enums are by name or number, see [`ReplayRows::name`]; NaN is no number.
#[derive(Clone, Debug)]
pub(crate) struct ReplayReading {
    pub(crate) event_id: EventId,
    pub(crate) received_at_us: i64,
    pub(crate) observed_at_us: i64,
    pub(crate) device_time_us: Option<i64>,
    pub(crate) sequence: Option<i64>,
    pub(crate) value: f64,
    pub(crate) latitude: f64,
    pub(crate) longitude: f64,
    pub(crate) index: i32,
    pub(crate) domain: NameId,
    pub(crate) device: NameId,
    pub(crate) asset: NameId,
    pub(crate) metric: NameId,
    pub(crate) text: NameId,
    pub(crate) unit: NameId,
    pub(crate) raw_unit: NameId,
    pub(crate) protocol: NameId,
    pub(crate) gateway: NameId,
    pub(crate) quality: u32,
    pub(crate) observed_at_source: u32,
    pub(crate) clock_verdict: u32,
    pub(crate) kind: u32,
    pub(crate) flags: u32,
}

/// The rows of one window. Names are kept from one to the next.
#[derive(Default)]
pub(crate) struct ReplayRows {
    names: Names,
    rows: Vec<ReplayRow>,
}

/// One record: the rows of one offset.
pub(crate) struct ReplayMessage<'a> {
    rows: &'a ReplayRows,
    of_offset: &'a [ReplayRow],
}

impl ReplayRows {
    /// Reads the rows of `offsets` from the files of a range, in place of those before.
    pub(crate) fn read(
        &mut self,
        disk: &Disk,
        range: &CommitRecord,
        offsets: &Range<i64>,
        is_control_only: bool,
    ) -> Result<(), Error> {
        self.rows.clear();
        if self.names.memory_bytes() > NAMES_BYTES_MAX {
            self.names = Names::default();
        }
        let wanted = range.files.iter().filter(|file| !is_control_only || file.table == Table::Control);
        for file in wanted {
            let path = place_of(disk, file)?;
            let parquet = |source| Error::Parquet { path: path.clone(), source };
            let opened = File::open(&path).map_err(io_error("open", &path))?;
            let domain = domain_of(&file.published);
            for batch in batches(opened).map_err(parquet)? {
                let batch = batch.map_err(|error| parquet(ParquetError::from(error)))?;
                match file.table {
                    Table::Telemetry => self.take_readings(&batch, offsets, domain),
                    Table::Control => self.take_control(&batch, offsets),
                }
                .map_err(parquet)?;
            }
        }
        let index = |row: &ReplayRow| match &row.body {
            Body::Reading(reading) => reading.index,
            Body::Control { .. } => 0,
        };
        self.rows.sort_unstable_by_key(|row| (row.log_offset, index(row)));
        Ok(())
    }

    /// The records in the order of their offsets.
    pub(crate) fn messages(&self) -> impl Iterator<Item = ReplayMessage<'_>> {
        let by_offset = self.rows.chunk_by(|a, b| a.log_offset == b.log_offset);
        by_offset.map(|of_offset| ReplayMessage { rows: self, of_offset })
    }

    fn take_readings(
        &mut self,
        batch: &RecordBatch,
        offsets: &Range<i64>,
        domain: &str,
    ) -> Result<(), ParquetError> {
        let domain = self.names.intern(domain.as_bytes());
        let names = &mut self.names;
        let mut text = |name| Codes::new(column(batch, name)?, |text| names.intern(text.as_bytes()), NO_NAME);
        let (device, asset, metric) = (text("device_id")?, text("asset_id")?, text("metric")?);
        let (value_text, unit, raw_unit) = (text("value_text")?, text("unit")?, text("raw_unit")?);
        let (protocol, gateway) = (text("protocol")?, text("gateway_id")?);
        let code = |name, code: fn(&str) -> u32| Codes::new(column(batch, name)?, code, 0);
        let (quality, kind, flags) = (code("quality", quality)?, code("kind", kind)?, code("flags", flags)?);
        let source = code("observed_at_source", time_source)?;
        let verdict = code("clock_verdict", clock_verdict)?;
        let time = |name| {
            column(batch, name)?.as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(|| wrong(name))
        };
        let (observed_at, received_at) = (time("observed_at")?, time("received_at")?);
        let (log_time, device_time) = (time("log_time")?, time("device_time")?);
        let number = |name| column(batch, name)?.as_primitive_opt::<Float64Type>().ok_or_else(|| wrong(name));
        let (value, latitude, longitude) = (number("value")?, number("latitude")?, number("longitude")?);
        let whole = |name| column(batch, name)?.as_primitive_opt::<Int64Type>().ok_or_else(|| wrong(name));
        let (log_offset, sequence) = (whole("log_offset")?, whole("sequence")?);
        let index = column(batch, "reading_index")?;
        let index = index.as_primitive_opt::<Int32Type>().ok_or_else(|| wrong("reading_index"))?;
        let event_id = column(batch, "event_id")?;
        let event_id = event_id.as_fixed_size_binary_opt().ok_or_else(|| wrong("event_id"))?;
        let or_nan = |numbers: &arrow::array::Float64Array, at| {
            if numbers.is_valid(at) { numbers.value(at) } else { f64::NAN }
        };
        for at in (0..batch.num_rows()).filter(|at| offsets.contains(&log_offset.value(*at))) {
            let reading = ReplayReading {
                event_id: event_id.value(at).try_into().map_err(|_| wrong("event_id"))?,
                received_at_us: received_at.value(at),
                observed_at_us: observed_at.value(at),
                device_time_us: device_time.is_valid(at).then(|| device_time.value(at)),
                sequence: sequence.is_valid(at).then(|| sequence.value(at)),
                value: or_nan(value, at),
                latitude: or_nan(latitude, at),
                longitude: or_nan(longitude, at),
                index: index.value(at),
                domain,
                device: device.at(at),
                asset: asset.at(at),
                metric: metric.at(at),
                text: value_text.at(at),
                unit: unit.at(at),
                raw_unit: raw_unit.at(at),
                protocol: protocol.at(at),
                gateway: gateway.at(at),
                quality: quality.at(at),
                observed_at_source: source.at(at),
                clock_verdict: verdict.at(at),
                kind: kind.at(at),
                flags: flags.at(at),
            };
            self.rows.push(ReplayRow {
                log_offset: log_offset.value(at),
                log_time_us: log_time.value(at),
                body: Body::Reading(Box::new(reading)),
            });
        }
        Ok(())
    }

    fn take_control(&mut self, batch: &RecordBatch, offsets: &Range<i64>) -> Result<(), ParquetError> {
        let names = &mut self.names;
        let mut text = |name| Codes::new(column(batch, name)?, |text| names.intern(text.as_bytes()), NO_NAME);
        let (kind, digest) = (text("kind")?, text("digest")?);
        let log_offset = column(batch, "log_offset")?;
        let log_offset = log_offset.as_primitive_opt::<Int64Type>().ok_or_else(|| wrong("log_offset"))?;
        let log_time = column(batch, "log_time")?;
        let log_time =
            log_time.as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(|| wrong("log_time"))?;
        for at in (0..batch.num_rows()).filter(|at| offsets.contains(&log_offset.value(*at))) {
            let body = Body::Control { kind: kind.at(at), digest: digest.at(at) };
            let (log_offset, log_time_us) = (log_offset.value(at), log_time.value(at));
            self.rows.push(ReplayRow { log_offset, log_time_us, body });
        }
        Ok(())
    }
}

impl<'a> ReplayMessage<'a> {
    pub(crate) fn log_offset(&self) -> i64 {
        self.of_offset[0].log_offset
    }

    pub(crate) fn log_time_us(&self) -> i64 {
        self.of_offset[0].log_time_us
    }

    /// None for a control record.
    pub(crate) fn device_id(&self) -> Option<&'a str> {
        match &self.of_offset[0].body {
            Body::Reading(reading) => Some(self.name(reading.device)),
            Body::Control { .. } => None,
        }
    }

    /// Empty where there is no text.
    pub(crate) fn name(&self, id: NameId) -> &'a str {
        if id == NO_NAME {
            return "";
        }
        std::str::from_utf8(self.rows.names.get(id)).expect("names come from text columns")
    }

    pub(crate) fn first(&self) -> &'a Body {
        &self.of_offset[0].body
    }

    /// In the order of their index.
    pub(crate) fn readings(&self) -> impl Iterator<Item = &'a ReplayReading> + use<'a> {
        self.of_offset.iter().filter_map(|row| match &row.body {
            Body::Reading(reading) => Some(&**reading),
            Body::Control { .. } => None,
        })
    }
}

/// A dictionary column with a number for each of its texts.
struct Codes {
    keys: arrow::array::Int32Array,
    codes: Vec<u32>,
    of_null: u32,
}

impl Codes {
    fn new(column: &ArrayRef, code: impl FnMut(&str) -> u32, of_null: u32) -> Result<Self, ParquetError> {
        let dictionary = column.as_dictionary_opt::<Int32Type>();
        let dictionary = dictionary.ok_or_else(|| wrong("a text column"))?;
        let texts = dictionary.values().as_string_opt::<i32>().ok_or_else(|| wrong("a text column"))?;
        let codes = texts.iter().map(Option::unwrap_or_default).map(code).collect();
        Ok(Codes { keys: dictionary.keys().clone(), codes, of_null })
    }

    fn at(&self, row: usize) -> u32 {
        if self.keys.is_valid(row) { self.codes[self.keys.value(row) as usize] } else { self.of_null }
    }
}

/// Texts are read as dictionaries, as they stand in the file: a text is looked at once a page, not once a row.
fn batches(
    file: File,
) -> Result<impl Iterator<Item = Result<RecordBatch, arrow::error::ArrowError>>, ParquetError> {
    let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::default())?;
    let as_dictionary = |field: &Arc<Field>| match field.data_type() {
        DataType::Utf8 => {
            let text = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
            Field::new(field.name(), text, field.is_nullable())
        }
        _ => field.as_ref().clone(),
    };
    let fields: Vec<Field> = metadata.schema().fields().iter().map(as_dictionary).collect();
    let options = ArrowReaderOptions::new().with_schema(Arc::new(Schema::new(fields)));
    let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options)?;
    let fields = builder.schema().fields().iter().enumerate();
    let wanted = fields.filter(|(_, field)| !NOT_READ.contains(&field.name().as_str())).map(|(at, _)| at);
    let mask = ProjectionMask::leaves(builder.parquet_schema(), wanted);
    builder.with_projection(mask).with_batch_size(BATCH_ROWS).build()
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, ParquetError> {
    batch.column_by_name(name).ok_or_else(|| ParquetError::General(format!("it has no column {name}")))
}

fn wrong(name: &str) -> ParquetError {
    ParquetError::General(format!("{name} is of another type"))
}

/// Where a file of a decided range stands: of the newest one perhaps not in its table yet.
fn place_of(disk: &Disk, file: &CommittedFile) -> Result<std::path::PathBuf, Error> {
    for place in [&file.published, &file.staged, &file.published] {
        if disk.size(place)?.is_some() {
            return Ok(disk.path(place));
        }
    }
    Err(Error::MissingFile { path: disk.path(&file.published), staged: disk.path(&file.staged) })
}

/// What `domain=` says in the path of a file of telemetry.
fn domain_of(published: &Path) -> &str {
    let parts = published.iter().filter_map(|part| part.to_str());
    parts.filter_map(|part| part.strip_prefix("domain=")).next().unwrap_or_default()
}

fn quality(text: &str) -> u32 {
    Quality::from_str_name(&enum_name("QUALITY", text)).unwrap_or_default() as u32
}

fn kind(text: &str) -> u32 {
    Kind::from_str_name(&enum_name("KIND", text)).unwrap_or_default() as u32
}

fn time_source(text: &str) -> u32 {
    TimeSource::from_str_name(&enum_name("TIME_SOURCE", text)).unwrap_or_default() as u32
}

fn clock_verdict(text: &str) -> u32 {
    ClockVerdict::from_str_name(&enum_name("CLOCK_VERDICT", text)).unwrap_or_default() as u32
}

fn flags(text: &str) -> u32 {
    let flag = |name: &str| Flag::from_str_name(&enum_name("FLAG", name)).unwrap_or_default() as u32;
    text.split(',').filter(|name| !name.is_empty()).map(flag).fold(0, |all, flag| all | flag)
}

fn enum_name(prefix: &str, text: &str) -> String {
    format!("{prefix}_{}", text.to_ascii_uppercase())
}
