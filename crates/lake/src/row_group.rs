//! Row groups: the columns of the tables made from the rows in memory, in the order of the schema.

use std::io::Write;
use std::sync::LazyLock;

use model::EventId;
use model::proto::{ClockVerdict, Flag, Kind, Quality, TimeSource};
use parquet::data_type::{DataType, DoubleType, Int64Type};
use parquet::errors::{ParquetError, Result};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::SchemaDescPtr;

use crate::chunk::ChunkEncoder;
use crate::control_rows::ControlRow;
use crate::layout::Source;
use crate::names::{NO_NAME, NameId, Names};
use crate::rows::{Line, Message, Origin, Reading, Rows};

/// The records of a batch of the log share its time.
const LOG_TIMES_REPEAT: bool = true;

/// What is equal in all rows of a file.
pub(crate) struct Constants {
    pub(crate) tenant: String,
    pub(crate) source: Source,
}

/// Rows next to each other that share line and origin.
#[derive(Clone, Copy)]
struct Run {
    line: usize,
    origin: usize,
    rows: usize,
}

/// Writes one column after the other.
struct Columns<'a, 'w, W: Write + Send> {
    group: SerializedRowGroupWriter<'w, W>,
    schema: SchemaDescPtr,
    chunks: &'a mut ChunkEncoder,
    next: usize,
}

/// Adds `rows`, sorted, as one row group of telemetry.
pub(crate) fn write_telemetry<W: Write + Send>(
    file: &mut SerializedFileWriter<W>,
    rows: &Rows,
    constants: &Constants,
    chunks: &mut ChunkEncoder,
) -> Result<()> {
    let order = rows.sorted();
    let readings: Vec<&Reading> = order.iter().map(|&row| &rows.readings[row as usize]).collect();
    let messages: Vec<&Message> =
        readings.iter().map(|reading| &rows.messages[reading.message as usize]).collect();
    let runs = runs_of(&readings, &messages);
    let indices: Vec<[u8; 4]> =
        (0..=rows.reading_index_max()).map(|index| (index as i32).to_le_bytes()).collect();
    let (log_id, log_partition) = constants.position_columns();
    let all = || std::iter::once((0, order.len()));
    let line =
        |key: fn(&Line) -> NameId| runs.iter().map(move |run| (key(&rows.lines[run.line].line), run.rows));
    let origin =
        |key: fn(&Origin) -> NameId| runs.iter().map(move |run| (key(&rows.origins[run.origin]), run.rows));
    let name = |id| rows.names.get(id);

    let times_repeat = order.len() * 2 >= rows.messages.len() * 3;

    let mut columns = Columns::begin(file, chunks)?;
    columns.values(all(), |_| constants.tenant.as_bytes())?;
    columns.values(origin(|origin| origin.device), |id| rows.devices.get(id))?;
    columns.values(origin(|origin| origin.asset), name)?;
    columns.values(line(|line| line.metric), name)?;
    columns.doubles(readings.iter().map(|reading| reading.value))?;
    columns.values(readings.iter().map(|reading| (reading.text, 1)), name)?;
    columns.values(line(|line| line.unit), name)?;
    columns.values(line(|line| line.raw_unit), name)?;
    columns.values(line(|line| specified(line.quality as i32)), enum_text(quality_text))?;
    columns.numbers(readings.iter().map(|reading| reading.observed_at_us))?;
    columns.values(line(|line| specified(line.observed_at_source as i32)), enum_text(time_source_text))?;
    columns.values(line(|line| specified(line.clock_verdict as i32)), enum_text(clock_verdict_text))?;
    columns.optional_numbers(device_times(rows, &order).into_iter())?;
    columns.message_times(messages.iter().map(|message| message.received_at_us), times_repeat)?;
    columns.message_times(messages.iter().map(|message| message.log_time_us), LOG_TIMES_REPEAT)?;
    columns.values(origin(|origin| specified(origin.kind as i32)), enum_text(kind_text))?;
    columns.values(origin(|origin| origin.flags & FLAGS_KNOWN), flags_text)?;
    columns.optional_numbers(messages.iter().map(|message| message.sequence))?;
    columns.values(origin(|origin| origin.latitude), name)?;
    columns.values(origin(|origin| origin.longitude), name)?;
    columns.values(origin(|origin| origin.protocol), name)?;
    columns.values(origin(|origin| origin.gateway), name)?;
    columns.ids(messages.iter().map(|message| message.event_id))?;
    columns.values(all(), |_| log_id.as_bytes())?;
    columns.values(all(), |_| &log_partition)?;
    columns.numbers(messages.iter().map(|message| message.log_offset))?;
    columns.values(readings.iter().map(|reading| (reading.index, 1)), |index| &indices[index as usize])?;
    columns.finish()
}

/// Adds `rows` as one row group of control.
pub(crate) fn write_control<W: Write + Send>(
    file: &mut SerializedFileWriter<W>,
    rows: &[ControlRow],
    constants: &Constants,
    chunks: &mut ChunkEncoder,
) -> Result<()> {
    let mut names = Names::default();
    let mut keys = |text: fn(&ControlRow) -> &str| -> Vec<(NameId, usize)> {
        rows.iter().map(|row| (names.intern_some(text(row).as_bytes()), 1)).collect()
    };
    let kinds = keys(|row| row.kind);
    let instances = keys(|row| &row.instance);
    let digests = keys(|row| &row.digest);
    let name = |id| names.get(id);
    let (log_id, log_partition) = constants.position_columns();
    let all = || std::iter::once((0, rows.len()));

    let mut columns = Columns::begin(file, chunks)?;
    columns.values(all(), |_| log_id.as_bytes())?;
    columns.values(all(), |_| &log_partition)?;
    columns.numbers(rows.iter().map(|row| row.log_offset))?;
    columns.numbers(rows.iter().map(|row| row.log_time_us))?;
    columns.values(kinds.into_iter(), name)?;
    columns.values(instances.into_iter(), name)?;
    columns.values(digests.into_iter(), name)?;
    columns.finish()
}

impl Constants {
    /// The columns `log_id` and `log_partition`, as Parquet stores them.
    fn position_columns(&self) -> (String, [u8; 4]) {
        (self.source.log_id.to_string(), (self.source.log_partition as i32).to_le_bytes())
    }
}

fn runs_of(readings: &[&Reading], messages: &[&Message]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (reading, message) in readings.iter().zip(messages) {
        let (line, origin) = (reading.line as usize, message.origin as usize);
        match runs.last_mut() {
            Some(run) if run.line == line && run.origin == origin => run.rows += 1,
            _ => runs.push(Run { line, origin, rows: 1 }),
        }
    }
    runs
}

/// The device's other claim of each row, in the order of the file.
fn device_times(rows: &Rows, order: &[u32]) -> Vec<Option<i64>> {
    let mut times = vec![None; if rows.device_times.is_empty() { 0 } else { order.len() }];
    for &(row, time_us) in &rows.device_times {
        times[row as usize] = Some(time_us);
    }
    order.iter().map(|&row| times.get(row as usize).copied().flatten()).collect()
}

impl<'a, 'w, W: Write + Send> Columns<'a, 'w, W> {
    fn begin(file: &'w mut SerializedFileWriter<W>, chunks: &'a mut ChunkEncoder) -> Result<Self> {
        let schema = file.schema_descr().clone().into();
        Ok(Columns { group: file.next_row_group()?, schema, chunks, next: 0 })
    }

    /// A column of values that repeat, from runs of keys.
    fn values<'n>(
        &mut self,
        runs: impl Iterator<Item = (NameId, usize)>,
        bytes_of: impl Fn(NameId) -> &'n [u8],
    ) -> Result<()> {
        let (bytes, close) = self.chunks.encode(self.schema.column(self.next), runs, bytes_of)?;
        self.next += 1;
        self.group.append_column(&bytes, close)
    }

    fn ids(&mut self, ids: impl Iterator<Item = EventId>) -> Result<()> {
        let ids: Vec<EventId> = ids.collect();
        let (bytes, close) = self.chunks.encode_ids(self.schema.column(self.next), &ids)?;
        self.next += 1;
        self.group.append_column(&bytes, close)
    }

    fn numbers(&mut self, numbers: impl Iterator<Item = i64>) -> Result<()> {
        let numbers: Vec<i64> = numbers.collect();
        self.write::<Int64Type>(&numbers, None)
    }

    /// A time of the message. Where the same one stands in many rows, as with many readings a message, zstd sees it come
    /// again for every metric; else it is best told by deltas.
    fn message_times(&mut self, times: impl Iterator<Item = i64>, repeats: bool) -> Result<()> {
        if !repeats {
            return self.numbers(times);
        }
        let times: Vec<i64> = times.collect();
        let (bytes, close) = self.chunks.encode_numbers(self.schema.column(self.next), &times)?;
        self.next += 1;
        self.group.append_column(&bytes, close)
    }

    fn optional_numbers(&mut self, numbers: impl Iterator<Item = Option<i64>>) -> Result<()> {
        let mut values = Vec::new();
        let levels: Vec<i16> =
            numbers.map(|number| i16::from(number.inspect(|&n| values.push(n)).is_some())).collect();
        self.write::<Int64Type>(&values, Some(&levels))
    }

    /// NaN is null.
    fn doubles(&mut self, doubles: impl Iterator<Item = f64>) -> Result<()> {
        let mut values: Vec<f64> = doubles.collect();
        let levels: Vec<i16> = values.iter().map(|value| i16::from(!value.is_nan())).collect();
        values.retain(|value| !value.is_nan());
        self.write::<DoubleType>(&values, Some(&levels))
    }

    fn write<T: DataType>(&mut self, values: &[T::T], levels: Option<&[i16]>) -> Result<()> {
        let Some(mut column) = self.group.next_column()? else {
            return Err(ParquetError::General("more columns than the schema has".to_owned()));
        };
        column.typed::<T>().write_batch(values, levels, None)?;
        self.next += 1;
        column.close()
    }

    fn finish(self) -> Result<()> {
        self.group.close().map(|_| ())
    }
}

/// The flags that have a name here; a later version's are left out.
const FLAGS_KNOWN: u32 =
    Flag::Retained as u32 | Flag::Historical as u32 | Flag::Simulated as u32 | Flag::Redelivered as u32;

/// The column `flags`: names sorted and joined by commas.
fn flags_text(flags: u32) -> &'static [u8] {
    static TEXTS: LazyLock<Vec<String>> = LazyLock::new(|| {
        let names = [
            (Flag::Historical, "historical"),
            (Flag::Redelivered, "redelivered"),
            (Flag::Retained, "retained"),
            (Flag::Simulated, "simulated"),
        ];
        let text = |flags: u32| {
            let set = names.iter().filter(|(flag, _)| flags & *flag as u32 != 0);
            set.map(|(_, name)| *name).collect::<Vec<_>>().join(",")
        };
        (0..=FLAGS_KNOWN).map(text).collect()
    });
    TEXTS[(flags & FLAGS_KNOWN) as usize].as_bytes()
}

/// The key of an enum's value; unspecified is null.
fn specified(value: i32) -> NameId {
    if value == 0 { NO_NAME } else { value as NameId }
}

/// The text of an enum's key.
fn enum_text<E: TryFrom<i32> + Default>(text: fn(E) -> &'static str) -> impl Fn(NameId) -> &'static [u8] {
    move |key| text(E::try_from(key as i32).unwrap_or_default()).as_bytes()
}

fn quality_text(quality: Quality) -> &'static str {
    match quality {
        Quality::Unspecified => "",
        Quality::Good => "good",
        Quality::Suspect => "suspect",
        Quality::Bad => "bad",
        Quality::Maintenance => "maintenance",
        Quality::Calibration => "calibration",
        Quality::Fault => "fault",
        Quality::OverRange => "over_range",
        Quality::CommFail => "comm_fail",
        Quality::Manual => "manual",
        Quality::Missing => "missing",
    }
}

fn time_source_text(source: TimeSource) -> &'static str {
    match source {
        TimeSource::Unspecified => "",
        TimeSource::Device => "device",
        TimeSource::Gateway => "gateway",
        TimeSource::Platform => "platform",
        TimeSource::Received => "received",
    }
}

fn clock_verdict_text(verdict: ClockVerdict) -> &'static str {
    match verdict {
        ClockVerdict::Unspecified => "",
        ClockVerdict::None => "none",
        ClockVerdict::Ok => "ok",
        ClockVerdict::Future => "future",
        ClockVerdict::BeforeEpochFloor => "before_epoch_floor",
        ClockVerdict::Implausible => "implausible",
    }
}

fn kind_text(kind: Kind) -> &'static str {
    match kind {
        Kind::Unspecified => "",
        Kind::Telemetry => "telemetry",
        Kind::Event => "event",
        Kind::Status => "status",
    }
}
