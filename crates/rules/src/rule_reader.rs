//! One `[[rule]]` table to one rule: every key read, defaulted and checked, every error kept with its place.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

use model::Severity;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::condition::Condition;
use crate::diagnostic::Finding;
use crate::resolve::{MetricCatalog, Resolver};
use crate::rule::{Meaning, QualityFilter, Rule};
use crate::selector::Selector;
use crate::{condition_syntax, duration, selector};

/// Longest `when`, `clear` or `where`.
pub const CONDITION_BYTES_MAX: usize = 64 << 10;
/// Longest title, label or runbook.
pub const RULE_TEXT_BYTES_MAX: usize = 4 << 10;
/// Most labels of one rule.
pub const LABELS_MAX: usize = 64;

const MAX_AGE_US: i64 = 3_600_000_000;
const SILENCE_GRACE_US: i64 = 60_000_000;

const KEYS: [&str; 14] = [
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
];
const KEYS_TO_COME: [&str; 5] = ["hits", "absent", "metric", "active", "time_zone"];

/// One error of a rule.
pub(crate) struct RuleError {
    pub(crate) finding: Finding,
    pub(crate) is_missing_key: bool,
}

pub(crate) struct RuleReader<'a> {
    file: &'a str,
    keys: &'a DeTable<'a>,
    span: Range<usize>,
    catalog: &'a dyn MetricCatalog,
    unknown: &'a mut HashSet<String>,
    pub(crate) errors: Vec<RuleError>,
    pub(crate) warnings: Vec<Finding>,
}

/// The id of a rule and where it stands.
pub(crate) fn id_of<'k>(keys: &'k DeTable<'_>) -> Option<(&'k str, Range<usize>)> {
    let value = keys.get("id")?;
    Some((value.get_ref().as_str()?, value.span()))
}

impl<'a> RuleReader<'a> {
    pub(crate) fn new(
        file: &'a str,
        keys: &'a DeTable<'a>,
        span: Range<usize>,
        catalog: &'a dyn MetricCatalog,
        unknown: &'a mut HashSet<String>,
    ) -> Self {
        RuleReader { file, keys, span, catalog, unknown, errors: Vec::new(), warnings: Vec::new() }
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

    fn meaning(&mut self, severity: Option<Severity>) -> Option<Meaning> {
        let for_us = self.span_us("for", 0);
        let clear_for_us = self.span_us("clear_for", 0);
        let max_age_us = self.span_us("max_age", MAX_AGE_US);
        let silence_grace_us = self.span_us("silence_grace", SILENCE_GRACE_US);
        self.check_within_max_age("for", for_us, max_age_us);
        self.check_within_max_age("clear_for", clear_for_us, max_age_us);
        let quality = self.quality();
        let shadow = self.boolean("shadow");
        let selector = self.selector();
        let (when, clear, metrics) = self.conditions()?;
        let meaning = Meaning {
            severity: severity?,
            quality,
            shadow,
            for_us,
            clear_for_us,
            max_age_us,
            silence_grace_us,
            metrics,
            when,
            clear,
            selector,
        };
        self.check_clear(&meaning);
        Some(meaning)
    }

    fn check_keys(&mut self) {
        for key in self.keys.keys() {
            let name = key.get_ref().as_ref();
            if KEYS_TO_COME.contains(&name) {
                let found = format!("`{name}`, which is not supported yet by this version");
                self.error(key.span(), found, "a condition in `when` would do");
            } else if !KEYS.contains(&name) {
                self.error(
                    key.span(),
                    format!("the unknown key `{name}`"),
                    format!("one of {} would do", KEYS.join(", ")),
                );
            }
        }
    }

    fn conditions(&mut self) -> Option<(Condition, Option<Condition>, Vec<String>)> {
        if self.keys.get("when").is_none() {
            // A dead-man has no `when`, and was refused as such.
            if self.keys.get("absent").is_none() {
                self.missing("when", "write for example when = \"water_level > 2.5 m\"");
            }
        }
        let mut unknown = std::mem::take(self.unknown);
        let mut resolver = Resolver::new(self.catalog, &mut unknown);
        let when = self.condition("when", &mut resolver);
        let clear = self.condition("clear", &mut resolver);
        let metrics = resolver.metrics;
        *self.unknown = unknown;
        let is_clear_wanted = self.keys.get("clear").is_some();
        let when = when?;
        if is_clear_wanted && clear.is_none() {
            return None;
        }
        Some((when, clear, metrics))
    }

    fn condition(&mut self, key: &'static str, resolver: &mut Resolver<'_>) -> Option<Condition> {
        let text = self.text(key, CONDITION_BYTES_MAX)?;
        let written = match condition_syntax::parse(text) {
            Ok(written) => written,
            Err(finding) => {
                self.error_within(key, finding);
                return None;
            }
        };
        let condition = resolver.condition(&written);
        for finding in std::mem::take(&mut resolver.errors) {
            self.error_within(key, finding);
        }
        for finding in std::mem::take(&mut resolver.warnings) {
            let span = self.place_within(key, finding.span);
            self.warnings.push(Finding { span, ..finding });
        }
        condition
    }

    fn check_clear(&mut self, meaning: &Meaning) {
        if meaning.can_hold_at_once() {
            let help = "a `clear` that is false wherever `when` is true would do";
            self.error_at("clear", "a `clear` that can be true together with `when`", help);
        }
        if meaning.metrics.len() == 1
            && let Some(clear) = meaning.clear.as_ref().and_then(|clear| clear.numbers(0))
            && clear.is_empty()
        {
            self.error_at(
                "clear",
                "a `clear` that no number makes true",
                "a condition that can hold would do",
            );
        }
    }

    fn selector(&mut self) -> Option<Selector> {
        let text = self.text("where", CONDITION_BYTES_MAX)?;
        match selector::parse(text) {
            Ok(selector) => Some(selector),
            Err(finding) => {
                self.error_within("where", finding);
                None
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

    fn quality(&mut self) -> QualityFilter {
        match self.text("quality", RULE_TEXT_BYTES_MAX) {
            None | Some("good") => QualityFilter::Good,
            Some("any") => QualityFilter::Any,
            Some(other) => {
                self.error_at("quality", format!("{other:?}"), "good or any would do");
                QualityFilter::Good
            }
        }
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

    fn boolean(&mut self, key: &'static str) -> bool {
        let Some(value) = self.keys.get(key) else {
            return false;
        };
        value.get_ref().as_bool().unwrap_or_else(|| {
            self.wrong_type(key, value, "true or false would do");
            false
        })
    }

    fn span_us(&mut self, key: &'static str, default_us: i64) -> i64 {
        let Some(text) = self.text(key, RULE_TEXT_BYTES_MAX) else {
            return default_us;
        };
        duration::parse_us(text).unwrap_or_else(|| {
            self.error_at(key, format!("{text:?}, which is no span of time"), duration::HELP);
            default_us
        })
    }

    fn check_within_max_age(&mut self, key: &'static str, span_us: i64, max_age_us: i64) {
        if span_us > max_age_us {
            let (span, max_age) = (duration::text(span_us), duration::text(max_age_us));
            let found = format!("{key} = {span}, longer than max_age = {max_age}");
            self.error_at(key, found, format!("a max_age of at least {span} would do"));
        }
    }

    fn required_text(&mut self, key: &'static str) -> Option<&'a str> {
        if self.keys.get(key).is_none() {
            self.missing(key, "it is required");
            return None;
        }
        self.text(key, RULE_TEXT_BYTES_MAX)
    }

    fn text(&mut self, key: &'static str, bytes_max: usize) -> Option<&'a str> {
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

    fn wrong_type(&mut self, key: &str, value: &Spanned<DeValue<'_>>, help: &str) {
        self.error(value.span(), format!("{key} that is {}", value.get_ref().type_str()), help);
    }

    fn missing(&mut self, key: &str, help: &str) {
        let finding = Finding::new(self.span.clone(), format!("a rule without `{key}`"), help);
        self.errors.push(RuleError { finding, is_missing_key: true });
    }

    fn error(&mut self, span: Range<usize>, found: impl Into<String>, help: impl Into<String>) {
        self.errors.push(RuleError { finding: Finding::new(span, found, help), is_missing_key: false });
    }

    fn error_at(&mut self, key: &str, found: impl Into<String>, help: impl Into<String>) {
        let span = self.keys.get(key).map_or(self.span.clone(), Spanned::span);
        self.error(span, found, help);
    }

    fn error_within(&mut self, key: &str, finding: Finding) {
        let span = self.place_within(key, finding.span);
        self.error(span, finding.found, finding.help);
    }

    /// Where a range of a text value stands in the file.
    fn place_within(&self, key: &str, within: Range<usize>) -> Range<usize> {
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
