//! The proof that a lake is whole: every chain without gap or overlap, every file of every record present with its size
//! and digest, nothing else in the tables. Reads only, and may run while others land.

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::chain::Chain;
use crate::commit_record::{CommitRecord, CommittedFile, Counts, RangeKind};
use crate::disk::Disk;
use crate::error::{Error, io_error};
use crate::layout::{Source, Table};
use crate::staged_file::hex;

/// What is wrong with a lake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The chain does not begin at offset 0, or goes on elsewhere than where the record before ends.
    BrokenChain {
        source: Source,
        expected: i64,
        found: i64,
    },
    /// A commit record does not say what it must.
    BrokenRecord {
        source: Source,
        first: i64,
        what: String,
    },
    /// The counts do not agree with the files or the offsets.
    WrongCounts {
        source: Source,
        first: i64,
        what: String,
    },
    MissingFile {
        path: PathBuf,
    },
    /// Decided and not in its table though a later range is.
    Unpublished {
        path: PathBuf,
    },
    WrongSize {
        path: PathBuf,
        expected: u64,
        found: u64,
    },
    WrongDigest {
        path: PathBuf,
    },
    /// In a table and of no commit record.
    ExtraFile {
        path: PathBuf,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let partition = |source: &Source| format!("log {} partition {}", source.log_id, source.log_partition);
        match self {
            Problem::BrokenChain { source, expected, found } => {
                write!(f, "{}: the chain goes on at {found}, expected {expected}", partition(source))
            }
            Problem::BrokenRecord { source, first, what } => {
                write!(f, "{}: commit record {first}: {what}", partition(source))
            }
            Problem::WrongCounts { source, first, what } => {
                write!(f, "{}: counts of commit record {first}: {what}", partition(source))
            }
            Problem::MissingFile { path } => write!(f, "{}: missing", path.display()),
            Problem::Unpublished { path } => {
                write!(f, "{}: still staged though a later range is published", path.display())
            }
            Problem::WrongSize { path, expected, found } => {
                write!(f, "{}: {found} bytes, its commit record says {expected}", path.display())
            }
            Problem::WrongDigest { path } => {
                write!(f, "{}: not the bytes that were committed", path.display())
            }
            Problem::ExtraFile { path } => write!(f, "{}: belongs to no commit record", path.display()),
        }
    }
}

/// What was verified. It holds when there are no problems.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub log_partitions: u64,
    pub commits: u64,
    pub files: u64,
    pub bytes: u64,
    pub counts: Counts,
    /// Files of newest ranges that are decided and not published yet; whoever takes the log partition publishes them.
    pub unpublished: u64,
    /// Offsets that were lost before they landed, as somebody has accepted.
    pub gaps: Vec<(Source, Range<i64>)>,
    pub problems: Vec<Problem>,
}

/// Verifies the lake at `root`, reading every byte of every file.
///
/// # Errors
/// The root cannot be read. What is wrong with what it holds is in the report.
pub fn verify(root: &Path) -> Result<Report, Error> {
    let disk = Disk::read_only(root);
    // Tables first: a file is in a record before it is in a table, so what is listed here must be in the chains read next.
    let mut found = Vec::new();
    for table in Table::ALL {
        walk(&disk, Path::new(table.name()), &mut found)?;
    }
    let mut report = Report::default();
    let mut committed = HashSet::new();
    for source in Chain::sources(&disk)? {
        verify_chain(&disk, source, &mut report, &mut committed)?;
        report.log_partitions += 1;
    }
    let extra = found.into_iter().filter(|path| !committed.contains(path));
    report.problems.extend(extra.map(|path| Problem::ExtraFile { path }));
    Ok(report)
}

fn verify_chain(
    disk: &Disk,
    source: Source,
    report: &mut Report,
    committed: &mut HashSet<PathBuf>,
) -> Result<(), Error> {
    let chain = Chain::new(disk, source);
    let firsts = chain.firsts()?;
    let mut expected = 0;
    for (at, &first) in firsts.iter().enumerate() {
        let is_newest = at + 1 == firsts.len();
        if first != expected {
            report.problems.push(Problem::BrokenChain { source, expected, found: first });
        }
        match chain.read(first) {
            Ok(Some(record)) => {
                expected = record.next;
                verify_record(disk, &record, is_newest, report)?;
                committed.extend(record.files.into_iter().map(|file| file.published));
            }
            Ok(None) => expected = first,
            Err(Error::BrokenRecord { what, .. }) => {
                // Where it ended is not known: the next one is taken at its word.
                expected = firsts.get(at + 1).copied().unwrap_or_default();
                report.problems.push(Problem::BrokenRecord { source, first, what });
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn verify_record(
    disk: &Disk,
    record: &CommitRecord,
    is_newest: bool,
    report: &mut Report,
) -> Result<(), Error> {
    report.commits += 1;
    report.counts.add(&record.counts);
    if record.kind == RangeKind::Gap {
        report.gaps.push((record.source(), record.first..record.next));
    }
    let mut wrong = |what: String| {
        report.problems.push(Problem::WrongCounts { source: record.source(), first: record.first, what });
    };
    let rows_in =
        |table| record.files.iter().filter(|file| file.table == table).map(|file| file.rows).sum::<u64>();
    let counted = [(Table::Telemetry, record.counts.rows), (Table::Control, record.counts.control)];
    for (table, rows) in counted {
        if rows_in(table) != rows {
            wrong(format!("{rows} rows of {}, its files have {}", table.name(), rows_in(table)));
        }
    }
    let offsets = (record.next - record.first).unsigned_abs();
    if record.counts.records() > offsets {
        wrong(format!("{} records in {offsets} offsets", record.counts.records()));
    }
    record.files.iter().try_for_each(|file| verify_file(disk, file, is_newest, report))
}

fn verify_file(disk: &Disk, file: &CommittedFile, is_newest: bool, report: &mut Report) -> Result<(), Error> {
    report.files += 1;
    report.bytes += file.bytes;
    // Asked for in its table twice, since it may be published between the two looks.
    let mut opened = None;
    for path in [&file.published, &file.staged, &file.published] {
        if opened.is_none() {
            opened = open(disk, path)?.map(|opened| (opened, path));
        }
    }
    let Some((opened, path)) = opened else {
        report.problems.push(Problem::MissingFile { path: file.published.clone() });
        return Ok(());
    };
    if path == &file.staged {
        if is_newest {
            report.unpublished += 1;
        } else {
            report.problems.push(Problem::Unpublished { path: file.published.clone() });
        }
    }
    let (bytes, sha256) = digest_of(opened).map_err(io_error("read", disk.path(path)))?;
    if bytes != file.bytes {
        report.problems.push(Problem::WrongSize {
            path: file.published.clone(),
            expected: file.bytes,
            found: bytes,
        });
    } else if sha256 != file.sha256 {
        report.problems.push(Problem::WrongDigest { path: file.published.clone() });
    }
    Ok(())
}

fn open(disk: &Disk, relative: &Path) -> Result<Option<File>, Error> {
    let path = disk.path(relative);
    match File::open(&path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_error("open", path)(error)),
    }
}

fn digest_of(mut file: File) -> std::io::Result<(u64, String)> {
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut bytes = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((bytes, hex(&digest.finalize())));
        }
        digest.update(&buffer[..read]);
        bytes += read as u64;
    }
}

/// Every file below a directory, relative to the root.
fn walk(disk: &Disk, directory: &Path, found: &mut Vec<PathBuf>) -> Result<(), Error> {
    for name in disk.list(directory)? {
        let path = directory.join(name);
        if disk.path(&path).is_dir() {
            walk(disk, &path, found)?;
        } else {
            found.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_without_a_lake_has_no_problems_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(verify(&folder.path().join("none")).unwrap(), Report::default());
    }
}
