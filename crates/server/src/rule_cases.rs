//! Cases beside the rules: readings in, alerts expected out (`docs/rules.md`, "Testing rules"). Pure but for the texts that
//! it is given.

mod case_file;
mod case_record;

use std::sync::Arc;

use model::time::parse_rfc3339;
use model::{Alert, AlertEvent, LogId, LogRecordView, Record};
use rules::{Evaluator, EvaluatorConfig, RuleSet};

pub use case_file::{Case, CaseError, CaseFile};
pub use case_record::CaseRecord;

/// 2026-03-02T00:00:00Z, a Monday: second 0 of every case.
pub const EPOCH_US: i64 = 1_772_409_600_000_000;

/// A line that is expected and was not said, or was said and is not expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LineDifference {
    Missing(String),
    Unexpected(String),
}

/// What a case's rules say of its records, as lines of `expect`.
pub fn said(case: &Case, rules: &Arc<RuleSet>) -> Vec<String> {
    let config =
        EvaluatorConfig { log_id: LogId([0; 16]), partition: 0, partitions: 1, tenant: "default".to_owned() };
    let mut evaluator = Evaluator::new(config);
    let mut alerts = Vec::new();
    let first_us = case.records.first().map_or(EPOCH_US, |record| record.log_time_us);
    evaluator.apply_rule_set(&Record::new(-1, first_us, b"", b""), 0, rules.clone(), &mut alerts);
    for (offset, record) in case.records.iter().enumerate() {
        let bytes = record.encode();
        let view = LogRecordView::parse(&bytes).expect("a case's record is one of ours");
        let offset = i64::try_from(offset).unwrap_or(i64::MAX);
        evaluator.apply(&Record::new(offset, record.log_time_us, b"", &bytes), &view, &mut alerts);
    }
    alerts.iter().map(line_of).collect()
}

/// The lines of two lists that are not in both, in their order: what is missing of `expected`, what `said` has beyond it.
pub fn line_differences(expected: &[String], said: &[String]) -> Vec<LineDifference> {
    // The longest common run of lines, so that one line too many is told as that.
    let mut common = vec![vec![0usize; said.len() + 1]; expected.len() + 1];
    for (at, wanted) in expected.iter().enumerate().rev() {
        for (said_at, line) in said.iter().enumerate().rev() {
            common[at][said_at] = if wanted == line {
                common[at + 1][said_at + 1] + 1
            } else {
                common[at + 1][said_at].max(common[at][said_at + 1])
            };
        }
    }
    let (mut at, mut said_at) = (0, 0);
    let mut differences = Vec::new();
    while at < expected.len() || said_at < said.len() {
        if at < expected.len() && said_at < said.len() && expected[at] == said[said_at] {
            (at, said_at) = (at + 1, said_at + 1);
        } else if said_at == said.len()
            || at < expected.len() && common[at + 1][said_at] >= common[at][said_at + 1]
        {
            differences.push(LineDifference::Missing(expected[at].clone()));
            at += 1;
        } else {
            differences.push(LineDifference::Unexpected(said[said_at].clone()));
            said_at += 1;
        }
    }
    differences
}

/// `raised RULE DEVICE t0=STARTED at=RAISED`, `resolved RULE DEVICE t0=.. raised=.. at=.. [reason=..]`.
fn line_of(alert: &Alert) -> String {
    let Alert { rule_id, device_id, .. } = alert;
    let (started, raised) = (seconds(&alert.started_at), seconds(&alert.raised_at));
    match (alert.event, &alert.resolved_at) {
        (AlertEvent::Resolved, Some(resolved_at)) => {
            let resolved = seconds(resolved_at);
            let reason = alert.reason.as_ref().map_or(String::new(), |reason| format!(" reason={reason}"));
            format!("resolved {rule_id} {device_id} t0={started} raised={raised} at={resolved}{reason}")
        }
        (event, _) => format!("{} {rule_id} {device_id} t0={started} at={raised}", event.name()),
    }
}

/// Seconds since [`EPOCH_US`].
fn seconds(time: &str) -> f64 {
    parse_rfc3339(time).map_or(f64::NAN, |us| (us - EPOCH_US) as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_lines_in_their_order() {
        let lines = |text: &str| text.split(' ').filter(|line| !line.is_empty()).map(str::to_owned).collect();
        for (expected, said, found) in [
            ("a b", "a b", ""),
            ("a b", "a", "-b"),
            ("a", "a b", "+b"),
            ("a b c", "a x c", "-b +x"),
            ("a b", "b a", "-a +a"),
            ("", "", ""),
        ] {
            let (expected, said): (Vec<String>, Vec<String>) = (lines(expected), lines(said));
            let text: Vec<String> = line_differences(&expected, &said)
                .into_iter()
                .map(|difference| match difference {
                    LineDifference::Missing(line) => format!("-{line}"),
                    LineDifference::Unexpected(line) => format!("+{line}"),
                })
                .collect();
            assert_eq!(text.join(" "), found, "{expected:?} {said:?}");
        }
    }
}
