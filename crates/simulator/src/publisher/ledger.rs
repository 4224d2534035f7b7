//! Who was promised what: every acknowledged message, written down for an oracle to check the lake against.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::{Error, Message};

/// A file of acknowledged messages.
#[derive(Debug)]
pub(super) struct Ledger {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Ledger {
    pub(super) fn create(path: &Path) -> Result<Self, Error> {
        let file = File::create(path).map_err(|source| Error::Ledger { path: path.to_owned(), source })?;
        Ok(Ledger { path: path.to_owned(), file: BufWriter::new(file) })
    }

    pub(super) fn write(&mut self, message: &Message) -> Result<(), Error> {
        let (kind, device) = (message.kind.name(), &message.device_id);
        for observed_at_us in &message.observed_at_us {
            writeln!(self.file, "{kind}\t{device}\t{observed_at_us}").map_err(|source| self.error(source))?;
        }
        Ok(())
    }

    pub(super) fn finish(&mut self) -> Result<(), Error> {
        self.file.flush().map_err(|source| self.error(source))
    }

    fn error(&self, source: std::io::Error) -> Error {
        Error::Ledger { path: self.path.clone(), source }
    }
}
