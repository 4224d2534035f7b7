//! One file in progress: Parquet row groups on their way into `_staging`.
//!
//! The Parquet writer writes into memory and cannot fail for the disk; [`StagedFile::drain`] brings what is there to its
//! place in the file and may be called again after an error. Invariant: what has been drained is in the file and in the
//! digest once.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use parquet::errors::Result as ParquetResult;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::TypePtr;
use sha2::{Digest, Sha256};

use crate::commit_record::CommittedFile;
use crate::disk::Disk;
use crate::error::{Error, io_error};
use crate::layout::{Layout, Source, Table};
use crate::schema::{Lineage, writer_properties};

/// About what the metadata and the page indexes of one row group take in memory until the footer is written.
const ROW_GROUP_FOOTER_BYTES: usize = 24 << 10;

/// A file of a range that is not committed yet.
pub(crate) struct StagedFile {
    table: Table,
    staged: PathBuf,
    published: PathBuf,
    writer: SerializedFileWriter<Pending>,
    file: Option<File>,
    digest: Sha256,
    rows: u64,
    drained_bytes: u64,
    is_finished: bool,
}

/// Encoded bytes that are not in the file yet.
#[derive(Default)]
pub(crate) struct Pending(Vec<u8>);

impl Write for Pending {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl StagedFile {
    /// A file for `directory`, the `index`th of the range that starts at `first`. Nothing is on disk yet.
    pub(crate) fn new(
        table: Table,
        directory: &Path,
        (source, first, writer, index): (Source, i64, &str, usize),
        schema: TypePtr,
    ) -> ParquetResult<Self> {
        Ok(StagedFile {
            table,
            staged: Layout::staged(table, source, first, writer, index),
            published: directory.join(Layout::file_name(source, first, index)),
            writer: SerializedFileWriter::new(Pending::default(), schema, writer_properties())?,
            file: None,
            digest: Sha256::new(),
            rows: 0,
            drained_bytes: 0,
            is_finished: false,
        })
    }

    /// Where it is while it is in progress, relative to the root.
    pub(crate) fn staged_path(&self) -> &Path {
        &self.staged
    }

    /// Bytes encoded so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.writer.bytes_written() as u64
    }

    /// Bytes in memory: what is encoded and not in the file yet, and what the footer will say of the row groups.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.pending_bytes() + self.writer.flushed_row_groups().len() * ROW_GROUP_FOOTER_BYTES
    }

    /// Bytes encoded that are not in the file yet.
    pub(crate) fn pending_bytes(&self) -> usize {
        (self.bytes() - self.drained_bytes) as usize
    }

    /// Adds a row group of `rows` rows.
    pub(crate) fn add_row_group(
        &mut self,
        rows: usize,
        encode: impl FnOnce(&mut SerializedFileWriter<Pending>) -> ParquetResult<()>,
    ) -> ParquetResult<()> {
        encode(&mut self.writer)?;
        self.rows += rows as u64;
        Ok(())
    }

    /// Brings what is encoded into the file.
    pub(crate) fn drain(&mut self, disk: &Disk) -> Result<(), Error> {
        let path = disk.path(&self.staged);
        if self.file.is_none() {
            self.file = Some(File::create(&path).map_err(io_error("create", &path))?);
        }
        self.writer.flush().map_err(io_error("buffer", &path))?;
        let Some(file) = &self.file else { return Ok(()) };
        let pending = self.writer.inner_mut();
        file.write_all_at(&pending.0, self.drained_bytes).map_err(io_error("write", &path))?;
        self.digest.update(&pending.0);
        self.drained_bytes += pending.0.len() as u64;
        pending.0.clear();
        Ok(())
    }

    /// Writes the footer and syncs the file. May be called again after an error.
    pub(crate) fn finish(&mut self, disk: &Disk, lineage: &Lineage) -> Result<CommittedFile, Error> {
        let path = disk.path(&self.staged);
        if !self.is_finished {
            for pair in lineage.key_values() {
                self.writer.append_key_value_metadata(pair);
            }
            self.writer.finish().map_err(|source| Error::Parquet { path: path.clone(), source })?;
            self.is_finished = true;
        }
        self.drain(disk)?;
        if let Some(file) = &self.file {
            file.sync_all().map_err(|source| Error::NotSynced { path, source })?;
        }
        Ok(CommittedFile {
            table: self.table,
            staged: self.staged.clone(),
            published: self.published.clone(),
            rows: self.rows,
            bytes: self.drained_bytes,
            sha256: hex(&self.digest.clone().finalize()),
        })
    }
}

/// Lower-case hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes all that is written");
        text
    })
}
