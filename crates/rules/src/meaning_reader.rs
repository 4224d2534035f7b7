//! The keys of a rule that decide what it says: read, converted and checked against each other.

use std::ops::Range;

use model::Severity;

use crate::condition::Condition;
use crate::diagnostic::Finding;
use crate::resolve::Resolver;
use crate::rule::{Absent, HITS_MAX, Hits, Meaning, QualityFilter, Threshold};
use crate::rule_reader::{CONDITION_BYTES_MAX, RULE_TEXT_BYTES_MAX, RuleReader};
use crate::schedule::Schedule;
use crate::schedule_syntax::{ACTIVE_SPANS_MAX, SPAN_HELP, parse_span};
use crate::selector::Selector;
use crate::{condition_syntax, duration, selector};

const MAX_AGE_US: i64 = 3_600_000_000;
const SILENCE_GRACE_US: i64 = 60_000_000;

/// What a dead-man does not take.
const KEYS_OF_CONDITIONS: [&str; 10] = [
    "when",
    "for",
    "clear",
    "clear_for",
    "hits",
    "max_age",
    "active",
    "time_zone",
    "silence_grace",
    "quality",
];

/// `when` and `clear`, and what they name.
#[derive(Default)]
struct Conditions {
    when: Option<Condition>,
    clear: Option<Condition>,
    metrics: Vec<String>,
    thresholds: Vec<Threshold>,
    zones: Vec<String>,
}

impl RuleReader<'_, '_> {
    pub(crate) fn meaning(&mut self, severity: Option<Severity>) -> Option<Meaning> {
        let for_us = self.span_us("for", 0);
        let clear_for_us = self.span_us("clear_for", 0);
        let max_age_us = self.span_us("max_age", MAX_AGE_US);
        let silence_grace_us = self.span_us("silence_grace", SILENCE_GRACE_US);
        self.check_within_max_age("for", for_us, max_age_us);
        self.check_within_max_age("clear_for", clear_for_us, max_age_us);
        let quality = self.quality();
        let shadow = self.boolean("shadow");
        let selector = self.selector();
        let hits = self.hits();
        let active = self.active();
        let absent = self.absent();
        let conditions = if self.is_dead_man() { Conditions::default() } else { self.conditions()? };
        let meaning = Meaning {
            severity: severity?,
            quality,
            shadow,
            for_us,
            clear_for_us,
            max_age_us,
            silence_grace_us,
            metrics: conditions.metrics,
            when: conditions.when,
            clear: conditions.clear,
            selector,
            hits,
            absent,
            active,
            thresholds: conditions.thresholds,
            zones: conditions.zones,
        };
        self.check_clear(&meaning);
        Some(meaning)
    }

    fn is_dead_man(&self) -> bool {
        self.keys.contains_key("absent")
    }

    fn conditions(&mut self) -> Option<Conditions> {
        if !self.keys.contains_key("when") {
            self.missing("when", "write for example when = \"water_level > 2.5 m\", or absent = \"10m\"");
        }
        let written = [self.written("when"), self.written("clear")];
        let mut resolver = Resolver::new(self.around);
        let mut findings = Vec::new();
        let [when, clear] = ["when", "clear"].map(|key| {
            let written = written[usize::from(key == "clear")].as_ref()?;
            let condition = resolver.condition(written);
            let errors = std::mem::take(&mut resolver.errors);
            findings.extend(errors.into_iter().map(|finding| (key, finding, true)));
            let warnings = std::mem::take(&mut resolver.warnings);
            findings.extend(warnings.into_iter().map(|finding| (key, finding, false)));
            condition
        });
        let Resolver { metrics, thresholds, zones, .. } = resolver;
        for (key, finding, is_error) in findings {
            if is_error {
                self.error_within(key, finding);
            } else {
                let span = self.place_within(key, finding.span);
                self.warnings.push(Finding { span, ..finding });
            }
        }
        let when = Some(when?);
        if self.keys.contains_key("clear") && clear.is_none() {
            return None;
        }
        Some(Conditions { when, clear, metrics, thresholds, zones })
    }

    fn written(&mut self, key: &'static str) -> Option<crate::tree::Tree<condition_syntax::Predicate>> {
        let text = self.text(key, CONDITION_BYTES_MAX)?;
        condition_syntax::parse(text).map_err(|finding| self.error_within(key, finding)).ok()
    }

    fn check_clear(&mut self, meaning: &Meaning) {
        if meaning.can_hold_at_once() {
            let help = "a `clear` that is false wherever `when` is true would do";
            self.error_at("clear", "a `clear` that can be true together with `when`", help);
        }
        let is_never = |condition: &Option<Condition>| {
            condition.as_ref().is_some_and(|one| one.is_never_true(meaning.metrics.len()))
        };
        let help = "a condition that can hold would do";
        if is_never(&meaning.clear) {
            self.error_at("clear", "a `clear` that no value makes true", help);
        }
        if is_never(&meaning.when) {
            let finding = Finding::new(self.place_of("when"), "a `when` that no value makes true", help);
            self.warnings.push(finding);
        }
    }

    fn check_within_max_age(&mut self, key: &'static str, span_us: i64, max_age_us: i64) {
        if span_us > max_age_us {
            let (span, max_age) = (duration::text(span_us), duration::text(max_age_us));
            let found = format!("{key} = {span}, longer than max_age = {max_age}");
            self.error_at(key, found, format!("a max_age of at least {span} would do"));
        }
    }

    fn selector(&mut self) -> Option<Selector> {
        let text = self.text("where", CONDITION_BYTES_MAX)?;
        selector::parse(text).map_err(|finding| self.error_within("where", finding)).ok()
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

    /// `"3 of 5"`; one of one is what a rule without it has.
    fn hits(&mut self) -> Option<Hits> {
        let text = self.text("hits", RULE_TEXT_BYTES_MAX)?;
        let parts: Vec<&str> = text.split_whitespace().collect();
        let hits = match parts.as_slice() {
            [needed, "of", of] => needed.parse().ok().zip(of.parse().ok()),
            _ => None,
        };
        match hits {
            Some((needed, of)) if (1..=of).contains(&needed) && of <= HITS_MAX => {
                Some(Hits { needed, of }).filter(|_| of > 1)
            }
            _ => {
                let help = format!("write \"N of M\", N at least 1 and at most M, M at most {HITS_MAX}");
                self.error_at("hits", format!("{text:?}"), help);
                None
            }
        }
    }

    fn absent(&mut self) -> Option<Absent> {
        let metric = self.text("metric", RULE_TEXT_BYTES_MAX);
        if !self.is_dead_man() {
            if let Some(span) = self.keys.get("metric").map(toml::Spanned::span) {
                let help = "`metric` says what is missed by `absent`; conditions name theirs";
                self.error(span, "`metric` without `absent`", help);
            }
            return None;
        }
        for key in KEYS_OF_CONDITIONS {
            if self.keys.contains_key(key) {
                let help =
                    "a rule with `absent` takes only `metric`, `where`, `shadow` and what describes it";
                self.error_at(key, format!("`{key}` beside `absent`"), help);
            }
        }
        if let Some(metric) = metric {
            let span = self.place_of("metric");
            let mut resolver = Resolver::new(self.around);
            resolver.known(metric, &span);
            let warnings = std::mem::take(&mut resolver.warnings);
            self.warnings.extend(warnings);
        }
        let span_us = self.span_us("absent", 0);
        if span_us == 0 && self.errors.is_empty() {
            self.error_at("absent", "no time at all", "a span such as 10m would do");
        }
        Some(Absent { span_us, metric: metric.map(str::to_owned) })
    }

    fn active(&mut self) -> Option<Schedule> {
        let zone = self.text("time_zone", RULE_TEXT_BYTES_MAX);
        let Some(value) = self.keys.get("active") else {
            if zone.is_some() {
                self.error_at("time_zone", "`time_zone` without `active`", "it is the zone of `active`");
            }
            return None;
        };
        let Some(written) = value.get_ref().as_array() else {
            self.wrong_type("active", value, &format!("a list of spans would do: {SPAN_HELP}"));
            return None;
        };
        let mut spans = Vec::new();
        for span in written.iter() {
            match span.get_ref().as_str().and_then(parse_span) {
                Some(parsed) => spans.extend(parsed),
                None => {
                    let found = format!(
                        "{}, which is no span of a week",
                        span.get_ref().as_str().unwrap_or("a value")
                    );
                    self.error(span.span(), found, SPAN_HELP);
                }
            }
        }
        if written.is_empty() || written.len() > ACTIVE_SPANS_MAX {
            let help = format!("1 to {ACTIVE_SPANS_MAX} spans would do: {SPAN_HELP}");
            self.error_at("active", format!("{} spans", written.len()), help);
        }
        let name = zone.unwrap_or(self.around.time_zone);
        let Some(offsets) = self.around.zone_offsets(name) else {
            let key = if zone.is_some() { "time_zone" } else { "active" };
            self.error_at(key, format!("the time zone {name:?}"), "a name such as Asia/Shanghai would do");
            return None;
        };
        if spans.is_empty() { None } else { Schedule::new(&spans, offsets) }
    }

    fn place_of(&self, key: &str) -> Range<usize> {
        self.keys.get(key).map_or(0..0, toml::Spanned::span)
    }
}
