//! Rule files: TOML in, a rule set or every error at once out. Converts and checks all that can be known before the
//! first reading; opens no file itself.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use model::registry::Registry;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::diagnostic::{Diagnostic, Finding, SourceText};
use crate::inhibition::InhibitionReader;
use crate::known_registry::KnownRegistry;
use crate::matching::{SelectorId, Selectors};
use crate::resolve::{MetricCatalog, Surroundings};
use crate::rule::Rule;
use crate::rule_reader::{RuleReader, id_of};
use crate::rule_set::RuleSet;

/// Longest rule file.
pub const RULE_FILE_BYTES_MAX: usize = 256 << 20;

/// What a load may take in, and what it is made against.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LoadOptions<'a> {
    /// Most rules over all files.
    pub rules_max: usize,
    /// The devices, models and zones that rules may use; none by default.
    pub registry: &'a Registry,
    /// IANA name of the zone of rules that name none.
    pub time_zone: &'a str,
}

static NO_REGISTRY: Registry = Registry::EMPTY;

impl Default for LoadOptions<'_> {
    fn default() -> Self {
        LoadOptions { rules_max: 200_000, registry: &NO_REGISTRY, time_zone: "Asia/Shanghai" }
    }
}

/// What a load gives.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub rule_set: RuleSet,
    /// What is odd but no error.
    pub warnings: Vec<Diagnostic>,
    /// File and line of each rule, by its id.
    pub places: HashMap<String, String>,
    /// Rules whose `where` matches no registered device, each with a warning; 0 where no device is registered.
    pub unmatched: usize,
}

/// Where rules come from.
#[derive(Clone, Copy, Debug)]
pub struct RuleSource;

impl RuleSource {
    /// Loads rule files, given as (name, text).
    ///
    /// # Errors
    /// Everything that is wrong in any of them, in the order of files and places.
    pub fn load(
        files: &[(String, String)],
        catalog: &dyn MetricCatalog,
        options: &LoadOptions<'_>,
    ) -> Result<Loaded, Vec<Diagnostic>> {
        let mut load = Load {
            around: Surroundings {
                catalog,
                registry: options.registry,
                time_zone: options.time_zone,
                unknown: HashSet::new(),
                checked: HashSet::new(),
                time_zones: HashMap::new(),
            },
            rules_max: options.rules_max,
            rules: Vec::new(),
            ids: HashMap::new(),
            wheres: Vec::new(),
            selectors: Selectors::default(),
            inhibitions: InhibitionReader::default(),
            errors: vec![],
            warnings: vec![],
        };
        for (name, text) in files {
            load.file(name, text);
        }
        let inhibitions = match std::mem::take(&mut load.inhibitions).finish(&load.rules, &load.ids) {
            Ok(inhibitions) => inhibitions,
            Err(errors) => {
                load.errors.extend(errors);
                let file = |error: &Diagnostic| files.iter().position(|(name, _)| *name == error.file);
                load.errors.sort_by_key(|error| (file(error), error.line, error.column));
                Vec::new()
            }
        };
        if !load.errors.is_empty() {
            return Err(load.errors);
        }
        let units = catalog.units().into_iter().map(|(metric, unit)| (metric.to_owned(), unit.to_owned()));
        let unmatched = load.warn_of_unmatched();
        let registry = KnownRegistry::used_by(&load.rules, &inhibitions, options.registry, catalog);
        let rule_set = RuleSet::new(load.rules, units.collect(), registry, inhibitions);
        Ok(Loaded { rule_set, warnings: load.warnings, places: load.ids, unmatched })
    }
}

struct Load<'a> {
    around: Surroundings<'a>,
    rules_max: usize,
    rules: Vec<Rule>,
    /// Where each id was first used.
    ids: HashMap<String, String>,
    /// Every `where`, and what to say of it if it matches no registered device.
    wheres: Vec<(SelectorId, Diagnostic)>,
    selectors: Selectors,
    inhibitions: InhibitionReader,
    errors: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
}

impl Load<'_> {
    fn file(&mut self, name: &str, text: &str) {
        let source = SourceText::new(name, text);
        if text.len() > RULE_FILE_BYTES_MAX {
            let found = format!("a file of {} bytes", text.len());
            let help = format!("split it: a rule file has at most {RULE_FILE_BYTES_MAX} bytes");
            self.errors.push(source.diagnostic(Finding::new(0..0, found, help)));
            return;
        }
        let (table, syntax_errors) = DeTable::parse_recoverable(text);
        let is_whole = syntax_errors.is_empty();
        let mut findings: Vec<Finding> = syntax_errors
            .iter()
            .map(|error| {
                Finding::new(error.span().unwrap_or(0..0), error.message(), "TOML would do: key = value")
            })
            .collect();
        for (key, value) in table.get_ref() {
            match key.get_ref().as_ref() {
                "rule" => self.rules(value, &source, is_whole, &mut findings),
                "inhibit" => self.inhibitions.read(value, &source, &mut findings),
                other => {
                    let found = format!("the unknown key {other}");
                    let help = "a rule file holds [[rule]] and [[inhibit]] tables";
                    findings.push(Finding::new(key.span(), found, help));
                }
            }
        }
        // What is odd about a line that does not parse is said once.
        let broken: Vec<u32> =
            findings[..syntax_errors.len()].iter().map(|error| source.line(error)).collect();
        let mut at = 0;
        findings.retain(|finding| {
            at += 1;
            at <= syntax_errors.len() || !broken.contains(&source.line(finding))
        });
        findings.sort_by_key(|finding| finding.span.start);
        self.errors.extend(findings.into_iter().map(|finding| source.diagnostic(finding)));
    }

    fn rules(
        &mut self,
        value: &Spanned<DeValue<'_>>,
        source: &SourceText<'_>,
        is_whole: bool,
        findings: &mut Vec<Finding>,
    ) {
        let Some(tables) = value.get_ref().as_array() else {
            findings.push(Finding::new(value.span(), "`rule` that is no array of tables", "write [[rule]]"));
            return;
        };
        for table in tables.iter() {
            let Some(keys) = table.get_ref().as_table() else {
                let found = format!("a rule that is {}", table.get_ref().type_str());
                findings.push(Finding::new(table.span(), found, "write [[rule]]"));
                continue;
            };
            let mut reader = RuleReader::new(source.text(), keys, table.span(), &mut self.around);
            let rule = reader.rule();
            let mut errors = std::mem::take(&mut reader.errors);
            // What a line that does not parse took along is not missing.
            errors.retain(|error| is_whole || !error.is_missing_key);
            findings.extend(errors.into_iter().map(|error| error.finding));
            let warnings = std::mem::take(&mut reader.warnings);
            self.warnings.extend(warnings.into_iter().map(|finding| source.diagnostic(finding)));
            self.check_id(id_of(keys), source, findings);
            if let (Some(rule), Some(place)) = (&rule, keys.get("where"))
                && !self.around.registry.devices.is_empty()
            {
                let help = "devices outside the registry may still match; else mend it, or register them";
                let found = "a `where` that matches no registered device";
                let warning = source.diagnostic(Finding::new(place.span(), found, help));
                let selector = self.selectors.add(rule.meaning.selector.as_ref());
                self.wheres.push((selector, warning));
            }
            self.rules.extend(rule);
            if self.rules.len() > self.rules_max {
                let found = format!("more than {} rules", self.rules_max);
                findings.push(Finding::new(table.span(), found, "raise rules_max or remove rules"));
                return;
            }
        }
    }

    /// A rule about no registered device may be a typing error. Gives how many there are.
    fn warn_of_unmatched(&mut self) -> usize {
        let mut matched: HashSet<SelectorId> = HashSet::new();
        for (id, device) in &self.around.registry.devices {
            matched.extend(self.selectors.matching(&(id.as_str(), &**device)));
        }
        let unmatched = self.wheres.drain(..).filter(|(selector, _)| !matched.contains(selector));
        let before = self.warnings.len();
        self.warnings.extend(unmatched.map(|(_, warning)| warning));
        self.warnings.len() - before
    }

    fn check_id(
        &mut self,
        id: Option<(&str, Range<usize>)>,
        source: &SourceText<'_>,
        findings: &mut Vec<Finding>,
    ) {
        let Some((id, span)) = id else {
            return;
        };
        let here = source.diagnostic(Finding::new(span.clone(), "", ""));
        let here = format!("{}:{}", here.file, here.line);
        if let Some(first) = self.ids.get(id) {
            findings.push(Finding::new(
                span,
                format!("the id {id:?} a second time, first in {first}"),
                "another id would do",
            ));
        } else {
            self.ids.insert(id.to_owned(), here);
        }
    }
}
