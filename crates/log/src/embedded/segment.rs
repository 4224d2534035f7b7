//! One segment file: a header that says what came before it, then batches one after the other.
//!
//! It knows its own file and where batches stand in it, no other segment. Invariants: the file is whole and synced with
//! its directory before it has its name; nothing below `durable_bytes` is ever written again.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use model::LogId;
use parking_lot::{Mutex, MutexGuard};

use super::batch::{self, BatchHeader, SealedBatch};
use super::index::{IndexKey, SegmentIndex};
use crate::Error;

const MAGIC: [u8; 8] = *b"unbseg\x00\x01";
const FIXED_BYTES: usize = 56;

/// What a segment says at its beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) log_id: LogId,
    pub(super) sequence: u64,
    /// The first sequence that this segment stands for: less than its own where it was compacted from several.
    pub(super) replaces_from: u64,
    /// The greatest time stamped before it.
    pub(super) log_time_us: i64,
    /// For each log partition the offset after the last one given before it.
    pub(super) first: Vec<i64>,
}

impl SegmentHeader {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(FIXED_BYTES + 8 * self.first.len());
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&(self.first.len() as u32).to_le_bytes());
        out.extend_from_slice(&self.log_id.0);
        out.extend_from_slice(&self.sequence.to_le_bytes());
        out.extend_from_slice(&self.replaces_from.to_le_bytes());
        out.extend_from_slice(&self.log_time_us.to_le_bytes());
        self.first.iter().for_each(|offset| out.extend_from_slice(&offset.to_le_bytes()));
        let crc = crc32c::crc32c(&out[12..]);
        out[8..12].copy_from_slice(&crc.to_le_bytes());
        out
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(&MAGIC)?;
        let (crc, checked) = rest.split_first_chunk()?;
        if crc32c::crc32c(checked) != u32::from_le_bytes(*crc) {
            return None;
        }
        let (_, rest) = checked.split_first_chunk::<4>()?;
        let (log_id, rest) = rest.split_first_chunk()?;
        let mut words =
            rest.chunks_exact(8).map(|word| u64::from_le_bytes(std::array::from_fn(|at| word[at])));
        Some(SegmentHeader {
            log_id: LogId(*log_id),
            sequence: words.next()?,
            replaces_from: words.next()?,
            log_time_us: words.next()? as i64,
            first: words.map(|word| word as i64).collect(),
        })
    }

    pub(super) fn bytes(&self) -> u64 {
        (FIXED_BYTES + 8 * self.first.len()) as u64
    }
}

/// An open segment, shared by its writer and its readers.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) header: SegmentHeader,
    pub(super) path: PathBuf,
    pub(super) file: File,
    durable_bytes: AtomicU64,
    index: Mutex<SegmentIndex>,
    has_index_file: AtomicBool,
}

impl Segment {
    /// Makes a file with the batches that `fill` writes. It gets its name only when it is durable; a segment that has the
    /// name already is replaced.
    ///
    /// # Errors
    /// [`Error::Io`], or what `fill` says; nothing of that name has appeared or changed then.
    pub(super) fn create(
        dir: &Path,
        header: SegmentHeader,
        fill: impl FnOnce(&mut SegmentDraft) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let path = dir.join(file_name(header.sequence));
        let mut draft = SegmentDraft::new(path.with_extension(DRAFT_EXTENSION))?;
        let made = draft
            .write(&header.encode())
            .and_then(|()| fill(&mut draft))
            .and_then(|()| draft.write_buffer())
            .and_then(|()| draft.file.sync_all().map_err(io("sync", &draft.path)))
            .and_then(|()| std::fs::rename(&draft.path, &path).map_err(io("rename", &draft.path)))
            .and_then(|()| sync_dir(dir));
        if let Err(error) = made {
            // Frees what it took of a full disk; a draft that stays is removed at the next open.
            std::fs::remove_file(&draft.path).ok();
            return Err(error);
        }
        let segment = Segment::of(header, path, draft.file, draft.bytes);
        draft.batches.iter().for_each(|(header, at)| segment.note(header, *at));
        Ok(segment)
    }

    /// # Errors
    /// [`Error::Io`], or [`Error::Damaged`] where the header does not check.
    pub(super) fn open(path: PathBuf) -> Result<Self, Error> {
        let damaged = |path: &Path| Error::Damaged {
            path: path.to_owned(),
            at: 0,
            what: "the segment header does not check",
        };
        let file = OpenOptions::new().read(true).write(true).open(&path).map_err(io("open", &path))?;
        let mut fixed = [0; 16];
        let read = file.read_exact_at(&mut fixed, 0);
        if read.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::UnexpectedEof) {
            return Err(damaged(&path));
        }
        read.map_err(io("read", &path))?;
        let file_bytes = file.metadata().map_err(io("read", &path))?.len();
        let partitions = u32::from_le_bytes([fixed[12], fixed[13], fixed[14], fixed[15]]);
        let header_bytes = FIXED_BYTES as u64 + 8 * u64::from(partitions);
        if header_bytes > file_bytes {
            return Err(damaged(&path));
        }
        let mut bytes = vec![0; header_bytes as usize];
        file.read_exact_at(&mut bytes, 0).map_err(io("read", &path))?;
        let header = SegmentHeader::decode(&bytes).ok_or_else(|| damaged(&path))?;
        Ok(Segment::of(header, path, file, file_bytes))
    }

    fn of(header: SegmentHeader, path: PathBuf, file: File, durable_bytes: u64) -> Self {
        let index = Mutex::new(SegmentIndex::new(&header.first, header.log_time_us));
        let (durable_bytes, has_index_file) = (AtomicU64::new(durable_bytes), AtomicBool::new(false));
        Segment { header, path, file, durable_bytes, index, has_index_file }
    }

    /// Bytes that readers may see.
    pub(super) fn durable_bytes(&self) -> u64 {
        self.durable_bytes.load(Ordering::Acquire)
    }

    pub(super) fn set_durable_bytes(&self, bytes: u64) {
        self.durable_bytes.store(bytes, Ordering::Release);
    }

    /// Notes that a batch stands at byte `at`.
    pub(super) fn note(&self, header: &BatchHeader, at: u64) {
        self.index.lock().note(header, at);
    }

    /// What it holds, as far as it was noted.
    pub(super) fn index(&self) -> MutexGuard<'_, SegmentIndex> {
        self.index.lock()
    }

    /// Where to read from to find `offset`: at or before its batch.
    pub(super) fn locate(&self, log_partition: u32, offset: i64) -> u64 {
        self.index.lock().locate(log_partition, offset).unwrap_or_else(|| self.header.bytes())
    }

    /// Takes the index from its file; false where there is none that fits, and the segment must be read.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(super) fn load_index(&self) -> Result<bool, Error> {
        let path = self.path.with_extension(INDEX_EXTENSION);
        let bytes = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            bytes => bytes.map_err(io("read", &path))?,
        };
        let Some(index) = SegmentIndex::decode(&bytes, self.index_key(), self.header.first.len()) else {
            return Ok(false);
        };
        *self.index.lock() = index;
        self.has_index_file.store(true, Ordering::Relaxed);
        Ok(true)
    }

    /// Writes the index to its file unless it is there. The segment must be written no more.
    ///
    /// # Errors
    /// [`Error::Io`]; the next open then reads the segment.
    pub(super) fn save_index(&self) -> Result<(), Error> {
        if self.has_index_file.load(Ordering::Relaxed) {
            return Ok(());
        }
        let path = self.path.with_extension(INDEX_EXTENSION);
        let bytes = self.index.lock().encode(self.index_key());
        std::fs::write(&path, bytes).map_err(io("write", &path))?;
        self.has_index_file.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn index_key(&self) -> IndexKey {
        IndexKey { segment_crc: crc32c::crc32c(&self.header.encode()), segment_bytes: self.durable_bytes() }
    }

    /// Removes its index, then itself; what is gone already is no error.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(super) fn unlink(&self) -> Result<(), Error> {
        for path in [&self.path.with_extension(INDEX_EXTENSION), &self.path] {
            match std::fs::remove_file(path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(io("unlink", path)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) fn damaged(&self, at: u64, what: &'static str) -> Error {
        Error::Damaged { path: self.path.clone(), at, what }
    }
}

/// A segment that has no name yet.
pub(super) struct SegmentDraft {
    path: PathBuf,
    file: File,
    /// Written and still in the buffer.
    bytes: u64,
    buffer: Vec<u8>,
    batches: Vec<(BatchHeader, u64)>,
}

impl SegmentDraft {
    fn new(path: PathBuf) -> Result<Self, Error> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path);
        let file = file.map_err(io("create", &path))?;
        Ok(SegmentDraft { path, file, bytes: 0, buffer: Vec::new(), batches: Vec::new() })
    }

    /// Adds a batch; its header says that all before it is durable, as it is once the segment has its name.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(super) fn push(
        &mut self,
        batch: &SealedBatch,
        base_offset: i64,
        log_time_us: i64,
    ) -> Result<(), Error> {
        let at = self.bytes;
        let header = batch.header(base_offset, log_time_us, at);
        self.write(&header.encode())?;
        self.write(&batch.body)?;
        self.batches.push((header, at));
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.buffer.extend_from_slice(bytes);
        self.bytes += bytes.len() as u64;
        if self.buffer.len() as u64 >= CHUNK_BYTES { self.write_buffer() } else { Ok(()) }
    }

    fn write_buffer(&mut self) -> Result<(), Error> {
        let at = self.bytes - self.buffer.len() as u64;
        self.file.write_all_at(&self.buffer, at).map_err(io("write", &self.path))?;
        self.buffer.clear();
        Ok(())
    }
}

/// Of a segment that is not whole yet.
pub(super) const DRAFT_EXTENSION: &str = "draft";
const INDEX_EXTENSION: &str = "index";
const SUFFIX: &str = ".segment";

fn file_name(sequence: u64) -> String {
    format!("{sequence:020}{SUFFIX}")
}

/// The sequence in a segment's file name.
pub(super) fn sequence_of(file_name: &str) -> Option<u64> {
    file_name.strip_suffix(SUFFIX).filter(|digits| digits.len() == 20)?.parse().ok()
}

/// # Errors
/// [`Error::Io`].
pub(super) fn sync_dir(dir: &Path) -> Result<(), Error> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(io("sync", dir))
}

pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    move |source| Error::Io { action, path: path.to_owned(), source }
}

/// Reads batches of one segment in the order in which they stand.
#[derive(Debug)]
pub(super) struct BatchCursor {
    at: u64,
    chunk: Bytes,
    chunk_at: u64,
}

/// One batch as a cursor finds it.
#[derive(Debug)]
pub(super) struct FoundBatch {
    pub(super) header: BatchHeader,
    pub(super) at: u64,
    /// Checked, where it was asked for.
    pub(super) body: Option<Bytes>,
}

/// Read or written at once; a batch in memory keeps its chunk.
const CHUNK_BYTES: u64 = 256 << 10;

impl BatchCursor {
    pub(super) fn new(at: u64) -> Self {
        BatchCursor { at, chunk: Bytes::new(), chunk_at: 0 }
    }

    /// The next batch before `end`, with its body where `wants` it; `None` at the end.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Damaged`] where no good batch stands; the cursor stays there then.
    pub(super) fn next(
        &mut self,
        segment: &Segment,
        end: u64,
        wants: impl FnOnce(&BatchHeader) -> bool,
    ) -> Result<Option<FoundBatch>, Error> {
        let at = self.at;
        if at >= end {
            return Ok(None);
        }
        let damaged = |what| segment.damaged(at, what);
        let head = self.bytes(segment, at, batch::HEADER_BYTES as u64, end)?;
        let header = BatchHeader::decode(&head).map_err(damaged)?;
        if header.log_partition as usize >= segment.header.first.len() {
            return Err(damaged("the batch is of no log partition"));
        }
        let body_at = at + batch::HEADER_BYTES as u64;
        let body = if wants(&header) {
            let body = self.bytes(segment, body_at, u64::from(header.body_bytes), end)?;
            if crc32c::crc32c(&body) != header.body_crc {
                return Err(damaged("the records do not check"));
            }
            Some(body)
        } else if at + header.batch_bytes() > end {
            return Err(damaged("the batch is cut"));
        } else {
            None
        };
        self.at = at + header.batch_bytes();
        Ok(Some(FoundBatch { header, at, body }))
    }

    fn bytes(&mut self, segment: &Segment, at: u64, bytes: u64, end: u64) -> Result<Bytes, Error> {
        if at + bytes > end {
            return Err(segment.damaged(self.at, "the batch is cut"));
        }
        let chunk_end = self.chunk_at + self.chunk.len() as u64;
        if at < self.chunk_at || at + bytes > chunk_end {
            let mut chunk = vec![0; bytes.max(CHUNK_BYTES).min(end - at) as usize];
            segment.file.read_exact_at(&mut chunk, at).map_err(io("read", &segment.path))?;
            self.chunk = Bytes::from(chunk);
            self.chunk_at = at;
        }
        let start = (at - self.chunk_at) as usize;
        Ok(self.chunk.slice(start..start + bytes as usize))
    }
}
