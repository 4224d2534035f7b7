//! One `[[rule]]` table to one rule: every key read, defaulted and checked, every error kept with its place.

use std::collections::BTreeMap;
use std::ops::Range;

use model::Severity;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::diagnostic::Finding;
use crate::duration;
use crate::resolve::Surroundings;
use crate::rule::Rule;

/// Longest `when`, `clear` or `where`.
pub const CONDITION_BYTES_MAX: usize = 64 << 10;
/// Longest title, label or runbook.
pub const RULE_TEXT_BYTES_MAX: usize = 4 << 10;
/// Most labels of one rule.
pub const LABELS_MAX: usize = 64;

/// The keys that a rule may have.
pub const RULE_KEYS: [&str; 19] = [
    "id",
    "title",
    "severity",
    "when",
    "for",
    "clear",
    "clear_for",
    "where",
    "max_age",
    "silence_grace",
    "quality",
    "shadow",
    "labels",
    "runbook",
    "hits",
    "absent",
    "metric",
    "active",
    "time_zone",
];

/// One error of a rule.
pub(crate) struct RuleError {
    pub(crate) finding: Finding,
    pub(crate) is_missing_key: bool,
}

pub(crate) struct RuleReader<'a, 's> {
    file: &'a str,
    pub(crate) keys: &'a DeTable<'a>,
    span: Range<usize>,
    pub(crate) around: &'a mut Surroundings<'s>,
    pub(crate) errors: Vec<RuleError>,
    pub(crate) warnings: Vec<Finding>,
}

/// The id of a rule and where it stands.
pub(crate) fn id_of<'k>(keys: &'k DeTable<'_>) -> Option<(&'k str, Range<usize>)> {
    let value = keys.get("id")?;
    Some((value.get_ref().as_str()?, value.span()))
}

impl<'a, 's> RuleReader<'a, 's> {
    pub(crate) fn new(
        file: &'a str,
        keys: &'a DeTable<'a>,
        span: Range<usize>,
        around: &'a mut Surroundings<'s>,
    ) -> Self {
        RuleReader { file, keys, span, around, errors: Vec::new(), warnings: Vec::new() }
    }

    /// `None` where there are errors.
    pub(crate) fn rule(&mut self) -> Option<Rule> {
        self.check_keys();
        let id = self.required_text("id").filter(|id| self.check_id(id));
        let title = self.required_text("title");
        let severity = self.severity();
        let labels = self.labels();
        let runbook = self.text("runbook", RULE_TEXT_BYTES_MAX);
        let meaning = self.meaning(severity);
        self.errors.is_empty().then_some(())?;
        Some(Rule {
            id: id?.to_owned(),
            title: title?.to_owned(),
            labels,
            runbook: runbook.map(str::to_owned),
            meaning: meaning?,
        })
    }

    fn check_keys(&mut self) {
        for key in self.keys.keys() {
            let name = key.get_ref().as_ref();
            if !RULE_KEYS.contains(&name) {
                let help = format!("one of {} would do", RULE_KEYS.join(", "));
                self.error(key.span(), format!("the unknown key `{name}`"), help);
            }
        }
    }

    fn check_id(&mut self, id: &str) -> bool {
        let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let is_good = (1..=64).contains(&id.len()) && id.bytes().all(is_inner) && !id.starts_with('-');
        if !is_good {
            self.error_at(
                "id",
                format!("the id {id:?}"),
                "1 to 64 of a-z, 0-9 and -, not starting with -, would do",
            );
        }
        is_good
    }

    fn severity(&mut self) -> Option<Severity> {
        let text = self.required_text("severity")?;
        let severity = [Severity::Info, Severity::Warning, Severity::Critical]
            .into_iter()
            .find(|one| one.name() == text);
        if severity.is_none() {
            self.error_at("severity", format!("{text:?}"), "info, warning or critical would do");
        }
        severity
    }

    fn labels(&mut self) -> BTreeMap<String, String> {
        let Some(value) = self.keys.get("labels") else {
            return BTreeMap::new();
        };
        let Some(table) = value.get_ref().as_table() else {
            self.wrong_type("labels", value, "pairs would do: labels = { team = \"drainage\" }");
            return BTreeMap::new();
        };
        if table.len() > LABELS_MAX {
            self.error_at(
                "labels",
                format!("{} labels", table.len()),
                format!("at most {LABELS_MAX} would do"),
            );
        }
        let mut labels = BTreeMap::new();
        for (name, value) in table.iter() {
            match value.get_ref().as_str() {
                Some(text) if text.len() <= RULE_TEXT_BYTES_MAX => {
                    labels.insert(name.get_ref().clone().into_owned(), text.to_owned());
                }
                _ => {
                    let help = format!("a text of at most {RULE_TEXT_BYTES_MAX} bytes would do");
                    self.error(value.span(), format!("a label that is {}", value.get_ref().type_str()), help);
                }
            }
        }
        labels
    }

    pub(crate) fn boolean(&mut self, key: &'static str) -> bool {
        let Some(value) = self.keys.get(key) else {
            return false;
        };
        value.get_ref().as_bool().unwrap_or_else(|| {
            self.wrong_type(key, value, "true or false would do");
            false
        })
    }

    pub(crate) fn span_us(&mut self, key: &'static str, default_us: i64) -> i64 {
        let Some(text) = self.text(key, RULE_TEXT_BYTES_MAX) else {
            return default_us;
        };
        duration::parse_us(text).unwrap_or_else(|| {
            self.error_at(key, format!("{text:?}, which is no span of time"), duration::HELP);
            default_us
        })
    }

    fn required_text(&mut self, key: &'static str) -> Option<&'a str> {
        if self.keys.get(key).is_none() {
            self.missing(key, "it is required");
            return None;
        }
        self.text(key, RULE_TEXT_BYTES_MAX)
    }

    pub(crate) fn text(&mut self, key: &'static str, bytes_max: usize) -> Option<&'a str> {
        let value = self.keys.get(key)?;
        let Some(text) = value.get_ref().as_str() else {
            self.wrong_type(key, value, "a text would do");
            return None;
        };
        if text.len() > bytes_max {
            self.error_at(
                key,
                format!("{} bytes", text.len()),
                format!("at most {bytes_max} bytes would do"),
            );
            return None;
        }
        Some(text)
    }

    pub(crate) fn wrong_type(&mut self, key: &str, value: &Spanned<DeValue<'_>>, help: &str) {
        self.error(value.span(), format!("{key} that is {}", value.get_ref().type_str()), help);
    }

    pub(crate) fn missing(&mut self, key: &str, help: &str) {
        let finding = Finding::new(self.span.clone(), format!("a rule without `{key}`"), help);
        self.errors.push(RuleError { finding, is_missing_key: true });
    }

    pub(crate) fn error(&mut self, span: Range<usize>, found: impl Into<String>, help: impl Into<String>) {
        self.errors.push(RuleError { finding: Finding::new(span, found, help), is_missing_key: false });
    }

    pub(crate) fn error_at(&mut self, key: &str, found: impl Into<String>, help: impl Into<String>) {
        let span = self.keys.get(key).map_or(self.span.clone(), Spanned::span);
        self.error(span, found, help);
    }

    pub(crate) fn error_within(&mut self, key: &str, finding: Finding) {
        let span = self.place_within(key, finding.span);
        self.error(span, finding.found, finding.help);
    }

    /// Where a range of a text value stands in the file.
    pub(crate) fn place_within(&self, key: &str, within: Range<usize>) -> Range<usize> {
        let Some(value) = self.keys.get(key) else {
            return self.span.clone();
        };
        let raw = self.file.get(value.span()).unwrap_or_default();
        let start = value.span().start;
        let text = value.get_ref().as_str().unwrap_or_default();
        match raw.find(text) {
            Some(skip) => start + skip + within.start..start + skip + within.end,
            None => {
                let at = start + raw_offset(raw, within.start);
                at..at
            }
        }
    }
}

/// The offset in a basic string as written at which the byte `wanted` of its value stands.
fn raw_offset(raw: &str, wanted: usize) -> usize {
    let opening = if raw.starts_with("\"\"\"") { 3 } else { 1 };
    let mut decoded = 0;
    let mut at = opening;
    while decoded < wanted && at < raw.len() {
        let rest = &raw[at..];
        let (written, gives) = match rest.as_bytes() {
            [b'\\', b'u', ..] => (6, 3),
            [b'\\', b'U', ..] => (10, 4),
            [b'\\', ..] => (2, 1),
            _ => {
                let len = rest.chars().next().map_or(1, char::len_utf8);
                (len, len)
            }
        };
        at += written;
        decoded += gives;
    }
    at
}
