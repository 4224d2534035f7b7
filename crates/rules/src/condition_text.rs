//! A condition as a reader writes it, with the limits that are in force.

use std::fmt::{self, Write};

use crate::condition::{Condition, Operand, Test};
use crate::duration;
use crate::limit::unit_text;
use crate::rule::Meaning;
use crate::tree::Tree;
use crate::window_function::Window;

/// A threshold in force, and whose it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InForce<'a> {
    pub(crate) value: f64,
    pub(crate) origin: ThresholdOrigin<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ThresholdOrigin<'a> {
    Device,
    Model(&'a str),
    Default,
}

/// The text of a condition of `meaning`, `in_force` giving the limit of each of its thresholds.
pub(crate) fn condition_text<'a>(
    condition: &Condition,
    meaning: &Meaning,
    in_force: &dyn Fn(usize) -> InForce<'a>,
) -> String {
    let mut writer = ConditionWriter { out: String::new(), meaning, in_force };
    writer.tree(condition, Nesting::Top).expect("writing into a String cannot fail");
    writer.out
}

/// What stands around a part, so that parentheses are written only where they are needed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Nesting {
    Top,
    Or,
    And,
    Not,
}

struct ConditionWriter<'a, 'f> {
    out: String,
    meaning: &'f Meaning,
    in_force: &'f dyn Fn(usize) -> InForce<'a>,
}

impl ConditionWriter<'_, '_> {
    fn tree(&mut self, tree: &Condition, around: Nesting) -> fmt::Result {
        let (parts, word, own) = match tree {
            Tree::Leaf(test) => return self.test(test),
            Tree::Not(part) => {
                self.out.push_str("not ");
                return self.tree(part, Nesting::Not);
            }
            Tree::Or(parts) => (parts, " or ", Nesting::Or),
            Tree::And(parts) => (parts, " and ", Nesting::And),
        };
        let is_enclosed = around >= own;
        self.out.push_str(if is_enclosed { "(" } else { "" });
        for (at, part) in parts.iter().enumerate() {
            self.out.push_str(if at > 0 { word } else { "" });
            self.tree(part, own)?;
        }
        self.out.push_str(if is_enclosed { ")" } else { "" });
        Ok(())
    }

    fn test(&mut self, test: &Test) -> fmt::Result {
        match test {
            Test::Compare { left, comparison, right } => {
                self.operand(left)?;
                write!(self.out, " {} ", comparison.symbol())?;
                self.operand(right)
            }
            Test::Between { operand, low, high } => {
                self.operand(operand)?;
                self.out.push_str(" between ");
                self.operand(low)?;
                self.out.push_str(" and ");
                self.operand(high)
            }
            Test::In { operand, list } => {
                self.operand(operand)?;
                self.out.push_str(" in (");
                for (at, one) in list.iter().enumerate() {
                    self.out.push_str(if at > 0 { ", " } else { "" });
                    self.operand(one)?;
                }
                self.out.write_char(')')
            }
            Test::Missing { metric } => {
                self.metric(*metric)?;
                self.out.write_str(" is missing")
            }
            Test::Zone { zone, is_inside } => {
                let word = if *is_inside { "inside" } else { "outside" };
                write!(self.out, "{word} zone('{}')", self.meaning.zones[*zone].replace('\'', "''"))
            }
        }
    }

    fn operand(&mut self, operand: &Operand) -> fmt::Result {
        match operand {
            Operand::Metric(metric) => self.metric(*metric),
            Operand::Number { value, unit } => self.number(*value, unit.as_deref()),
            Operand::Text(text) => write!(self.out, "'{}'", text.replace('\'', "''")),
            Operand::Boolean(boolean) => write!(self.out, "{boolean}"),
            Operand::Window(Window { function, metric, span_us }) => {
                write!(self.out, "{}(", function.name())?;
                self.metric(*metric)?;
                write!(self.out, ", {})", duration::text(*span_us))
            }
            Operand::Threshold(threshold) => {
                let InForce { value, origin } = (self.in_force)(*threshold);
                let written = &self.meaning.thresholds[*threshold];
                self.number(value, unit_text(written.unit.as_deref(), written.form).as_deref())?;
                match origin {
                    ThresholdOrigin::Device => write!(self.out, " ({} of the device)", written.name),
                    ThresholdOrigin::Model(model) => {
                        write!(self.out, " ({} of the model {model})", written.name)
                    }
                    ThresholdOrigin::Default => write!(self.out, " ({} by default)", written.name),
                }
            }
        }
    }

    fn number(&mut self, value: f64, unit: Option<&str>) -> fmt::Result {
        match unit {
            None => write!(self.out, "{value}"),
            Some(unit) => write!(self.out, "{value} {unit}"),
        }
    }

    fn metric(&mut self, metric: usize) -> fmt::Result {
        let name = &self.meaning.metrics[metric];
        let is_bare = name.starts_with(|c: char| c.is_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.'))
            && !crate::lexer::KEYWORDS.contains(&name.as_str());
        if is_bare { self.out.write_str(name) } else { write!(self.out, "\"{}\"", name.replace('"', "\"\"")) }
    }
}
