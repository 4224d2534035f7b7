//! Rules over what has landed: each log partition of the lake goes through an evaluator of its own, record by record, as
//! it went live. What comes out is a function of the lake and the rules (I4).

mod diff;
mod summary;

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use lake::{ReplaySpan, Source};
use model::time::parse_rfc3339;
use model::{Alert, LogRecordView, Record};
use rules::{Evaluator, EvaluatorConfig, RuleSet};

use crate::rule_sets::{RuleSets, RuleSetsError};

pub use diff::{Change, Difference, Episode, differences};
pub use summary::Summary;

/// How long before the first wanted time records are read, so that states and windows are as they were then.
const WARM_UP_US: i64 = 24 * 3_600 * 1_000_000;
/// Records between two words of progress.
const PROGRESS_EVERY: u64 = 1 << 16;

/// Which rules are evaluated.
#[derive(Clone)]
pub enum BacktestRules {
    /// These, in force from the first record on.
    Given(Arc<RuleSet>),
    /// Those that were in force live, each from its record on.
    Live(RuleSets),
}

/// What is replayed.
#[derive(Clone, Debug, Default)]
pub struct BacktestSpan {
    /// Said from this clock on, microseconds since 1970-01-01T00:00:00Z; a day before it is read and not said.
    pub from_us: Option<i64>,
    /// Read up to this clock.
    pub to_us: Option<i64>,
    /// Only this log partition.
    pub partition: Option<u32>,
    /// Only devices of this pattern, where `*` stands for any run of characters.
    pub device: Option<String>,
}

/// What was said, in the order of time, rule id, device id, event.
#[derive(Clone, Debug, Default)]
pub struct Backtest {
    pub alerts: Vec<Alert>,
    pub progress: Progress,
    /// Clock of the first and last record whose alerts are said, microseconds since 1970-01-01T00:00:00Z.
    pub clock_us: Option<(i64, i64)>,
}

/// How far it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub records: u64,
    pub readings: u64,
    /// Clock of the partition at hand, microseconds since 1970-01-01T00:00:00Z.
    pub clock_us: i64,
}

/// A backtest that cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum BacktestError {
    #[error(transparent)]
    Lake(#[from] lake::Error),
    #[error("log partition {partition}, offset {offset}: {source}")]
    RuleSet { partition: u32, offset: i64, source: RuleSetsError },
}

/// The lake that is replayed, and of what deployment it is.
#[derive(Clone, Copy, Debug)]
pub struct BacktestLake<'a> {
    pub root: &'a Path,
    pub tenant: &'a str,
    /// Of the log, as in the config.
    pub partitions: u32,
}

/// Replays a lake.
///
/// # Errors
/// The lake cannot be read, or a rule set that was in force is not there any more.
pub fn backtest(
    lake: BacktestLake<'_>,
    rules: &BacktestRules,
    span: &BacktestSpan,
    progress: &mut dyn FnMut(&Progress),
) -> Result<Backtest, BacktestError> {
    let mut whole = Backtest::default();
    let is_wanted = |source: &Source| span.partition.is_none_or(|wanted| source.log_partition == wanted);
    for source in lake::sources(lake.root)?.into_iter().filter(is_wanted) {
        replay_partition(lake, source, rules, span, &mut whole, progress)?;
    }
    whole.alerts.sort_by(|a, b| order_of(a).cmp(&order_of(b)));
    Ok(whole)
}

fn order_of(alert: &Alert) -> (&str, &str, &str, &str) {
    let at = alert.resolved_at.as_deref().unwrap_or(&alert.raised_at);
    (at, &alert.rule_id, &alert.device_id, alert.event.name())
}

fn replay_partition(
    lake: BacktestLake<'_>,
    source: Source,
    rules: &BacktestRules,
    span: &BacktestSpan,
    whole: &mut Backtest,
    progress: &mut dyn FnMut(&Progress),
) -> Result<(), BacktestError> {
    let from_us = span.from_us.unwrap_or(i64::MIN);
    let clock_us = from_us.saturating_sub(WARM_UP_US)..span.to_us.unwrap_or(i64::MAX);
    let wanted = ReplaySpan { clock_us, ..ReplaySpan::ALL };
    let is_wanted = span.device.as_deref().map(|pattern| move |device: &str| is_like(device, pattern));
    let mut partition = Partition::new(lake, source, rules.clone());
    partition.put_in_force(lake.root, wanted.clock_us.start)?;
    let mut failure = None;
    let mut visit = |record: &Record<'_>, view: &LogRecordView<'_>| {
        if let Err(error) = partition.take(record, view) {
            failure = Some(error);
            return ControlFlow::Break(());
        }
        // What the day before says is not said.
        if record.log_time_us < from_us {
            partition.said.clear();
            return ControlFlow::Continue(());
        }
        whole.note(record, view, &mut partition.said);
        if whole.progress.records.is_multiple_of(PROGRESS_EVERY) {
            progress(&whole.progress);
        }
        ControlFlow::Continue(())
    };
    let devices = is_wanted.as_ref().map(|is_wanted| is_wanted as lake::DeviceFilter<'_>);
    lake::replay(lake.root, source, &wanted, devices, &mut visit)?;
    failure.map_or(Ok(()), Err)
}

impl Backtest {
    fn note(&mut self, record: &Record<'_>, view: &LogRecordView<'_>, said: &mut Vec<Alert>) {
        self.alerts.append(said);
        self.progress.records += 1;
        if let LogRecordView::Telemetry(telemetry) = view {
            self.progress.readings += telemetry.readings().count() as u64;
        }
        self.progress.clock_us = record.log_time_us;
        let (first_us, last_us) = self.clock_us.unwrap_or((i64::MAX, i64::MIN));
        self.clock_us = Some((first_us.min(record.log_time_us), last_us.max(record.log_time_us)));
    }

    /// Days between the first and the last record, at least a second's.
    pub fn days(&self) -> f64 {
        const SECOND_DAYS: f64 = 1.0 / 86_400.0;
        let us = self.clock_us.map_or(0, |(first_us, last_us)| last_us - first_us);
        (us as f64 / 86_400e6).max(SECOND_DAYS)
    }
}

/// The evaluator of one log partition.
struct Partition {
    source: Source,
    evaluator: Evaluator,
    rules: BacktestRules,
    by_digest: HashMap<String, Arc<RuleSet>>,
    is_started: bool,
    said: Vec<Alert>,
}

impl Partition {
    fn new(lake: BacktestLake<'_>, source: Source, rules: BacktestRules) -> Self {
        let (log_id, partition) = (source.log_id, source.log_partition);
        let (partitions, tenant) = (lake.partitions, lake.tenant.to_owned());
        let config = EvaluatorConfig { log_id, partition, partitions, tenant };
        let (evaluator, by_digest) = (Evaluator::new(config), HashMap::new());
        Partition { source, evaluator, rules, by_digest, is_started: false, said: Vec::new() }
    }

    /// What was in force when the replay begins: the last rule set before it.
    fn put_in_force(&mut self, root: &Path, start_us: i64) -> Result<(), BacktestError> {
        if start_us == i64::MIN || !matches!(self.rules, BacktestRules::Live(_)) {
            return Ok(());
        }
        let before = ReplaySpan { clock_us: i64::MIN..start_us, is_control_only: true, ..ReplaySpan::ALL };
        let mut newest = None;
        lake::replay(root, self.source, &before, None, &mut |record, view| {
            if let LogRecordView::RuleSet { digest, .. } = view {
                newest = Some((record.offset, record.log_time_us, (*digest).to_owned()));
            }
            ControlFlow::Continue(())
        })?;
        let Some((offset, log_time_us, digest)) = newest else {
            return Ok(());
        };
        let record = Record::new(offset, log_time_us, b"", b"");
        self.take(&record, &LogRecordView::RuleSet { n: 0, digest: &digest })
    }

    fn take(&mut self, record: &Record<'_>, view: &LogRecordView<'_>) -> Result<(), BacktestError> {
        match (&self.rules, view) {
            (BacktestRules::Live(sets), LogRecordView::RuleSet { digest, .. }) => {
                let set = match self.by_digest.get(*digest) {
                    Some(set) => set.clone(),
                    None => sets.with_digest(digest).map_err(|source| BacktestError::RuleSet {
                        partition: self.source.log_partition,
                        offset: record.offset,
                        source,
                    })?,
                };
                self.by_digest.insert((*digest).to_owned(), set.clone());
                self.evaluator.apply_rule_set(record, 0, set, &mut self.said);
                return Ok(());
            }
            (BacktestRules::Given(set), _) if !self.is_started => {
                self.evaluator.apply_rule_set(record, 0, set.clone(), &mut self.said);
            }
            _ => {}
        }
        self.is_started = true;
        // Another's rule set is control: it moves the clock.
        let view =
            if matches!(view, LogRecordView::RuleSet { .. }) { &LogRecordView::UnknownControl } else { view };
        self.evaluator.apply(record, view, &mut self.said);
        Ok(())
    }
}

/// True when the text is of the pattern, where `*` stands for any run of characters.
fn is_like(text: &str, pattern: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else {
        return text == pattern;
    };
    let Some(rest) = text.strip_prefix(head) else {
        return false;
    };
    let starts = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
    starts.into_iter().any(|at| is_like(&rest[at..], tail))
}

/// Microseconds between two times of an alert.
fn length_us(from: &str, to: &str) -> Option<i64> {
    Some(parse_rfc3339(to).ok()? - parse_rfc3339(from).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_run() {
        for (text, pattern, expected) in [
            ("m-1", "m-1", true),
            ("m-1", "m-*", true),
            ("m-1", "*", true),
            ("井-1", "*-1", true),
            ("a-b-c", "a*b*c", true),
            ("m-1", "m", false),
            ("m-1", "*-2", false),
            ("", "*", true),
        ] {
            assert_eq!(is_like(text, pattern), expected, "{text} {pattern}");
        }
    }
}
