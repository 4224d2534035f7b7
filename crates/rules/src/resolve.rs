//! From a condition as written to one that can be evaluated: metrics looked up, limits converted, types checked. What
//! the language has and this version does not evaluate is refused here.

use std::collections::HashSet;
use std::ops::Range;

use crate::condition::{Comparison, Condition, Operand, Test};
use crate::condition_syntax::{self as syntax, OperandKind, Predicate};
use crate::diagnostic::Finding;
use crate::tree::Tree;

/// Most metrics that one rule may name.
pub const RULE_METRICS_MAX: usize = 64;

/// What the metric catalog says, as far as rules ask.
pub trait MetricCatalog {
    fn metric(&self, name: &str) -> Option<KnownMetric<'_>>;

    /// The known name that is most like this one.
    fn nearest(&self, name: &str) -> Option<&str>;

    /// The decimal text in another unit: an exact rational, rounded once. `None` where it does not convert.
    fn convert(&self, decimal: &str, from: &str, to: &str) -> Option<f64>;

    /// Name and canonical unit of every metric that has one.
    fn units(&self) -> Vec<(&str, &str)>;
}

/// One metric of the catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownMetric<'a> {
    /// UCUM, the unit in which its readings stand in the log.
    pub unit: Option<&'a str>,
    pub kind: MetricKind,
}

/// What the values of a metric are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    Number,
    Text,
    Boolean,
}

impl MetricKind {
    const fn noun(self) -> &'static str {
        match self {
            MetricKind::Number => "a number",
            MetricKind::Text => "a text",
            MetricKind::Boolean => "a boolean",
        }
    }
}

/// Resolves the conditions of one rule, collecting its metrics and every finding.
pub(crate) struct Resolver<'a> {
    catalog: &'a dyn MetricCatalog,
    /// Metrics that the catalog does not know and that were warned of.
    unknown: &'a mut HashSet<String>,
    pub(crate) metrics: Vec<String>,
    pub(crate) errors: Vec<Finding>,
    pub(crate) warnings: Vec<Finding>,
}

/// An operand's type, and unit where it is a number.
#[derive(Clone, PartialEq)]
struct OperandType {
    kind: Option<MetricKind>,
    unit: Option<String>,
    is_metric: bool,
}

impl<'a> Resolver<'a> {
    pub(crate) fn new(catalog: &'a dyn MetricCatalog, unknown: &'a mut HashSet<String>) -> Self {
        Resolver { catalog, unknown, metrics: Vec::new(), errors: Vec::new(), warnings: Vec::new() }
    }

    /// `None` where there are errors.
    pub(crate) fn condition(&mut self, written: &Tree<Predicate>) -> Option<Condition> {
        written.try_map(&mut |predicate| self.predicate(predicate))
    }

    fn predicate(&mut self, predicate: &Predicate) -> Option<Test> {
        match predicate {
            Predicate::Compare { left, comparison, right } => self.compare(left, *comparison, right),
            Predicate::Between { operand, low, high } => {
                let subject = self.subject(operand)?;
                self.ordered(&subject, operand.span.clone(), "between")?;
                let (low, high) = (self.against(low, &subject), self.against(high, &subject));
                Some(Test::Between { operand: self.operand(operand)?, low: low?, high: high? })
            }
            Predicate::In { operand, list } => {
                let subject = self.subject(operand)?;
                let list: Vec<_> = list.iter().map(|one| self.against(one, &subject)).collect();
                Some(Test::In {
                    operand: self.operand(operand)?,
                    list: list.into_iter().collect::<Option<_>>()?,
                })
            }
            Predicate::Missing { operand } => match self.operand(operand)? {
                Operand::Metric(metric) => Some(Test::Missing { metric }),
                _ => self.refuse(
                    &operand.span,
                    "`is missing` after what is no metric",
                    "name a metric before it",
                ),
            },
            Predicate::Zone { span } => self.not_yet(span, "a zone"),
        }
    }

    fn compare(
        &mut self,
        left: &syntax::Operand,
        comparison: Comparison,
        right: &syntax::Operand,
    ) -> Option<Test> {
        // The metric gives the type that the other side must have, on whichever side it stands.
        let is_subject = |operand: &syntax::Operand| {
            matches!(operand.kind, OperandKind::Metric(_) | OperandKind::Call { .. })
        };
        let is_on_the_left = is_subject(left) || !is_subject(right);
        let (subject, other) = if is_on_the_left { (left, right) } else { (right, left) };
        let subject_type = self.subject(subject)?;
        let other = self.against(other, &subject_type)?;
        if comparison.is_of_order() && !matches!(other, Operand::Number { .. } | Operand::Metric(_)) {
            let help = "texts and booleans take = and !=";
            return self.refuse(
                &left.span,
                format!("`{}` with what has no order", comparison.symbol()),
                help,
            );
        }
        if comparison.is_of_order() {
            self.ordered(&subject_type, subject.span.clone(), comparison.symbol())?;
        }
        let subject = self.operand(subject)?;
        let (left, right) = if is_on_the_left { (subject, other) } else { (other, subject) };
        Some(Test::Compare { left, comparison, right })
    }

    /// The type of the metric that a predicate is about.
    fn subject(&mut self, operand: &syntax::Operand) -> Option<OperandType> {
        match &operand.kind {
            OperandKind::Metric(name) => Some(self.type_of_metric(name)),
            OperandKind::Call { function } => self.call(function, &operand.span),
            _ => self.refuse(&operand.span, "a comparison without a metric", "name a metric on one side"),
        }
    }

    fn type_of_metric(&self, name: &str) -> OperandType {
        let known = self.catalog.metric(name);
        OperandType {
            kind: known.map(|metric| metric.kind),
            unit: known.and_then(|metric| metric.unit).map(str::to_owned),
            is_metric: true,
        }
    }

    fn ordered(&mut self, subject: &OperandType, span: Range<usize>, symbol: &str) -> Option<()> {
        match subject.kind {
            Some(kind @ (MetricKind::Text | MetricKind::Boolean)) => self.refuse(
                &span,
                format!("`{symbol}` with a metric whose values are {}", kind.noun()),
                "texts and booleans take =, != and in",
            ),
            Some(MetricKind::Number) | None => Some(()),
        }
    }

    /// An operand that is compared with the subject, in its unit.
    fn against(&mut self, operand: &syntax::Operand, subject: &OperandType) -> Option<Operand> {
        match &operand.kind {
            OperandKind::Number { decimal, unit } => {
                self.of_kind(operand, subject, MetricKind::Number)?;
                self.number(decimal, unit.as_deref(), &operand.span, subject.unit.as_deref())
            }
            OperandKind::Text(text) => {
                self.of_kind(operand, subject, MetricKind::Text)?;
                Some(Operand::Text(text.as_str().into()))
            }
            OperandKind::Boolean(boolean) => {
                self.of_kind(operand, subject, MetricKind::Boolean)?;
                Some(Operand::Boolean(*boolean))
            }
            OperandKind::Metric(name) => {
                let other = self.type_of_metric(name);
                if other.unit != subject.unit {
                    let unit = |unit: &Option<String>| unit.clone().unwrap_or_else(|| "no unit".to_owned());
                    let found =
                        format!("a metric in {} against one in {}", unit(&other.unit), unit(&subject.unit));
                    return self.refuse(&operand.span, found, "metrics of the same unit can be compared");
                }
                self.operand(operand)
            }
            OperandKind::Call { function } => self.call(function, &operand.span),
        }
    }

    fn of_kind(&mut self, operand: &syntax::Operand, subject: &OperandType, kind: MetricKind) -> Option<()> {
        match subject.kind {
            Some(expected) if expected != kind => self.refuse(
                &operand.span,
                format!("{} against a metric whose values are {}", kind.noun(), expected.noun()),
                format!("compare it with {}", expected.noun()),
            ),
            _ => Some(()),
        }
    }

    fn number(
        &mut self,
        decimal: &str,
        unit: Option<&str>,
        span: &Range<usize>,
        canonical: Option<&str>,
    ) -> Option<Operand> {
        let unit = unit.map(|unit| match unit {
            "degF" => "[degF]",
            "ppm" => "[ppm]",
            other => other,
        });
        let value = match (unit, canonical) {
            (None, None) => decimal.parse().ok(),
            (Some(unit), Some(canonical)) => match self.catalog.convert(decimal, unit, canonical) {
                None => {
                    let found = format!("{decimal} {unit}, which does not convert to {canonical}");
                    return self.refuse(
                        span,
                        found,
                        format!("a limit in {canonical} or a unit of the same kind would do"),
                    );
                }
                value => value,
            },
            (None, Some(canonical)) => {
                let help = format!("the metric is in {canonical}: write for example {decimal} {canonical}");
                return self.refuse(span, format!("{decimal} without a unit"), help);
            }
            (Some(unit), None) => {
                let found = format!("{decimal} {unit} against a metric without a unit");
                let help = format!("write {decimal}, or name a metric of the catalog that has a unit");
                return self.refuse(span, found, help);
            }
        };
        match value.filter(|value: &f64| value.is_finite()) {
            // Zero has one meaning; its sign would only show in the text.
            Some(value) => Some(Operand::Number { value: value + 0.0, unit: canonical.map(str::to_owned) }),
            None => {
                self.refuse(span, format!("{decimal}, which no double holds"), "a smaller number would do")
            }
        }
    }

    fn operand(&mut self, operand: &syntax::Operand) -> Option<Operand> {
        match &operand.kind {
            OperandKind::Metric(name) => self.metric(name, &operand.span).map(Operand::Metric),
            OperandKind::Call { function } => self.call(function, &operand.span),
            _ => self.refuse(&operand.span, "a comparison without a metric", "name a metric on one side"),
        }
    }

    fn metric(&mut self, name: &str, span: &Range<usize>) -> Option<usize> {
        if let Some(metric) = self.metrics.iter().position(|known| known == name) {
            return Some(metric);
        }
        if self.metrics.len() == RULE_METRICS_MAX {
            return self.refuse(span, format!("more than {RULE_METRICS_MAX} metrics"), "split the rule");
        }
        if self.catalog.metric(name).is_none() && self.unknown.insert(name.to_owned()) {
            let help = match self.catalog.nearest(name) {
                Some(nearest) => {
                    format!("did you mean {nearest}? As it stands it is a metric without a unit")
                }
                None => "as it stands it is a metric without a unit".to_owned(),
            };
            self.warnings.push(Finding::new(
                span.clone(),
                format!("a metric that the catalog does not know: {name}"),
                help,
            ));
        }
        self.metrics.push(name.to_owned());
        Some(self.metrics.len() - 1)
    }

    fn call<T>(&mut self, function: &str, span: &Range<usize>) -> Option<T> {
        const FUNCTIONS: [&str; 10] =
            ["threshold", "avg", "min", "max", "sum", "count", "stddev", "delta", "rate", "increase"];
        if FUNCTIONS.contains(&function) {
            return self.not_yet(span, &format!("{function}()"));
        }
        self.refuse(span, format!("the unknown function {function}()"), "a metric would do here")
    }

    fn not_yet<T>(&mut self, span: &Range<usize>, what: &str) -> Option<T> {
        self.refuse(
            span,
            format!("{what} is not supported yet by this version"),
            "compare metrics with limits",
        )
    }

    fn refuse<T>(
        &mut self,
        span: &Range<usize>,
        found: impl Into<String>,
        help: impl Into<String>,
    ) -> Option<T> {
        self.errors.push(Finding::new(span.clone(), found, help));
        None
    }
}
