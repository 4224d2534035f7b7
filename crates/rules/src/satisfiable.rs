//! Conditions that can never hold, as far as that is provable: what they ask of one metric contradicts itself.

use crate::condition::{Condition, Operand, Test, Value, Values};
use crate::intervals::Intervals;
use crate::tree::Tree;
use crate::window_function::Window;

impl Condition {
    /// No readings make it true. `metrics` is how many the rule names.
    pub(crate) fn is_never_true(&self, metrics: usize) -> bool {
        if let Some(numbers) = (0..metrics).find_map(|metric| self.numbers(metric)) {
            return numbers.is_empty();
        }
        match self {
            Tree::Or(parts) => parts.iter().all(|part| part.is_never_true(metrics)),
            Tree::And(parts) => {
                let parts: Vec<&Condition> = parts.iter().collect();
                let contradicts = |metric| has_no_number(&parts, metric) || has_no_word(&parts, metric);
                parts.iter().any(|part| part.is_never_true(metrics)) || (0..metrics).any(contradicts)
            }
            Tree::Not(_) | Tree::Leaf(_) => false,
        }
    }

    /// It compares this metric with texts and booleans, or asks whether it is missing, and nothing else.
    fn is_of_words_of(&self, metric: usize) -> bool {
        let mut is_of_words = true;
        self.leaves(&mut |test| {
            is_of_words &= !matches!(test, Test::Zone { .. });
            test.metrics(&mut |named| is_of_words &= named == metric);
            test.operands(&mut |operand| {
                is_of_words &= matches!(operand, Operand::Metric(_) | Operand::Text(_) | Operand::Boolean(_));
            });
        });
        is_of_words
    }
}

fn has_no_number(parts: &[&Condition], metric: usize) -> bool {
    let wanted = parts.iter().filter_map(|part| part.numbers(metric));
    wanted.fold(Intervals::all(), |sum, part| sum.intersection(&part)).is_empty()
}

fn has_no_word(parts: &[&Condition], metric: usize) -> bool {
    let parts: Vec<_> = parts.iter().filter(|part| part.is_of_words_of(metric)).collect();
    let words = parts.iter().flat_map(|part| part.words()).map(Some);
    // One more text stands for all that none of them names.
    let others = [None, Some(Value::Text("\0".into()))];
    let is_true = |word: &OneWord| parts.iter().all(|part| part.truth(word) == Some(true));
    !words.chain(others).map(OneWord).any(|word| is_true(&word))
}

/// The value of the only metric, or that it is missing.
struct OneWord(Option<Value>);

impl Values for OneWord {
    fn value(&self, _metric: usize) -> Option<&Value> {
        self.0.as_ref()
    }

    fn window(&self, _window: &Window) -> Option<f64> {
        None
    }

    fn threshold(&self, _threshold: usize) -> f64 {
        f64::NAN
    }

    fn is_in_zone(&self, _zone: usize) -> Option<bool> {
        None
    }
}
