//! A CSV file whose first line names its columns, in any order: what `devices.csv` and `assets.csv` have in common.

use std::hash::Hash;

use hashbrown::HashSet;

use crate::csv_reader::{CsvReader, Field};
use crate::finding::Findings;

/// Most columns of a file.
pub const COLUMNS_MAX: usize = 256;

/// The columns that a file may have.
pub(crate) trait Columns: Sized + Clone + Eq + Hash {
    /// The column without which a line says nothing.
    const KEY: Self;
    const KEY_NAME: &'static str;
    /// What would do where a name is none.
    const NAMES: &'static str;

    /// # Errors
    /// What stands there and what would do.
    fn find(name: &str) -> Result<Self, (String, String)>;
}

/// Lines one after the other.
pub(crate) struct CsvTable<'a, C> {
    reader: CsvReader<'a>,
    /// Nothing for a column that was told of already, so that the rest of the file is read all the same.
    columns: Vec<Option<C>>,
    row: Vec<Field<'a>>,
}

/// One line under its columns.
pub(crate) struct Line<'t, 'a, C> {
    columns: &'t [Option<C>],
    fields: &'t [Field<'a>],
}

impl<'a, C: Columns> CsvTable<'a, C> {
    /// Reads the names of the columns; nothing where no line could be read under them.
    pub(crate) fn open(text: &'a str, findings: &mut Findings) -> Option<Self> {
        let mut reader = CsvReader::new(text);
        let mut row = Vec::new();
        match reader.next_row(&mut row) {
            Ok(true) => {}
            Ok(false) => {
                findings.add(0, "no line with the names of the columns", C::NAMES);
                return None;
            }
            Err(error) => {
                findings.add(error.at, error.found, error.help);
                return None;
            }
        }
        let columns = columns(&row, findings);
        if !columns.contains(&Some(C::KEY)) {
            findings.add(0, format!("no column {}", C::KEY_NAME), "each line names what it is about");
            return None;
        }
        Some(CsvTable { reader, columns, row })
    }

    /// The next line that has as many fields as columns; nothing after the last.
    pub(crate) fn next_line(&mut self, findings: &mut Findings) -> Option<Line<'_, 'a, C>> {
        loop {
            match self.reader.next_row(&mut self.row) {
                Ok(false) => return None,
                Ok(true) if self.row.len() == self.columns.len() => break,
                Ok(true) => {
                    let found = format!("a line of {} fields", self.row.len());
                    let help = format!("{}, as many as columns, would do", self.columns.len());
                    findings.add(self.row[0].at, found, help);
                }
                Err(error) => findings.add(error.at, error.found, error.help),
            }
        }
        Some(Line { columns: &self.columns, fields: &self.row })
    }
}

impl<'t, 'a, C: Columns> Line<'t, 'a, C> {
    /// Byte offset of the line.
    pub(crate) fn at(&self) -> usize {
        self.fields[0].at
    }

    /// The field of the key, as it was written.
    pub(crate) fn key(&self) -> &'t Field<'a> {
        let index = self.columns.iter().position(|column| *column == Some(C::KEY));
        &self.fields[index.expect("a table without its key column does not open")]
    }

    /// What stands under a column; nothing where that is empty.
    pub(crate) fn field(&self, wanted: &C) -> Option<&'t Field<'a>> {
        self.filled().find(|(column, _)| *column == wanted).map(|(_, field)| field)
    }

    /// The fields that are not empty.
    pub(crate) fn filled(&self) -> impl Iterator<Item = (&'t C, &'t Field<'a>)> + use<'t, 'a, C> {
        let columns = self.columns.iter().zip(self.fields);
        columns.filter_map(|(column, field)| Some((column.as_ref()?, field)).filter(|_| !field.is_empty()))
    }
}

fn columns<C: Columns>(header: &[Field<'_>], findings: &mut Findings) -> Vec<Option<C>> {
    if let Some(field) = header.get(COLUMNS_MAX) {
        findings.add(field.at, "one column more", format!("at most {COLUMNS_MAX} columns would do"));
    }
    let mut seen = HashSet::new();
    let mut columns = Vec::new();
    for field in header {
        let column = match C::find(field.text.trim()) {
            Ok(column) if seen.insert(column.clone()) => Some(column),
            Ok(_) => {
                let found = format!("the column {} a second time", field.text);
                findings.add(field.at, found, "one of them would do");
                None
            }
            Err((found, help)) => {
                findings.add(field.at, found, help);
                None
            }
        };
        columns.push(column);
    }
    columns
}
