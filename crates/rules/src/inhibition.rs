//! `[[inhibit]]`: which alerts explain which others. Inhibitions are no input of the evaluator: a later stage marks by them,
//! and hides nothing. Read with the rules and kept in the rule set, so that everybody marks by the same.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;

use model::{Alert, Severity};
use serde::{Deserialize, Serialize};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::diagnostic::{Diagnostic, Finding, SourceText};
use crate::rule::Rule;
use crate::rule_set::RuleSet;
use crate::selector::Attribute;

/// The rule id of alerts that say that a gateway is silent; no rule of a file may have it.
pub const GATEWAY_OUTAGE: &str = "gateway-outage";
/// Most inhibitions over all files.
pub const INHIBITIONS_MAX: usize = 1_000;
/// Most rule ids of one list.
pub const INHIBITION_RULES_MAX: usize = 1_000;

const KEYS: [&str; 5] = ["id", "source", "targets", "target_severity", "equal"];
const KEYS_HELP: &str = "id, source, targets or target_severity, and equal would do";

/// While an alert of a `source` fires, alerts of the `targets` with equal attributes are its consequence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inhibition {
    pub id: String,
    /// Rule ids.
    pub source: Vec<String>,
    pub targets: Targets,
    /// What both alerts must have, and have alike.
    pub(crate) equal: Vec<Attribute>,
}

/// Which alerts are marked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Targets {
    /// By rule id.
    Rules(Vec<String>),
    Severity(Severity),
}

impl Inhibition {
    /// Its alerts mark others.
    pub fn has_source(&self, alert: &Alert) -> bool {
        self.source.contains(&alert.rule_id)
    }

    /// It marks such alerts.
    pub fn has_target(&self, alert: &Alert) -> bool {
        match &self.targets {
            Targets::Rules(ids) => ids.contains(&alert.rule_id),
            Targets::Severity(severity) => alert.severity == *severity,
        }
    }

    /// What must be alike; `None` where the alert lacks one of it. What no alert says stands in the registry of `set`.
    pub fn equal_key(&self, set: &RuleSet, alert: &Alert) -> Option<Vec<String>> {
        let registered = set.registry().device(&alert.device_id);
        let value = |attribute: &Attribute| match attribute {
            Attribute::DeviceId => Some(alert.device_id.as_str()),
            Attribute::Domain => Some(alert.domain.as_str()),
            Attribute::AssetId => alert.asset_id.as_deref(),
            other => registered?.attribute(&alert.device_id, other),
        };
        self.equal.iter().map(|attribute| value(attribute).map(str::to_owned)).collect()
    }
}

/// The inhibitions of all files, before all rules are known.
#[derive(Default)]
pub(crate) struct InhibitionReader {
    read: Vec<Placed>,
}

struct Placed {
    inhibition: Inhibition,
    /// Of its id.
    place: Diagnostic,
    /// Every rule id that it names.
    names: Vec<(String, Diagnostic)>,
}

impl InhibitionReader {
    /// Reads the value of `inhibit` in one file.
    pub(crate) fn read(
        &mut self,
        value: &Spanned<DeValue<'_>>,
        source: &SourceText<'_>,
        findings: &mut Vec<Finding>,
    ) {
        let Some(tables) = value.get_ref().as_array() else {
            findings.push(Finding::new(
                value.span(),
                "`inhibit` that is no array of tables",
                "write [[inhibit]]",
            ));
            return;
        };
        for table in tables.iter() {
            let Some(keys) = table.get_ref().as_table() else {
                let found = format!("an inhibition that is {}", table.get_ref().type_str());
                findings.push(Finding::new(table.span(), found, "write [[inhibit]]"));
                continue;
            };
            let mut one = TableReader { keys, span: table.span(), findings: Vec::new(), names: Vec::new() };
            let inhibition = one.inhibition();
            let names = std::mem::take(&mut one.names);
            findings.append(&mut one.findings);
            if let Some((inhibition, place)) = inhibition {
                let at = |span: Range<usize>| source.diagnostic(Finding::new(span, "", ""));
                let names = names.into_iter().map(|(name, span)| (name, at(span))).collect();
                self.read.push(Placed { inhibition, place: at(place), names });
            }
        }
    }

    /// The inhibitions in the order of their ids, once all rules are read; `known` are all rule ids that stand somewhere.
    ///
    /// # Errors
    /// Rules that do not exist, an id a second time, a rule that would mark itself, also over several inhibitions, and too
    /// many.
    pub(crate) fn finish(
        self,
        rules: &[Rule],
        known: &HashMap<String, String>,
    ) -> Result<Vec<Inhibition>, Vec<Diagnostic>> {
        let mut errors = Vec::new();
        let mut ids: BTreeMap<&str, &Diagnostic> = BTreeMap::new();
        for Placed { inhibition, place, names } in &self.read {
            for (name, at) in names.iter().filter(|(name, _)| !known.contains_key(name.as_str())) {
                errors.push(error(
                    at,
                    format!("the rule {name:?}, which does not exist"),
                    "the id of a rule would do",
                ));
            }
            if let Some(first) = ids.insert(&inhibition.id, place) {
                let found = format!(
                    "the id {:?} a second time, first in {}:{}",
                    inhibition.id, first.file, first.line
                );
                errors.push(error(place, found, "another id would do"));
            }
        }
        if let Some(extra) = self.read.get(INHIBITIONS_MAX) {
            errors.push(error(
                &extra.place,
                format!("more than {INHIBITIONS_MAX} inhibitions"),
                "remove some",
            ));
        } else if errors.is_empty() {
            errors.extend(self.conflicts(rules));
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let mut inhibitions: Vec<Inhibition> =
            self.read.into_iter().map(|placed| placed.inhibition).collect();
        inhibitions.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        Ok(inhibitions)
    }

    /// Shadow rules beside live ones, and rules that mark themselves: each inhibition through which a way leads back.
    fn conflicts(&self, rules: &[Rule]) -> Vec<Diagnostic> {
        let by_id: HashMap<&str, &Rule> = rules.iter().map(|rule| (rule.id.as_str(), rule)).collect();
        let mut errors = Vec::new();
        for (at, Placed { place, names, .. }) in self.read.iter().enumerate() {
            for (name, at) in names {
                if by_id.get(name.as_str()).is_some_and(|rule| rule.meaning.shadow) {
                    let found = format!("the shadow rule {name:?}, whose alerts nobody gets");
                    errors.push(error(at, found, "a live rule would do"));
                }
            }
            if let Some(way) = self.way_back(at, &by_id) {
                let found = if way.len() == 1 {
                    "an inhibition of a rule by itself".to_owned()
                } else {
                    format!("inhibitions in a circle: {}", way.join(" > "))
                };
                errors.push(error(place, found, "sources that no target leads back to would do"));
            }
        }
        errors
    }

    /// The ids of the inhibitions from this one back to a source of it, the shortest way.
    fn way_back(&self, start: usize, rules: &HashMap<&str, &Rule>) -> Option<Vec<&str>> {
        let leads_to = |from: usize, to: usize| {
            let sources = &self.read[to].inhibition.source;
            match &self.read[from].inhibition.targets {
                Targets::Rules(ids) => ids.iter().any(|id| sources.contains(id)),
                Targets::Severity(severity) => sources
                    .iter()
                    .any(|id| rules.get(id.as_str()).is_some_and(|rule| rule.meaning.severity == *severity)),
            }
        };
        let mut seen = HashSet::new();
        let mut ways = std::collections::VecDeque::from([vec![start]]);
        while let Some(way) = ways.pop_front() {
            let last = way.last().copied().unwrap_or(start);
            if leads_to(last, start) {
                return Some(way.into_iter().map(|at| self.read[at].inhibition.id.as_str()).collect());
            }
            for next in 0..self.read.len() {
                if leads_to(last, next) && seen.insert(next) {
                    ways.push_back([&way[..], &[next]].concat());
                }
            }
        }
        None
    }
}

fn error(place: &Diagnostic, found: String, help: &str) -> Diagnostic {
    Diagnostic { found, help: help.to_owned(), ..place.clone() }
}

struct TableReader<'a> {
    keys: &'a DeTable<'a>,
    span: Range<usize>,
    findings: Vec<Finding>,
    names: Vec<(String, Range<usize>)>,
}

impl TableReader<'_> {
    /// The inhibition, and where its id stands.
    fn inhibition(&mut self) -> Option<(Inhibition, Range<usize>)> {
        for key in self.keys.keys().filter(|key| !KEYS.contains(&key.get_ref().as_ref())) {
            let found = format!("the unknown key `{}`", key.get_ref());
            self.findings.push(Finding::new(key.span(), found, KEYS_HELP));
        }
        let id = self.id();
        let source = self.rules("source");
        let targets = self.targets();
        let equal = self.equal();
        let (id, place) = id?;
        let inhibition = Inhibition { id, source: source?, targets: targets?, equal: equal? };
        self.findings.is_empty().then_some((inhibition, place))
    }

    fn id(&mut self) -> Option<(String, Range<usize>)> {
        let Some(value) = self.keys.get("id") else {
            self.missing("id");
            return None;
        };
        let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let id = value
            .get_ref()
            .as_str()
            .filter(|id| (1..=64).contains(&id.len()) && id.bytes().all(is_inner) && !id.starts_with('-'));
        let Some(id) = id else {
            let help = "1 to 64 of a-z, 0-9 and -, not starting with -, would do";
            self.findings.push(Finding::new(value.span(), "an id that is none", help));
            return None;
        };
        Some((id.to_owned(), value.span()))
    }

    fn rules(&mut self, key: &'static str) -> Option<Vec<String>> {
        let texts = self.texts(key)?;
        let names: Vec<String> = texts.iter().map(|(name, _)| name.clone()).collect();
        self.names.extend(texts);
        Some(names)
    }

    fn targets(&mut self) -> Option<Targets> {
        match (self.keys.get("targets"), self.keys.get("target_severity")) {
            (Some(_), None) => Some(Targets::Rules(self.rules("targets")?)),
            (None, Some(value)) => {
                let all = [Severity::Info, Severity::Warning, Severity::Critical];
                let text = value.get_ref().as_str().unwrap_or_default();
                let severity = all.into_iter().find(|one| one.name() == text);
                if severity.is_none() {
                    let help = "info, warning or critical would do";
                    self.findings.push(Finding::new(value.span(), "a severity that is none", help));
                }
                severity.map(Targets::Severity)
            }
            (Some(_), Some(value)) => {
                let found = "`target_severity` beside `targets`";
                self.findings.push(Finding::new(value.span(), found, "one of the two would do"));
                None
            }
            (None, None) => {
                self.missing("targets");
                None
            }
        }
    }

    fn equal(&mut self) -> Option<Vec<Attribute>> {
        let mut equal = Vec::new();
        for (name, span) in self.texts("equal")? {
            match Attribute::named(&name) {
                Some(attribute) => equal.push(attribute),
                None => {
                    let help = "domain, device_id, asset_id, gateway_id, model or tag.NAME would do here";
                    self.findings.push(Finding::new(span, format!("{name:?}"), help));
                }
            }
        }
        Some(equal)
    }

    /// A list of at least one text.
    fn texts(&mut self, key: &'static str) -> Option<Vec<(String, Range<usize>)>> {
        let Some(value) = self.keys.get(key) else {
            self.missing(key);
            return None;
        };
        let list = value.get_ref().as_array().filter(|list| (1..=INHIBITION_RULES_MAX).contains(&list.len()));
        let texts = list.map(|list| {
            list.iter()
                .map(|one| Some((one.get_ref().as_str()?.to_owned(), one.span())))
                .collect::<Option<Vec<_>>>()
        });
        if let Some(Some(texts)) = texts {
            return Some(texts);
        }
        let help = format!("a list of 1 to {INHIBITION_RULES_MAX} texts would do");
        self.findings.push(Finding::new(value.span(), format!("{key} that is none"), help));
        None
    }

    fn missing(&mut self, key: &str) {
        let found = format!("an inhibition without `{key}`");
        self.findings.push(Finding::new(self.span.clone(), found, KEYS_HELP));
    }
}
