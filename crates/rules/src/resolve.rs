//! From a condition as written to one that can be evaluated: metrics looked up, limits converted, types checked.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use model::registry::Registry;

use crate::condition::{Comparison, Condition, Operand, Test};
use crate::condition_syntax::{self as syntax, OperandKind, Predicate};
use crate::diagnostic::Finding;
use crate::limit::{LimitForm, WrittenLimit, unit_text};
use crate::rule::Threshold;
use crate::schedule::ZoneOffsets;
use crate::schedule_syntax::zone_offsets;
use crate::tree::Tree;
use crate::window_function::{Window, WindowFunction};

/// The function that gives a limit of the registry.
const THRESHOLD: &str = "threshold";

/// Most metrics that one rule may name.
pub const RULE_METRICS_MAX: usize = 64;

/// What the metric catalog says, as far as rules ask.
pub trait MetricCatalog {
    fn metric(&self, name: &str) -> Option<KnownMetric<'_>>;

    /// The known name that is most like this one.
    fn nearest(&self, name: &str) -> Option<&str>;

    /// The decimal text in another unit: an exact rational, rounded once. `None` where it does not convert.
    fn convert(&self, decimal: &str, from: &str, to: &str) -> Option<f64>;

    /// The same without the zero point of the units, for differences; `per`, a unit of time, makes it one in a second.
    fn convert_difference(&self, decimal: &str, from: &str, to: &str, per: Option<&str>) -> Option<f64>;

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
    pub(crate) const fn noun(self) -> &'static str {
        match self {
            MetricKind::Number => "a number",
            MetricKind::Text => "a text",
            MetricKind::Boolean => "a boolean",
        }
    }
}

/// What all rules of a load are resolved against, and what is said once of all of them.
pub(crate) struct Surroundings<'a> {
    pub(crate) catalog: &'a dyn MetricCatalog,
    pub(crate) registry: &'a Registry,
    /// The zone of the config, for rules that name none.
    pub(crate) time_zone: &'a str,
    /// Metrics that the catalog does not know and that were warned of.
    pub(crate) unknown: HashSet<String>,
    /// Thresholds, by what they are limits of, whose values in the registry were looked at.
    pub(crate) checked: HashSet<String>,
    /// Zones by their names, as far as rules named them.
    pub(crate) time_zones: HashMap<String, Option<ZoneOffsets>>,
}

impl Surroundings<'_> {
    pub(crate) fn zone_offsets(&mut self, name: &str) -> Option<ZoneOffsets> {
        if let Some(known) = self.time_zones.get(name) {
            return known.clone();
        }
        self.time_zones.entry(name.to_owned()).or_insert(zone_offsets(name)).clone()
    }
}

/// Resolves the conditions of one rule, collecting its metrics, thresholds, zones and every finding.
pub(crate) struct Resolver<'r, 'a> {
    pub(crate) around: &'r mut Surroundings<'a>,
    pub(crate) metrics: Vec<String>,
    pub(crate) thresholds: Vec<Threshold>,
    pub(crate) zones: Vec<String>,
    pub(crate) errors: Vec<Finding>,
    pub(crate) warnings: Vec<Finding>,
}

/// An operand's type, and unit where it is a number.
#[derive(Clone, PartialEq)]
pub(crate) struct OperandType {
    pub(crate) kind: Option<MetricKind>,
    pub(crate) unit: Option<String>,
    pub(crate) form: LimitForm,
}

impl<'r, 'a> Resolver<'r, 'a> {
    pub(crate) fn new(around: &'r mut Surroundings<'a>) -> Self {
        Resolver {
            around,
            metrics: Vec::new(),
            thresholds: Vec::new(),
            zones: Vec::new(),
            errors: Vec::new(),
            warnings: Vec::new(),
        }
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
            Predicate::Zone { is_inside, zone } => {
                Some(Test::Zone { zone: self.zone(zone)?, is_inside: *is_inside })
            }
        }
    }

    fn compare(
        &mut self,
        left: &syntax::Operand,
        comparison: Comparison,
        right: &syntax::Operand,
    ) -> Option<Test> {
        // The metric gives the type that the other side must have, on whichever side it stands.
        let is_subject = |operand: &syntax::Operand| match &operand.kind {
            OperandKind::Call { function, .. } => function != THRESHOLD,
            kind => matches!(kind, OperandKind::Metric(_)),
        };
        let is_on_the_left = is_subject(left) || !is_subject(right);
        let (subject, other) = if is_on_the_left { (left, right) } else { (right, left) };
        let subject_type = self.subject(subject)?;
        let other = self.against(other, &subject_type)?;
        if comparison.is_of_order() && matches!(other, Operand::Text(_) | Operand::Boolean(_)) {
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
            OperandKind::Call { function, .. } if function == THRESHOLD => {
                self.refuse(&operand.span, "a threshold as what is compared", "name a metric on one side")
            }
            OperandKind::Call { .. } => {
                let window = self.window(operand)?;
                Some(self.type_of_window(&window))
            }
            _ => self.refuse(&operand.span, "a comparison without a metric", "name a metric on one side"),
        }
    }

    pub(crate) fn type_of_metric(&self, name: &str) -> OperandType {
        let known = self.around.catalog.metric(name);
        OperandType {
            kind: known.map(|metric| metric.kind),
            unit: known.and_then(|metric| metric.unit).map(str::to_owned),
            form: LimitForm::Value,
        }
    }

    fn type_of_window(&self, window: &Window) -> OperandType {
        let metric = self.type_of_metric(&self.metrics[window.metric]);
        OperandType {
            kind: Some(MetricKind::Number),
            unit: metric.unit.filter(|_| window.function != WindowFunction::Count),
            form: match window.function {
                WindowFunction::Rate => LimitForm::Rate,
                function if function.is_of_differences() => LimitForm::Difference,
                _ => LimitForm::Value,
            },
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
                let value = self.limit(decimal, unit.as_deref(), &operand.span, subject)?;
                Some(Operand::Number {
                    value,
                    unit: unit_text(subject.unit.as_deref(), subject.form)
                        .filter(|_| unit.is_some() || subject.unit.is_some()),
                })
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
                self.of_unit(operand, &other, subject)?;
                self.operand(operand)
            }
            OperandKind::Call { function, arguments } if function == THRESHOLD => {
                self.threshold(operand, arguments, subject)
            }
            OperandKind::Call { .. } => {
                let window = self.window(operand)?;
                let other = self.type_of_window(&window);
                self.of_unit(operand, &other, subject)?;
                self.of_kind(operand, subject, MetricKind::Number)?;
                Some(Operand::Window(window))
            }
        }
    }

    fn of_unit(
        &mut self,
        operand: &syntax::Operand,
        other: &OperandType,
        subject: &OperandType,
    ) -> Option<()> {
        let is_rate = |one: &OperandType| one.form == LimitForm::Rate;
        if other.unit == subject.unit && is_rate(other) == is_rate(subject) {
            return Some(());
        }
        let unit = |one: &OperandType| {
            unit_text(one.unit.as_deref(), one.form).unwrap_or_else(|| "no unit".to_owned())
        };
        let found = format!("an operand in {} against one in {}", unit(other), unit(subject));
        self.refuse(&operand.span, found, "operands of the same unit can be compared")
    }

    pub(crate) fn of_kind(
        &mut self,
        operand: &syntax::Operand,
        subject: &OperandType,
        kind: MetricKind,
    ) -> Option<()> {
        match subject.kind {
            Some(expected) if expected != kind => self.refuse(
                &operand.span,
                format!("{} against a metric whose values are {}", kind.noun(), expected.noun()),
                format!("compare it with {}", expected.noun()),
            ),
            _ => Some(()),
        }
    }

    pub(crate) fn limit(
        &mut self,
        decimal: &str,
        unit: Option<&str>,
        span: &Range<usize>,
        subject: &OperandType,
    ) -> Option<f64> {
        let written = WrittenLimit { decimal, unit };
        let limit = written.convert(self.around.catalog, subject.unit.as_deref(), subject.form, span);
        limit.map_err(|finding| self.errors.push(finding)).ok()
    }

    fn operand(&mut self, operand: &syntax::Operand) -> Option<Operand> {
        match &operand.kind {
            OperandKind::Metric(name) => self.metric(name, &operand.span).map(Operand::Metric),
            OperandKind::Call { .. } => self.window(operand).map(Operand::Window),
            _ => self.refuse(&operand.span, "a comparison without a metric", "name a metric on one side"),
        }
    }

    pub(crate) fn metric(&mut self, name: &str, span: &Range<usize>) -> Option<usize> {
        if let Some(metric) = self.metrics.iter().position(|known| known == name) {
            return Some(metric);
        }
        if self.metrics.len() == RULE_METRICS_MAX {
            return self.refuse(span, format!("more than {RULE_METRICS_MAX} metrics"), "split the rule");
        }
        self.known(name, span);
        self.metrics.push(name.to_owned());
        Some(self.metrics.len() - 1)
    }

    /// Warns once of a metric that the catalog does not know.
    pub(crate) fn known(&mut self, name: &str, span: &Range<usize>) {
        if self.around.catalog.metric(name).is_none() && self.around.unknown.insert(name.to_owned()) {
            let help = match self.around.catalog.nearest(name) {
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
    }

    pub(crate) fn refuse<T>(
        &mut self,
        span: &Range<usize>,
        found: impl Into<String>,
        help: impl Into<String>,
    ) -> Option<T> {
        self.errors.push(Finding::new(span.clone(), found, help));
        None
    }
}
