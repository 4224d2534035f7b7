//! Reading the tree key by key. Each call names one key once: its default, its range and its words, from which the
//! table in `docs/operations.md` is printed too. Errors are collected, never returned: all are said at once.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::{ConfigError, Place};
use super::listen::Listen;
use super::secret::Secret;
use super::spelling::nearest;
use super::tree::{Node, Table, Value};
use super::{byte_size, duration};

/// One key as the docs list it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyDoc {
    pub key: String,
    pub kind: &'static str,
    pub default: String,
    pub range: String,
    pub text: &'static str,
}

/// Reads the whole file of a secret.
pub type ReadSecret = fn(&Path) -> std::io::Result<String>;

/// Collects what is read, what is wrong and what the docs say.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) errors: Vec<ConfigError>,
    pub(super) docs: Vec<KeyDoc>,
    places: BTreeMap<String, Place>,
    is_documenting: bool,
    read_secret: ReadSecret,
}

/// One table of the config.
pub(super) struct Section<'a> {
    reader: &'a mut Reader,
    path: String,
    place: Place,
    table: Table,
    known: Vec<&'static str>,
}

impl Reader {
    pub(super) fn new(read_secret: ReadSecret) -> Self {
        Reader {
            errors: Vec::new(),
            docs: Vec::new(),
            places: BTreeMap::new(),
            is_documenting: false,
            read_secret,
        }
    }

    /// A reader for the docs: lists have one empty member, and nothing is missing.
    pub(super) fn documenting() -> Self {
        Reader { is_documenting: true, ..Reader::new(|_| Err(std::io::ErrorKind::NotFound.into())) }
    }

    /// Reads the top of the config.
    pub(super) fn read<T>(&mut self, table: Table, read: impl FnOnce(&mut Section<'_>) -> T) -> T {
        let mut section =
            Section { reader: self, path: String::new(), place: Place::Default, table, known: Vec::new() };
        let value = read(&mut section);
        section.refuse_unknown();
        value
    }

    /// Notes what is wrong with a key that was read, at the place where it was written.
    pub(super) fn error_at(&mut self, key: &str, message: impl Into<String>) {
        let place = self.places.get(key).cloned().unwrap_or(Place::Default);
        self.errors.push(ConfigError { place, key: key.to_owned(), message: message.into() });
    }

    /// Whether anybody wrote this key.
    pub(super) fn is_written(&self, key: &str) -> bool {
        self.places.contains_key(key)
    }
}

impl Section<'_> {
    /// A table below this one; an absent one is read as an empty one.
    pub(super) fn section<T>(&mut self, key: &'static str, read: impl FnOnce(&mut Section<'_>) -> T) -> T {
        let path = self.path_of(key);
        let (place, table) = match self.take(key) {
            None => (Place::Default, Table::new()),
            Some(Node { value: Value::Table(table), place, .. }) => (place, table),
            Some(node) => {
                self.wrong(key, &node, "a table is wanted");
                (node.place, Table::new())
            }
        };
        let mut section = Section { reader: self.reader, path, place, table, known: Vec::new() };
        let value = read(&mut section);
        section.refuse_unknown();
        value
    }

    /// A list of tables, `[[section.key]]`, of at most `max`.
    pub(super) fn sections<T>(
        &mut self,
        key: &'static str,
        max: usize,
        read: impl Fn(&mut Section<'_>) -> T,
    ) -> Vec<T> {
        let path = self.path_of(key);
        if self.reader.is_documenting {
            self.section(key, read);
            return Vec::new();
        }
        let items = match self.take(key) {
            None => return Vec::new(),
            Some(Node { value: Value::List(items), place, .. }) if items.len() > max => {
                let message = format!("at most {max}, found {}", items.len());
                self.reader.errors.push(ConfigError { place, key: path, message });
                return Vec::new();
            }
            Some(Node { value: Value::List(items), .. }) => items,
            Some(node) => {
                self.wrong(key, &node, "a list of tables is wanted");
                return Vec::new();
            }
        };
        let item_of = |(at, node): (usize, Node)| {
            let path = format!("{path}[{at}]");
            let Value::Table(table) = node.value else {
                let message = format!("a table is wanted, found {}", node.value.describe());
                self.reader.errors.push(ConfigError { place: node.place, key: path, message });
                return None;
            };
            let mut section =
                Section { reader: self.reader, path, place: node.place, table, known: Vec::new() };
            let item = read(&mut section);
            section.refuse_unknown();
            Some(item)
        };
        items.into_iter().enumerate().filter_map(item_of).collect()
    }

    /// A whole number.
    pub(super) fn count(
        &mut self,
        key: &'static str,
        default: u32,
        range: RangeInclusive<u32>,
        text: &'static str,
    ) -> u32 {
        self.note(key, "number", default, span(&range, u32::to_string), text);
        let Some(node) = self.take(key) else { return default };
        let Value::Integer(number) = node.value else {
            self.wrong(key, &node, "a whole number is wanted");
            return default;
        };
        match u32::try_from(number).ok().filter(|number| range.contains(number)) {
            Some(number) => number,
            None => {
                self.wrong(key, &node, &format!("wanted {}", span(&range, u32::to_string)));
                default
            }
        }
    }

    /// A span of time, `60s`.
    pub(super) fn duration(
        &mut self,
        key: &'static str,
        default: &'static str,
        range: RangeInclusive<&'static str>,
        text: &'static str,
    ) -> Duration {
        let read = |text: &str| duration::parse(text).expect("the text of a constant");
        let range = read(range.start())..=read(range.end());
        let range_text = span(&range, |value| duration::format(*value));
        self.note(key, "duration", default, range_text.clone(), text);
        self.quantity(
            key,
            read(default),
            |text| duration::parse(text).map_err(|error| error.to_string()),
            range,
            range_text,
        )
    }

    /// A size in bytes, `128MiB`.
    pub(super) fn size(
        &mut self,
        key: &'static str,
        default: &'static str,
        range: RangeInclusive<&'static str>,
        text: &'static str,
    ) -> u64 {
        let read = |text: &str| byte_size::parse(text).expect("the text of a constant");
        let range = read(range.start())..=read(range.end());
        let range_text = span(&range, |value| byte_size::format(*value));
        self.note(key, "size", default, range_text.clone(), text);
        self.quantity(
            key,
            read(default),
            |text| byte_size::parse(text).map_err(|error| error.to_string()),
            range,
            range_text,
        )
    }

    /// A size in bytes where the key ends in its unit: a plain number says bytes.
    pub(super) fn bytes(
        &mut self,
        key: &'static str,
        default: &'static str,
        range: RangeInclusive<&'static str>,
        text: &'static str,
    ) -> u64 {
        if let Some(Node { value, .. }) = self.table.get_mut(key)
            && let Value::Integer(count) = *value
        {
            *value = Value::Text(format!("{count}B"));
        }
        self.size(key, default, range, text)
    }

    fn quantity<T: PartialOrd>(
        &mut self,
        key: &'static str,
        default: T,
        parse: impl FnOnce(&str) -> Result<T, String>,
        range: RangeInclusive<T>,
        range_text: String,
    ) -> T {
        let Some(node) = self.take(key) else { return default };
        let parsed = match &node.value {
            Value::Text(text) => parse(text),
            other => Err(format!("a text with a unit is wanted, found {}", other.describe())),
        };
        match parsed {
            Ok(value) if range.contains(&value) => return value,
            Ok(_) => self.wrong(key, &node, &format!("wanted {range_text}")),
            Err(message) => self.refuse(key, node.place, message),
        }
        default
    }

    /// `true` or `false`.
    pub(super) fn flag(&mut self, key: &'static str, default: bool, text: &'static str) -> bool {
        self.note(key, "boolean", default, String::new(), text);
        match self.take(key) {
            None => default,
            Some(Node { value: Value::Boolean(flag), .. }) => flag,
            Some(node) => {
                self.wrong(key, &node, "true or false is wanted");
                default
            }
        }
    }

    /// A text; the empty default is "not set".
    pub(super) fn text(&mut self, key: &'static str, default: &'static str, text: &'static str) -> String {
        self.note(key, "text", quoted(default), String::new(), text);
        self.take_text(key).unwrap_or_else(|| default.to_owned())
    }

    /// A text that must be there.
    pub(super) fn required_text(&mut self, key: &'static str, text: &'static str) -> String {
        self.note(key, "text", "required", String::new(), text);
        let is_absent = !self.table.contains_key(key);
        let value = self.take_text(key).unwrap_or_default();
        if is_absent && !self.reader.is_documenting {
            self.refuse(key, self.place.clone(), "is missing");
        } else if value.is_empty() && !self.reader.is_documenting {
            self.error(key, "is empty");
        }
        value
    }

    /// A path; relative ones are relative to the working directory. The empty default is "none".
    pub(super) fn path(
        &mut self,
        key: &'static str,
        default: &'static str,
        text: &'static str,
    ) -> Option<PathBuf> {
        self.note(key, "path", quoted(default), String::new(), text);
        let path = self.take_text(key).unwrap_or_else(|| default.to_owned());
        (!path.is_empty()).then(|| path.into())
    }

    /// One of some words; the first is the default.
    pub(super) fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        choices: &[(&str, T)],
        text: &'static str,
    ) -> T {
        let (default_name, default) = choices[0];
        let names: Vec<String> = choices.iter().map(|(name, _)| quoted(name)).collect();
        self.note(key, "text", quoted(default_name), names.join(", "), text);
        let Some(node) = self.take(key) else { return default };
        let found = choices.iter().find(|(name, _)| matches!(&node.value, Value::Text(text) if text == name));
        match found {
            Some((_, value)) => *value,
            None => {
                self.wrong(key, &node, &format!("one of {} is wanted", names.join(", ")));
                default
            }
        }
    }

    /// A list of texts.
    pub(super) fn texts(&mut self, key: &'static str, text: &'static str) -> Vec<String> {
        self.note(key, "list of texts", "[]", String::new(), text);
        let Some(node) = self.take(key) else { return Vec::new() };
        let Value::List(items) = &node.value else {
            self.wrong(key, &node, "a list is wanted, as in [\"a\", \"b\"]");
            return Vec::new();
        };
        let mut texts = Vec::with_capacity(items.len());
        for item in items {
            match &item.value {
                Value::Text(text) if !text.is_empty() => texts.push(text.clone()),
                _ => self.wrong(key, item, "a list of texts is wanted"),
            }
        }
        texts
    }

    /// An address, a list of them, or `""` for off.
    pub(super) fn listen(&mut self, key: &'static str, default: Listen, text: &'static str) -> Listen {
        let shown = default.addresses.iter().map(|address| quoted(&address.to_string())).collect::<Vec<_>>();
        let shown = if shown.is_empty() { quoted("") } else { format!("[{}]", shown.join(", ")) };
        self.note(key, "address or list", shown, String::new(), text);
        let Some(node) = self.take(key) else { return default };
        let texts: Vec<&str> = match &node.value {
            Value::Text(text) if text.is_empty() => Vec::new(),
            Value::Text(text) => vec![text],
            Value::List(items) => items
                .iter()
                .filter_map(
                    |item| if let Value::Text(text) = &item.value { Some(text.as_str()) } else { None },
                )
                .collect(),
            _ => Vec::new(),
        };
        let is_complete = match &node.value {
            Value::Text(_) => true,
            Value::List(items) => items.len() == texts.len(),
            _ => false,
        };
        let addresses: Result<Vec<_>, _> = texts.iter().map(|text| text.parse()).collect();
        match addresses {
            Ok(addresses) if is_complete => Listen { addresses, is_default: false },
            _ => {
                self.wrong(key, &node, "addresses with ports are wanted, as in \"127.0.0.1:1883\" or \"[::1]:1883\", or \"\" for off");
                default
            }
        }
    }

    /// A secret: from the environment, or from the file that `{key}_path` names; never from the config file or a flag.
    pub(super) fn secret(
        &mut self,
        key: &'static str,
        path_key: &'static str,
        text: &'static str,
    ) -> Option<Secret> {
        self.note(key, "secret", quoted(""), "from the environment only".to_owned(), text);
        let path = self.path(path_key, "", "File that holds it instead, without its trailing line break.");
        if let Some(node) = self.take(key) {
            let Place::Environment(_) = node.place else {
                let message = format!(
                    "a secret comes from the environment or a file: set {path_key} to the file's path"
                );
                self.refuse(key, node.place, message);
                return None;
            };
            // Verbatim: a password may look like a number, or like anything.
            return match (node.written, node.value) {
                (Some(written), _) | (None, Value::Text(written)) => Some(Secret::new(written)),
                _ => None,
            };
        }
        let path = path?;
        match (self.reader.read_secret)(&path) {
            Ok(text) => Some(Secret::new(text.trim_end_matches(['\r', '\n']))),
            Err(error) => {
                self.error(path_key, format!("{}: {error}", path.display()));
                None
            }
        }
    }

    /// Notes what is wrong with a key of this table that was read.
    pub(super) fn error(&mut self, key: &str, message: impl Into<String>) {
        let path = self.path_of(key);
        self.reader.error_at(&path, message);
    }

    /// Whether anybody wrote this key, read before or not.
    pub(super) fn is_written(&self, key: &str) -> bool {
        self.table.contains_key(key) || self.reader.is_written(&self.path_of(key))
    }

    fn take_text(&mut self, key: &'static str) -> Option<String> {
        let node = self.take(key)?;
        match (&node.value, &node.written) {
            (Value::Text(text), _) => Some(text.clone()),
            (Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime, Some(written)) => {
                Some(written.clone())
            }
            _ => {
                self.wrong(key, &node, "a text is wanted");
                None
            }
        }
    }

    fn take(&mut self, key: &'static str) -> Option<Node> {
        self.known.push(key);
        let node = self.table.remove(key)?;
        self.reader.places.insert(self.path_of(key), node.place.clone());
        Some(node)
    }

    fn note(
        &mut self,
        key: &str,
        kind: &'static str,
        default: impl Display,
        range: String,
        text: &'static str,
    ) {
        let key = self.path_of(key);
        self.reader.docs.push(KeyDoc { key, kind, default: default.to_string(), range, text });
    }

    fn wrong(&mut self, key: &str, node: &Node, wanted: &str) {
        self.refuse(key, node.place.clone(), format!("{wanted}, found {}", node.value.describe()));
    }

    fn refuse(&mut self, key: &str, place: Place, message: impl Into<String>) {
        let key = self.path_of(key);
        self.reader.errors.push(ConfigError { place, key, message: message.into() });
    }

    fn refuse_unknown(mut self) {
        for (key, node) in std::mem::take(&mut self.table) {
            let message = match nearest(&key, &self.known) {
                Some(known) => format!("no such key; did you mean {known:?}?"),
                None => format!("no such key; known here are {}", self.known.join(", ")),
            };
            self.refuse(&key, node.place, message);
        }
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

fn quoted(text: &str) -> String {
    format!("{text:?}")
}

fn span<T>(range: &RangeInclusive<T>, format: impl Fn(&T) -> String) -> String {
    format!("{} to {}", format(range.start()), format(range.end()))
}
