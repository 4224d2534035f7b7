//! The chain of commit records of one log partition: reading it, and making sure that its newest range is published.
//! Decides nothing about what lands.
//!
//! Invariants: a record's `next` is the start of the one after it; the next record is put only after this one's files
//! are in their tables, so only the newest can be unpublished.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::commit_record::{CommitRecord, CommittedFile};
use crate::config::Step;
use crate::disk::Disk;
use crate::error::Error;
use crate::layout::{Layout, Source, record_first};

/// The commit records of one log partition.
#[derive(Clone, Copy)]
pub(crate) struct Chain<'a> {
    disk: &'a Disk,
    source: Source,
}

impl<'a> Chain<'a> {
    pub(crate) fn new(disk: &'a Disk, source: Source) -> Self {
        Chain { disk, source }
    }

    /// Every log partition that has a chain, in order.
    pub(crate) fn sources(disk: &Disk) -> Result<Vec<Source>, Error> {
        let mut sources = Vec::new();
        for log_id in disk.list(Path::new(Layout::COMMITS))? {
            for partition in disk.list(&Path::new(Layout::COMMITS).join(&log_id))? {
                if let (Ok(log_id), Ok(log_partition)) = (log_id.parse(), partition.parse()) {
                    sources.push(Source { log_id, log_partition });
                }
            }
        }
        sources.sort_unstable();
        Ok(sources)
    }

    /// Starts of all ranges, rising.
    pub(crate) fn firsts(&self) -> Result<Vec<i64>, Error> {
        let names = self.disk.list(&Layout::chain(self.source))?;
        let mut firsts: Vec<i64> = names.iter().filter_map(|name| record_first(name)).collect();
        firsts.sort_unstable();
        Ok(firsts)
    }

    /// The record that starts at `first`.
    pub(crate) fn read(&self, first: i64) -> Result<Option<CommitRecord>, Error> {
        let path = Layout::record(self.source, first);
        let Some(bytes) = self.disk.read(&path)? else { return Ok(None) };
        CommitRecord::parse(&bytes, self.source, first)
            .map(Some)
            .map_err(|what| Error::BrokenRecord { path: self.disk.path(&path), what })
    }

    /// The record with the greatest start. Reads one record whatever the age of the lake.
    pub(crate) fn newest(&self) -> Result<Option<CommitRecord>, Error> {
        match self.firsts()?.last() {
            Some(&first) => self.read(first),
            None => Ok(None),
        }
    }

    /// The newest record, its files in their tables: only then may a record be put after it.
    pub(crate) fn published_newest(&self) -> Result<Option<CommitRecord>, Error> {
        let newest = self.newest()?;
        if let Some(record) = &newest {
            // The one who put it may not have come to sync its name.
            self.disk.sync_dir(&Layout::chain(self.source))?;
            self.publish(record)?;
        }
        Ok(newest)
    }

    /// Puts a record unless its place is taken, and answers with the one that stands there.
    pub(crate) fn put(&self, record: &CommitRecord) -> Result<CommitRecord, Error> {
        let path = Layout::record(self.source, record.first);
        let aside = Layout::aside(self.source, record.first, &record.writer);
        self.disk.create_dirs(&Layout::chain(self.source))?;
        if self.disk.put_if_absent(&aside, &path, &record.to_bytes())? {
            return Ok(record.clone());
        }
        let broken =
            || Error::BrokenRecord { path: self.disk.path(&path), what: "it exists and is not there".into() };
        self.read(record.first)?.ok_or_else(broken)
    }

    /// Brings the files of a decided range into their tables, whoever decided it and however far it came.
    pub(crate) fn publish(&self, record: &CommitRecord) -> Result<(), Error> {
        let mut touched = BTreeSet::new();
        for file in &record.files {
            let directory: PathBuf = file.published.parent().unwrap_or(Path::new("")).to_owned();
            self.disk.create_dirs(&directory)?;
            self.disk.reach(Step::BeforePublish)?;
            if !self.disk.rename(&file.staged, &file.published)? && !self.is_published(record, file)? {
                let path = self.disk.path(&file.published);
                return Err(Error::MissingFile { path, staged: self.disk.path(&file.staged) });
            }
            touched.insert(directory);
        }
        touched.iter().try_for_each(|directory| self.disk.sync_dir(directory))
    }

    /// A file that is not staged any more is where it belongs, or a later record says that it has been there.
    fn is_published(&self, record: &CommitRecord, file: &CommittedFile) -> Result<bool, Error> {
        let is_there = self.disk.size(&file.published)?.is_some();
        Ok(is_there || self.firsts()?.last().is_some_and(|&newest| newest > record.first))
    }
}
