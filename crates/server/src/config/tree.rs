//! The config as it was written, before it means anything: values with the place that they came from, the file
//! under the environment under the flags.

use std::collections::BTreeMap;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Place};

/// Start of every environment variable that is a key: `URBAN_NEURON__LAKE__ROLL_AGE` is `lake.roll_age`.
pub(super) const ENVIRONMENT_PREFIX: &str = "URBAN_NEURON__";

/// One value and where it was written.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Value,
    /// The text of an override as it came, since a password or a name may look like a number.
    pub(super) written: Option<String>,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    Datetime,
    List(Vec<Node>),
    Table(Table),
}

pub(super) type Table = BTreeMap<String, Node>;

impl Value {
    /// What it is, for an error.
    pub(super) fn describe(&self) -> String {
        match self {
            Value::Text(text) => format!("the text {text:?}"),
            Value::Integer(number) => format!("the number {number}"),
            Value::Float(number) => format!("the number {number}"),
            Value::Boolean(flag) => flag.to_string(),
            Value::Datetime => "a date".to_owned(),
            Value::List(_) => "a list".to_owned(),
            Value::Table(_) => "a table".to_owned(),
        }
    }
}

/// Reads a TOML file; every syntax error is noted with its line, and what stands between them is used.
pub(super) fn parse_file(path: &Path, text: &str, errors: &mut Vec<ConfigError>) -> Table {
    let line_of =
        |at: usize| 1 + text.as_bytes()[..at.min(text.len())].iter().filter(|byte| **byte == b'\n').count();
    let place_of = |at: usize| Place::File { path: path.to_owned(), line: line_of(at) };
    let (table, syntax_errors) = DeTable::parse_recoverable(text);
    errors.extend(syntax_errors.iter().map(|error| ConfigError {
        place: place_of(error.span().map_or(0, |span| span.start)),
        key: String::new(),
        message: error.message().to_owned(),
    }));
    convert_table(table.get_ref(), &place_of)
}

fn convert_table(table: &DeTable<'_>, place_of: &dyn Fn(usize) -> Place) -> Table {
    let convert = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
        let key: &Spanned<std::borrow::Cow<'_, str>> = key;
        // The key's line, since a table's own span may begin anywhere.
        let node =
            Node { place: place_of(key.span().start), value: convert_value(value, place_of), written: None };
        (key.get_ref().to_string(), node)
    };
    table.iter().map(convert).collect()
}

fn convert_value(value: &Spanned<DeValue<'_>>, place_of: &dyn Fn(usize) -> Place) -> Value {
    match value.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        // Underscores are gone already; a number over 64 bits stays text and is refused by every key as such.
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or_else(|_| Value::Text(number.as_str().to_owned()), Value::Integer),
        DeValue::Float(number) => number.as_str().parse().map_or(Value::Float(f64::NAN), Value::Float),
        DeValue::Boolean(flag) => Value::Boolean(*flag),
        DeValue::Datetime(_) => Value::Datetime,
        DeValue::Array(items) => {
            let item = |item: &Spanned<DeValue<'_>>| Node {
                place: place_of(item.span().start),
                value: convert_value(item, place_of),
                written: None,
            };
            Value::List(items.iter().map(item).collect())
        }
        DeValue::Table(table) => Value::Table(convert_table(table, place_of)),
    }
}

/// The value of an override: TOML where it is TOML, else bare text.
fn parse_override(text: &str, place: Place) -> Node {
    let value = match DeValue::parse(text) {
        Ok(value) => convert_value(&value, &|_| place.clone()),
        Err(_) => Value::Text(text.to_owned()),
    };
    Node { place, value, written: Some(text.to_owned()) }
}

/// Lays the environment's keys over `table`. Names are upper case, `__` parts the sections.
pub(super) fn apply_environment<'a>(
    table: &mut Table,
    variables: impl IntoIterator<Item = (&'a String, &'a String)>,
    errors: &mut Vec<ConfigError>,
) {
    for (name, text) in variables {
        let Some(path) = name.strip_prefix(ENVIRONMENT_PREFIX) else { continue };
        let path = path.to_ascii_lowercase().replace("__", ".");
        apply(table, &path, parse_override(text, Place::Environment(name.clone())), errors);
    }
}

/// Lays `key=value` of each `--set` over `table`.
pub(super) fn apply_settings(table: &mut Table, settings: &[String], errors: &mut Vec<ConfigError>) {
    for setting in settings {
        match setting.split_once('=') {
            Some((key, text)) => apply(table, key.trim(), parse_override(text.trim(), Place::Flag), errors),
            None => errors.push(ConfigError {
                place: Place::Flag,
                key: String::new(),
                message: format!("{setting:?} is no key=value, as in lake.roll_age=30s"),
            }),
        }
    }
}

/// Puts `node` at `path`, `section.key`; the last one said wins.
fn apply(table: &mut Table, path: &str, node: Node, errors: &mut Vec<ConfigError>) {
    let mut error = |message: &str| {
        errors.push(ConfigError {
            place: node.place.clone(),
            key: path.to_owned(),
            message: message.to_owned(),
        });
    };
    if path.split('.').any(str::is_empty) {
        return error("a key is section.key");
    }
    let mut at = table;
    let mut parts = path.split('.').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return put(at, part, node);
        }
        let place = node.place.clone();
        let section = at.entry(part.to_owned()).or_insert_with(|| Node {
            place,
            value: Value::Table(Table::new()),
            written: None,
        });
        match &mut section.value {
            Value::Table(inner) => at = inner,
            Value::List(_) => return error("a list is replaced whole: give all of it as a TOML list"),
            _ => return error("the key before the last dot is no section"),
        }
    }
}

/// A table is laid over a table key by key; everything else replaces.
fn put(table: &mut Table, key: &str, node: Node) {
    match (table.get_mut(key).map(|old| &mut old.value), node.value) {
        (Some(Value::Table(old)), Value::Table(new)) => {
            for (key, node) in new {
                put(old, &key, node);
            }
        }
        (_, value) => {
            table.insert(key.to_owned(), Node { value, ..node });
        }
    }
}
