//! What a topic's directory holds when the log is opened: which segments, up to where they are good, and what follows.
//!
//! It decides between a torn tail, which a crash leaves and which is cut, and damage of what was durable, which is never
//! repaired silently. Invariant: what it gives back is synced and without a hole.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::LogId;
use tracing::warn;

use super::batch::{self, BatchHeader};
use super::segment::{
    BatchCursor, DRAFT_EXTENSION, FoundBatch, Segment, SegmentHeader, io, sequence_of, sync_dir,
};
use crate::{Error, Topic};

/// The state of a topic as its directory tells it.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) segments: VecDeque<Arc<Segment>>,
    pub(super) next: Vec<i64>,
}

/// Opens the directory of `topic`, made when it does not exist.
///
/// # Errors
/// [`Error::Damaged`], [`Error::Refused`] where it belongs to another log or has another count of log partitions, or
/// [`Error::Io`].
pub(super) fn recover(dir: &Path, topic: Topic, log_id: LogId, partitions: u32) -> Result<Recovered, Error> {
    let count = topic.partition_count(partitions) as usize;
    std::fs::create_dir_all(dir).map_err(io("create", dir))?;
    let mut segments = open_segments(dir)?;
    if segments.is_empty() {
        let header =
            SegmentHeader { log_id, sequence: 0, replaces_from: 0, log_time_us: 0, first: vec![0; count] };
        segments.push(Segment::create(dir, header, |_| Ok(()))?);
    }
    check_headers(&segments, log_id, count)?;
    let Some((last, sealed)) = segments.split_last() else {
        return Err(Error::Refused(format!("{} holds no segment", dir.display())));
    };
    for (segment, following) in sealed.iter().zip(&segments[1..]) {
        scan_sealed(segment, topic.is_compacted())?;
        let next = next_offsets(segment);
        // Compaction may have taken the last records of a segment, and nothing else may.
        let is_whole = if topic.is_compacted() {
            next.iter().zip(&following.header.first).all(|(next, first)| next <= first)
        } else {
            next == following.header.first
        };
        if !is_whole {
            return Err(segment.damaged(segment.durable_bytes(), "batches are missing at the end"));
        }
    }
    scan_last(last, topic.is_compacted())?;
    let next = next_offsets(last);
    Ok(Recovered { segments: segments.into_iter().map(Arc::new).collect(), next })
}

/// The segments in order. What a crash left behind is removed: drafts, and what a compacted segment already stands for.
fn open_segments(dir: &Path) -> Result<Vec<Segment>, Error> {
    let mut found: Vec<(u64, PathBuf)> = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(io("list", dir))? {
        let path = entry.map_err(io("list", dir))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.extension().is_some_and(|extension| extension == DRAFT_EXTENSION) {
            std::fs::remove_file(&path).map_err(io("remove", &path))?;
        } else if let Some(sequence) = sequence_of(name) {
            found.push((sequence, path));
        }
    }
    found.sort_unstable();
    let mut segments: Vec<Segment> = Vec::with_capacity(found.len());
    for (_, path) in found {
        let segment = Segment::open(path)?;
        while let Some(replaced) =
            segments.pop_if(|earlier| earlier.header.sequence >= segment.header.replaces_from)
        {
            replaced.unlink()?;
        }
        segments.push(segment);
    }
    sync_dir(dir)?;
    Ok(segments)
}

fn check_headers(segments: &[Segment], log_id: LogId, partitions: usize) -> Result<(), Error> {
    for segment in segments {
        let path = segment.path.display();
        if segment.header.log_id != log_id {
            return Err(Error::Refused(format!(
                "{path} belongs to the log {}, this is {log_id}",
                segment.header.log_id
            )));
        }
        let stored = segment.header.first.len();
        if stored != partitions {
            return Err(Error::Refused(format!(
                "the topic was made with {stored} log partitions and log.partitions asks for {partitions}, see {path}"
            )));
        }
    }
    match segments.windows(2).find(|pair| pair[1].header.replaces_from != pair[0].header.sequence + 1) {
        Some(pair) => Err(pair[1].damaged(0, "the segment before it is missing")),
        None => Ok(()),
    }
}

/// Its index, or else the headers of all batches: the records are checked when they are read.
fn scan_sealed(segment: &Segment, is_compacted: bool) -> Result<(), Error> {
    if segment.load_index()? {
        return Ok(());
    }
    let mut cursor = BatchCursor::new(segment.header.bytes());
    while let Some(found) = cursor.next(segment, segment.durable_bytes(), |_| false)? {
        note(segment, &found, is_compacted)?;
    }
    Ok(())
}

/// Every byte, because the last write may be torn; it is cut after the last good batch, and what stays is synced.
fn scan_last(segment: &Segment, is_compacted: bool) -> Result<(), Error> {
    let mut cursor = BatchCursor::new(segment.header.bytes());
    let end = segment.durable_bytes();
    loop {
        match cursor.next(segment, end, |_| true) {
            Ok(Some(found)) => note(segment, &found, is_compacted)?,
            Ok(None) => break,
            Err(Error::Damaged { path, at, what }) => {
                if was_durable(segment, at, end)? {
                    return Err(Error::Damaged { path, at, what });
                }
                warn!(path = %path.display(), at, bytes = end - at, what, "torn tail of the log cut at the last good batch");
                segment.file.set_len(at).map_err(io("cut", &path))?;
                segment.set_durable_bytes(at);
                break;
            }
            Err(error) => return Err(error),
        }
    }
    segment.file.sync_all().map_err(io("sync", &segment.path))
}

/// Checks that a batch follows those before it, and puts it into the index.
fn note(segment: &Segment, found: &FoundBatch, has_holes: bool) -> Result<(), Error> {
    let FoundBatch { header, at, .. } = found;
    let next = segment.index().partitions[header.log_partition as usize].next;
    let follows = if has_holes { header.base_offset >= next } else { header.base_offset == next };
    if !follows || header.count == 0 {
        return Err(segment.damaged(*at, "the batch does not follow the one before it"));
    }
    segment.note(header, *at);
    Ok(())
}

/// For each log partition the offset after the last record up to the end of the segment.
fn next_offsets(segment: &Segment) -> Vec<i64> {
    segment.index().partitions.iter().map(|partition| partition.next).collect()
}

/// Whether a later batch tells that what stands at byte `at` had been synced before it was written.
fn was_durable(segment: &Segment, at: u64, end: u64) -> Result<bool, Error> {
    use std::os::unix::fs::FileExt;
    let mut rest = vec![0; (end - at) as usize];
    segment.file.read_exact_at(&mut rest, at).map_err(io("read", &segment.path))?;
    let headers = rest.windows(batch::HEADER_BYTES).filter(|window| window.starts_with(&batch::MAGIC));
    Ok(headers.filter_map(|window| BatchHeader::decode(window).ok()).any(|header| header.durable_before > at))
}
