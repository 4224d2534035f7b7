//! RFC 4180: rows of fields, quoted where they hold a comma, a quote or a line break. Borrows from the text; allocates
//! only for a field with doubled quotes.

use std::borrow::Cow;

use crate::place::Written;

/// One field and where it starts in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field<'a> {
    pub(crate) text: Cow<'a, str>,
    /// Byte offset.
    pub(crate) at: usize,
}

impl Field<'_> {
    pub(crate) fn is_empty(&self) -> bool {
        self.text.trim().is_empty()
    }

    /// Without the space around it.
    pub(crate) fn written(&self) -> Written<'_> {
        Written { text: self.text.trim(), at: self.at }
    }
}

/// A row that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CsvError {
    /// Byte offset.
    pub(crate) at: usize,
    pub(crate) found: &'static str,
    pub(crate) help: &'static str,
}

/// Reads rows one after the other.
pub(crate) struct CsvReader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> CsvReader<'a> {
    /// A byte order mark before the first row is passed over.
    pub(crate) fn new(text: &'a str) -> Self {
        CsvReader { text, at: if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 } }
    }

    /// Fills `row` with the next row that is not an empty line; false after the last. After an error reading goes on
    /// at the next line.
    pub(crate) fn next_row(&mut self, row: &mut Vec<Field<'a>>) -> Result<bool, CsvError> {
        row.clear();
        self.pass_empty_lines();
        if self.at == self.text.len() {
            return Ok(false);
        }
        loop {
            let field = self.field().inspect_err(|_| self.pass_line())?;
            row.push(field);
            match self.byte() {
                Some(b',') => self.at += 1,
                Some(b'\r') => {
                    self.at += 2;
                    return Ok(true);
                }
                Some(_) => {
                    self.at += 1;
                    return Ok(true);
                }
                None => return Ok(true),
            }
        }
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn is_row_end(&self) -> bool {
        let rest = &self.text.as_bytes()[self.at..];
        rest.is_empty() || rest[0] == b'\n' || rest.starts_with(b"\r\n")
    }

    fn pass_empty_lines(&mut self) {
        while self.at < self.text.len() && self.is_row_end() {
            self.pass_line();
        }
    }

    fn pass_line(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.find('\n').map_or(rest.len(), |newline| newline + 1);
    }

    /// Leaves the reader at the comma or row end after the field.
    fn field(&mut self) -> Result<Field<'a>, CsvError> {
        let at = self.at;
        if self.byte() == Some(b'"') {
            return self.quoted(at);
        }
        let rest = &self.text.as_bytes()[at..];
        let end = rest.iter().position(|byte| matches!(byte, b',' | b'\n' | b'"')).unwrap_or(rest.len());
        if rest.get(end) == Some(&b'"') {
            let help = "quote the whole field and double the quotes in it";
            return Err(CsvError { at: at + end, found: "a quote inside a field", help });
        }
        let is_crlf = rest.get(end) == Some(&b'\n') && rest[..end].ends_with(b"\r");
        self.at = at + end - usize::from(is_crlf);
        Ok(Field { text: Cow::Borrowed(&self.text[at..self.at]), at })
    }

    fn quoted(&mut self, at: usize) -> Result<Field<'a>, CsvError> {
        let start = at + 1;
        let mut end = start;
        let mut has_doubled = false;
        loop {
            let Some(quote) = self.text[end..].find('"') else {
                let help = "a quote after the field would do";
                return Err(CsvError { at, found: "a quoted field that does not end", help });
            };
            end += quote;
            if self.text.as_bytes().get(end + 1) != Some(&b'"') {
                break;
            }
            has_doubled = true;
            end += 2;
        }
        self.at = end + 1;
        if self.byte() != Some(b',') && !self.is_row_end() {
            let help = "a comma or the end of the line would do";
            return Err(CsvError { at: self.at, found: "more after a quoted field", help });
        }
        let text = &self.text[start..end];
        let text = if has_doubled { Cow::Owned(text.replace("\"\"", "\"")) } else { Cow::Borrowed(text) };
        Ok(Field { text, at })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Fields, or the place of an error.
    type Read = Result<Vec<String>, usize>;

    fn rows(text: &str) -> Vec<Read> {
        let mut reader = CsvReader::new(text);
        let mut rows = Vec::new();
        let mut row = Vec::new();
        loop {
            match reader.next_row(&mut row) {
                Ok(false) => return rows,
                Ok(true) => rows.push(Ok(row.iter().map(|field| field.text.to_string()).collect())),
                Err(error) => rows.push(Err(error.at)),
            }
        }
    }

    #[test]
    fn rows_are_read_as_the_standard_says() {
        let row = |fields: &[&str]| Ok(fields.iter().map(|field| (*field).to_owned()).collect());
        let cases: &[(&str, Vec<Read>)] = &[
            ("", vec![]),
            ("\u{feff}a,b\r\n1,2\r\n", vec![row(&["a", "b"]), row(&["1", "2"])]),
            ("a,\n\n,b", vec![row(&["a", ""]), row(&["", "b"])]),
            ("\"a,\"\"b\"\"\n\",c\n", vec![row(&["a,\"b\"\n", "c"])]),
            ("a\rb,c\n", vec![row(&["a\rb", "c"])]),
            ("\"\"\n", vec![row(&[""])]),
            ("a\"b\nc\n", vec![Err(1), row(&["c"])]),
            ("\"a\"b\nc\n", vec![Err(3), row(&["c"])]),
            ("\"a\nc\n", vec![Err(0), row(&["c"])]),
        ];
        for (text, expected) in cases {
            assert_eq!(&rows(text), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(table in prop::collection::vec(prop::collection::vec("[a-z,\"\r\n井 ]{0,6}", 2..5), 0..5)) {
            let quote = |field: &String| format!("\"{}\"", field.replace('"', "\"\""));
            let line = |row: &Vec<String>| row.iter().map(quote).collect::<Vec<_>>().join(",");
            let text = table.iter().map(line).collect::<Vec<_>>().join("\r\n");
            let expected: Vec<Read> = table.into_iter().map(Ok).collect();
            prop_assert_eq!(rows(&text), expected);
        }

        #[test]
        fn no_text_hangs_or_panics(text in "[a,\"\r\n\u{feff}]{0,40}") {
            rows(&text);
        }
    }
}
