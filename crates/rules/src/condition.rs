//! Conditions with names resolved and limits converted: what a rule set keeps and what is evaluated, in Kleene's
//! three values. Knows nothing of where readings come from.

use serde::{Deserialize, Serialize};

use crate::intervals::Intervals;
use crate::tree::Tree;
use crate::window_function::Window;

/// A `when` or a `clear`. Metrics are indices into the rule's list.
pub(crate) type Condition = Tree<Test>;

/// One predicate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Test {
    Compare {
        left: Operand,
        comparison: Comparison,
        right: Operand,
    },
    /// Both ends are in.
    Between {
        operand: Operand,
        low: Operand,
        high: Operand,
    },
    In {
        operand: Operand,
        list: Vec<Operand>,
    },
    Missing {
        metric: usize,
    },
    /// The message's place; an edge is inside.
    Zone {
        /// Index into the rule's zones.
        zone: usize,
        is_inside: bool,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Operand {
    /// Index into the rule's metrics.
    Metric(usize),
    Number {
        /// In the unit of the metric that it is compared with.
        #[serde(with = "shortest_decimal")]
        value: f64,
        unit: Option<String>,
    },
    Text(Box<str>),
    Boolean(bool),
    /// Of the readings of the last span.
    Window(Window),
    /// Index into the rule's thresholds.
    Threshold(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Comparison {
    #[serde(rename = ">")]
    Greater,
    #[serde(rename = ">=")]
    GreaterOrEqual,
    #[serde(rename = "<")]
    Less,
    #[serde(rename = "<=")]
    LessOrEqual,
    #[serde(rename = "=")]
    Equal,
    #[serde(rename = "!=")]
    NotEqual,
}

/// The value of a reading in place.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Number(f64),
    Boolean(bool),
    Text(Box<str>),
}

impl Comparison {
    pub(crate) fn from_symbol(symbol: &str) -> Option<Self> {
        Some(match symbol {
            ">" => Comparison::Greater,
            ">=" => Comparison::GreaterOrEqual,
            "<" => Comparison::Less,
            "<=" => Comparison::LessOrEqual,
            "=" => Comparison::Equal,
            "!=" => Comparison::NotEqual,
            _ => return None,
        })
    }

    pub(crate) const fn symbol(self) -> &'static str {
        match self {
            Comparison::Greater => ">",
            Comparison::GreaterOrEqual => ">=",
            Comparison::Less => "<",
            Comparison::LessOrEqual => "<=",
            Comparison::Equal => "=",
            Comparison::NotEqual => "!=",
        }
    }

    /// Texts and booleans are equal or not; they have no order.
    pub(crate) const fn is_of_order(self) -> bool {
        !matches!(self, Comparison::Equal | Comparison::NotEqual)
    }

    /// `a > b` is `b < a`.
    const fn mirrored(self) -> Self {
        match self {
            Comparison::Greater => Comparison::Less,
            Comparison::GreaterOrEqual => Comparison::LessOrEqual,
            Comparison::Less => Comparison::Greater,
            Comparison::LessOrEqual => Comparison::GreaterOrEqual,
            Comparison::Equal | Comparison::NotEqual => self,
        }
    }

    fn of_numbers(self, left: f64, right: f64) -> bool {
        match self {
            Comparison::Greater => left > right,
            Comparison::GreaterOrEqual => left >= right,
            Comparison::Less => left < right,
            Comparison::LessOrEqual => left <= right,
            Comparison::Equal => left == right,
            Comparison::NotEqual => left != right,
        }
    }

    fn of_equality(self, is_equal: bool) -> Option<bool> {
        match self {
            Comparison::Equal => Some(is_equal),
            Comparison::NotEqual => Some(!is_equal),
            _ => None,
        }
    }
}

#[derive(Clone, Copy)]
enum ValueRef<'a> {
    Number(f64),
    Boolean(bool),
    Text(&'a str),
}

impl<'a> From<&'a Value> for ValueRef<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Number(number) => ValueRef::Number(*number),
            Value::Boolean(boolean) => ValueRef::Boolean(*boolean),
            Value::Text(text) => ValueRef::Text(text),
        }
    }
}

/// What a condition is evaluated on.
pub(crate) trait Values {
    /// The value in place of one of the rule's metrics; `None` where missing or too old.
    fn value(&self, metric: usize) -> Option<&Value>;

    /// `None` where the window is of too few readings, or of one that is no number.
    fn window(&self, window: &Window) -> Option<f64>;

    /// The limit in force of one of the rule's thresholds.
    fn threshold(&self, threshold: usize) -> f64;

    /// `None` where the message has no place.
    fn is_in_zone(&self, zone: usize) -> Option<bool>;
}

impl Condition {
    /// True, false, or `None`: unknown.
    pub(crate) fn truth(&self, values: &impl Values) -> Option<bool> {
        match self {
            Tree::Or(parts) => any(parts.iter().map(|part| part.truth(values))),
            Tree::And(parts) => {
                any(parts.iter().map(|part| part.truth(values).map(|truth| !truth))).map(|truth| !truth)
            }
            Tree::Not(part) => part.truth(values).map(|truth| !truth),
            Tree::Leaf(test) => test.truth(values),
        }
    }

    /// The numbers for which a condition on one metric alone is true; every other value of it is unknown or `None` here.
    /// `None` where the condition names another metric, a text, a boolean or what is missing.
    pub(crate) fn numbers(&self, metric: usize) -> Option<Intervals> {
        let all =
            |parts: &[Condition]| parts.iter().map(|part| part.numbers(metric)).collect::<Option<Vec<_>>>();
        match self {
            Tree::Or(parts) => Some(all(parts)?.iter().fold(Intervals::none(), |sum, part| sum.union(part))),
            Tree::And(parts) => {
                Some(all(parts)?.iter().fold(Intervals::all(), |sum, part| sum.intersection(part)))
            }
            Tree::Not(part) => Some(part.numbers(metric)?.complement()),
            Tree::Leaf(test) => test.numbers(metric),
        }
    }

    /// Every text and boolean that the condition compares with.
    pub(crate) fn words(&self) -> Vec<Value> {
        let mut words = Vec::new();
        let mut take = |operand: &Operand| match operand {
            Operand::Text(text) => words.push(Value::Text(text.clone())),
            Operand::Boolean(boolean) => words.push(Value::Boolean(*boolean)),
            Operand::Number { .. } | Operand::Metric(_) | Operand::Window(_) | Operand::Threshold(_) => {}
        };
        self.leaves(&mut |test| match test {
            Test::Compare { left, right, .. } => [left, right].into_iter().for_each(&mut take),
            Test::In { list, .. } => list.iter().for_each(&mut take),
            Test::Between { .. } | Test::Missing { .. } | Test::Zone { .. } => {}
        });
        words
    }
}

/// Kleene's `or`.
fn any(truths: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut sum = Some(false);
    for truth in truths {
        match truth {
            Some(true) => return truth,
            Some(false) => {}
            None => sum = None,
        }
    }
    sum
}

impl Test {
    /// Every operand that it names.
    pub(crate) fn operands<'a>(&'a self, visit: &mut dyn FnMut(&'a Operand)) {
        match self {
            Test::Compare { left, right, .. } => [left, right].into_iter().for_each(visit),
            Test::Between { operand, low, high } => [operand, low, high].into_iter().for_each(visit),
            Test::In { operand, list } => std::iter::once(operand).chain(list).for_each(visit),
            Test::Missing { .. } | Test::Zone { .. } => {}
        }
    }

    /// Every metric that it names.
    pub(crate) fn metrics(&self, visit: &mut dyn FnMut(usize)) {
        if let Test::Missing { metric } = self {
            visit(*metric);
        }
        self.operands(&mut |operand| match operand {
            Operand::Metric(metric) | Operand::Window(Window { metric, .. }) => visit(*metric),
            Operand::Number { .. } | Operand::Text(_) | Operand::Boolean(_) | Operand::Threshold(_) => {}
        });
    }

    fn truth(&self, values: &impl Values) -> Option<bool> {
        match self {
            Test::Compare { left, comparison, right } => {
                compare(left.value(values)?, *comparison, right.value(values)?)
            }
            Test::Between { operand, low, high } => {
                let value = operand.value(values)?;
                let above = compare(value, Comparison::GreaterOrEqual, low.value(values)?)?;
                let below = compare(value, Comparison::LessOrEqual, high.value(values)?)?;
                Some(above && below)
            }
            Test::In { operand, list } => {
                let value = operand.value(values)?;
                any(list.iter().map(|one| compare(value, Comparison::Equal, one.value(values)?)))
            }
            Test::Missing { metric } => Some(values.value(*metric).is_none()),
            Test::Zone { zone, is_inside } => Some(values.is_in_zone(*zone)? == *is_inside),
        }
    }

    fn numbers(&self, metric: usize) -> Option<Intervals> {
        let is_it = |operand: &Operand| *operand == Operand::Metric(metric);
        match self {
            Test::Compare { left, comparison, right: Operand::Number { value, .. } } if is_it(left) => {
                Some(Intervals::of(*comparison, *value))
            }
            Test::Compare { left: Operand::Number { value, .. }, comparison, right } if is_it(right) => {
                Some(Intervals::of(comparison.mirrored(), *value))
            }
            Test::Between {
                operand,
                low: Operand::Number { value: low, .. },
                high: Operand::Number { value: high, .. },
            } if is_it(operand) => {
                let above = Intervals::of(Comparison::GreaterOrEqual, *low);
                Some(above.intersection(&Intervals::of(Comparison::LessOrEqual, *high)))
            }
            Test::In { operand, list } if is_it(operand) => {
                list.iter().try_fold(Intervals::none(), |sum, one| match one {
                    Operand::Number { value, .. } => {
                        Some(sum.union(&Intervals::of(Comparison::Equal, *value)))
                    }
                    _ => None,
                })
            }
            _ => None,
        }
    }
}

impl Operand {
    fn value<'a>(&'a self, values: &'a impl Values) -> Option<ValueRef<'a>> {
        match self {
            Operand::Metric(metric) => values.value(*metric).map(ValueRef::from),
            Operand::Window(window) => values.window(window).map(ValueRef::Number),
            Operand::Threshold(threshold) => Some(ValueRef::Number(values.threshold(*threshold))),
            Operand::Number { value, .. } => Some(ValueRef::Number(*value)),
            Operand::Text(text) => Some(ValueRef::Text(text)),
            Operand::Boolean(boolean) => Some(ValueRef::Boolean(*boolean)),
        }
    }
}

/// Unknown where the types do not match or have no order.
fn compare(left: ValueRef<'_>, comparison: Comparison, right: ValueRef<'_>) -> Option<bool> {
    match (left, right) {
        (ValueRef::Number(left), ValueRef::Number(right)) => Some(comparison.of_numbers(left, right)),
        (ValueRef::Text(left), ValueRef::Text(right)) => comparison.of_equality(left == right),
        (ValueRef::Boolean(left), ValueRef::Boolean(right)) => comparison.of_equality(left == right),
        _ => None,
    }
}

/// JSON numbers are read by some parsers to the nearest double but one; text is exact.
pub(crate) mod shortest_decimal {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|_| D::Error::custom(format_args!("{text:?} is no number")))
    }
}
