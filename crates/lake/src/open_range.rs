//! The range of a log partition that is being filled: its rows by table partition, its control rows, its files in
//! progress, and how full it is. Writes below `_staging` only and decides nothing.
//!
//! Invariant: every row is either in memory here or in one of the files, once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use model::{ReadingView, TelemetryView};

use crate::calendar::day_of;
use crate::chunk::ChunkEncoder;
use crate::commit_record::{CommittedFile, Counts};
use crate::config::LakeConfig;
use crate::control_rows::ControlRow;
use crate::disk::Disk;
use crate::error::{Error, io_error};
use crate::layout::{Layout, Source, Table, is_safe_domain};
use crate::row_group::{Constants, write_control, write_telemetry};
use crate::rows::Rows;
use crate::schema::{Lineage, control_schema, telemetry_schema};
use crate::staged_file::StagedFile;

/// Where readings without a domain go.
const DOMAIN_UNKNOWN: &str = "unknown";

/// What is known of devices is forgotten with the rows when it takes more than this part of the memory.
const DICTIONARY_PART: usize = 4;

/// Rows are staged when they take this part of the memory: vectors that double as they grow then stay within it.
const ROWS_PART: usize = 2;

/// Why a message cannot become rows.
pub(crate) enum Refused {
    /// Another table partition would have to be opened: commit first.
    NoRoom,
    /// It can never be a row of this lake.
    Unfit(String),
}

/// The rows of one table partition.
struct TablePartition {
    domain: String,
    day: i32,
    rows: Rows,
    /// Its file among the range's, once there is one.
    file: Option<usize>,
}

impl TablePartition {
    /// It has rows of the open range.
    fn is_open(&self) -> bool {
        self.file.is_some() || !self.rows.readings.is_empty()
    }

    /// After its rows went to a file: keeps what serves the next ones, as far as the memory allows.
    fn clear(&mut self, bytes_max: usize) {
        self.rows.clear();
        if self.rows.dictionary_bytes() > bytes_max / DICTIONARY_PART {
            self.rows = Rows::default();
        }
    }
}

/// A range of one log partition, open at its end.
pub(crate) struct OpenRange {
    constants: Constants,
    first: i64,
    writer: String,
    pub(crate) counts: Counts,
    partitions: Vec<TablePartition>,
    partitions_max: usize,
    /// The one that the last reading went to.
    last: usize,
    control: Vec<ControlRow>,
    control_bytes: usize,
    files: Vec<StagedFile>,
    chunks: ChunkEncoder,
}

impl OpenRange {
    pub(crate) fn try_new(config: &LakeConfig, source: Source, writer: &str) -> Result<Self, Error> {
        let chunks = ChunkEncoder::try_new().map_err(io_error("make a compressor for", &config.root))?;
        Ok(OpenRange {
            constants: Constants { tenant: config.tenant.clone(), source },
            first: 0,
            writer: writer.to_owned(),
            counts: Counts::default(),
            partitions: Vec::new(),
            partitions_max: config.open_table_partitions_max,
            last: 0,
            control: Vec::new(),
            control_bytes: 0,
            files: Vec::new(),
            chunks,
        })
    }

    /// Forgets all rows that it holds and begins again at `first`. What is known of the devices of the last range stays,
    /// within `bytes_max`.
    pub(crate) fn reset(&mut self, first: i64, bytes_max: usize) {
        self.first = first;
        self.counts = Counts::default();
        self.partitions.retain(TablePartition::is_open);
        for partition in &mut self.partitions {
            partition.file = None;
            partition.clear(bytes_max);
        }
        self.last = 0;
        self.control.clear();
        self.control_bytes = 0;
        self.files.clear();
        if self.memory_bytes() > bytes_max / ROWS_PART {
            self.partitions.clear();
        }
    }

    /// Makes sure that every reading of a message has a table partition, or changes nothing. A message alone may open
    /// more than the limit, since it lands whole or not at all.
    pub(crate) fn make_room(
        &mut self,
        view: &TelemetryView<'_>,
        readings: &[ReadingView<'_>],
    ) -> Result<(), Refused> {
        let domain = domain_of(view);
        if !is_safe_domain(domain) {
            return Err(Refused::Unfit("domain: not of [a-z0-9_]{1,32}".to_owned()));
        }
        let mut new_days = Vec::new();
        for (index, reading) in readings.iter().enumerate() {
            let Some(day) = day_of(view.time_of(reading).observed_at_us) else {
                return Err(Refused::Unfit(format!(
                    "readings[{index}].observed_at_us: not in the years 1 to 9999"
                )));
            };
            if self.partition_of(domain, day).is_none() && !new_days.contains(&day) {
                new_days.push(day);
            }
        }
        if self.partitions.len() + new_days.len() > self.partitions_max && !new_days.is_empty() {
            self.partitions.retain(TablePartition::is_open);
            if !self.partitions.is_empty() && self.partitions.len() + new_days.len() > self.partitions_max {
                return Err(Refused::NoRoom);
            }
        }
        let opened =
            |day| TablePartition { domain: domain.to_owned(), day, rows: Rows::default(), file: None };
        self.partitions.extend(new_days.into_iter().map(opened));
        Ok(())
    }

    /// Adds the rows of a message that [`OpenRange::make_room`] has taken.
    pub(crate) fn push(
        &mut self,
        log_offset: i64,
        clock_us: i64,
        view: &TelemetryView<'_>,
        readings: &[ReadingView<'_>],
    ) {
        let domain = domain_of(view);
        for (index, reading) in readings.iter().enumerate() {
            let day = day_of(view.time_of(reading).observed_at_us);
            let place =
                day.and_then(|day| self.partition_of(domain, day)).expect("make_room found or made it");
            self.last = place;
            self.partitions[place].rows.push(log_offset, clock_us, view, index as u32, reading);
        }
        self.counts.messages += 1;
        self.counts.rows += readings.len() as u64;
    }

    /// Adds a record that is no telemetry.
    pub(crate) fn push_control(&mut self, row: ControlRow) {
        self.control_bytes += row.memory_bytes();
        self.control.push(row);
        self.counts.control += 1;
    }

    fn partition_of(&self, domain: &str, day: i32) -> Option<usize> {
        let is_it = |partition: &TablePartition| partition.day == day && partition.domain == domain;
        if self.partitions.get(self.last).is_some_and(is_it) {
            return Some(self.last);
        }
        self.partitions.iter().position(is_it)
    }

    /// Bytes that rows, their dictionaries and the files in progress take.
    pub(crate) fn memory_bytes(&self) -> usize {
        let rows: usize = self.partitions.iter().map(|partition| partition.rows.memory_bytes()).sum();
        rows + self.control_bytes + self.files.iter().map(StagedFile::memory_bytes).sum::<usize>()
    }

    fn row_bytes(&self) -> usize {
        self.partitions.iter().map(|partition| partition.rows.row_bytes()).sum()
    }

    /// Bytes of its files so far.
    pub(crate) fn staged_bytes(&self) -> u64 {
        self.files.iter().map(StagedFile::bytes).sum()
    }

    /// Whether rows have to be staged to stay within `bytes_max`.
    pub(crate) fn is_over(&self, bytes_max: usize) -> bool {
        self.row_bytes() > bytes_max / ROWS_PART || self.memory_bytes() > bytes_max
    }

    /// Encodes and stages the rows of the largest table partitions, as far as is needed to stay within `bytes_max`.
    pub(crate) fn spill(&mut self, disk: &Disk, bytes_max: usize) -> Result<(), Error> {
        while self.is_over(bytes_max) {
            let bytes_of = |place: &usize| self.partitions[*place].rows.row_bytes();
            let largest = (0..self.partitions.len()).max_by_key(bytes_of);
            let Some(place) = largest.filter(|place| bytes_of(place) > 0) else { break };
            self.encode(place)?;
            self.partitions[place].clear(bytes_max);
            self.drain(disk)?;
            if self.memory_bytes() > bytes_max {
                let emptied =
                    self.partitions.iter_mut().filter(|partition| partition.rows.readings.is_empty());
                emptied.for_each(|partition| partition.rows.give_up_room());
            }
        }
        Ok(())
    }

    fn drain(&mut self, disk: &Disk) -> Result<(), Error> {
        self.files.iter_mut().filter(|file| file.pending_bytes() > 0).try_for_each(|file| file.drain(disk))
    }

    /// Makes the rows of one table partition a row group of its file.
    fn encode(&mut self, place: usize) -> Result<(), Error> {
        let partition = &mut self.partitions[place];
        if partition.rows.readings.is_empty() {
            return Ok(());
        }
        let file = match partition.file {
            Some(file) => file,
            None => {
                let directory = Layout::telemetry_partition(&partition.domain, partition.day);
                let place = (self.constants.source, self.first, self.writer.as_str(), self.files.len());
                let file = StagedFile::new(Table::Telemetry, &directory, place, telemetry_schema());
                self.files.push(file.map_err(not_encoded(&directory))?);
                *partition.file.insert(self.files.len() - 1)
            }
        };
        let file = &mut self.files[file];
        let path = file.staged_path().to_owned();
        let rows = &partition.rows;
        file.add_row_group(rows.readings.len(), |out| {
            write_telemetry(out, rows, &self.constants, &mut self.chunks)
        })
        .map_err(not_encoded(&path))?;
        partition.rows.clear();
        Ok(())
    }

    fn encode_control(&mut self) -> Result<(), Error> {
        let mut by_day: BTreeMap<i32, Vec<ControlRow>> = BTreeMap::new();
        for row in self.control.drain(..) {
            // The clock is the log's own; one outside the calendar can only be that of a broken log.
            by_day.entry(day_of(row.log_time_us).unwrap_or_default()).or_default().push(row);
        }
        for (day, rows) in by_day {
            let directory = Layout::control_partition(day);
            let place = (self.constants.source, self.first, self.writer.as_str(), self.files.len());
            let file = StagedFile::new(Table::Control, &directory, place, control_schema());
            let mut file = file.map_err(not_encoded(&directory))?;
            file.add_row_group(rows.len(), |out| {
                write_control(out, &rows, &self.constants, &mut self.chunks)
            })
            .map_err(not_encoded(&directory))?;
            self.files.push(file);
        }
        self.control_bytes = 0;
        Ok(())
    }

    /// Brings everything into whole, synced files in `_staging`. May be called again after an error of the disk.
    pub(crate) fn stage(&mut self, disk: &Disk, next: i64) -> Result<Vec<CommittedFile>, Error> {
        for place in 0..self.partitions.len() {
            self.encode(place)?;
        }
        self.encode_control()?;
        let lineage =
            Lineage { source: self.constants.source, first: self.first, next, writer: self.writer.clone() };
        let files =
            self.files.iter_mut().map(|file| file.finish(disk, &lineage)).collect::<Result<Vec<_>, _>>()?;
        if !files.is_empty() {
            Table::ALL.iter().try_for_each(|&table| disk.sync_dir(&Layout::staging(table)))?;
        }
        Ok(files)
    }

    /// Removes its staged files.
    pub(crate) fn remove_staged(&self, disk: &Disk) -> Result<(), Error> {
        self.files.iter().try_for_each(|file| disk.remove(file.staged_path()))
    }
}

fn domain_of<'a>(view: &TelemetryView<'a>) -> &'a str {
    if view.domain.is_empty() { DOMAIN_UNKNOWN } else { view.domain }
}

fn not_encoded(path: &Path) -> impl FnOnce(parquet::errors::ParquetError) -> Error {
    let path: PathBuf = path.to_owned();
    move |source| Error::Parquet { path, source }
}
