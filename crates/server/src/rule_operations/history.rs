//! Which rule set was in force when: the rule set records of each log partition, from the lake as far as it has landed and
//! from the log after that.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::Path;

use lake::{ReplaySpan, Source};
use log::{Log, Topic};
use model::LogRecordView;
use model::time::format_rfc3339;

use super::RuleSetSpan;
use crate::operations::{OperationError, TopicScan, scan};
use crate::rule_sets::RuleSets;
use crate::state_store::StateStore;

/// A rule set record.
struct Record {
    offset: i64,
    log_time_us: i64,
    digest: String,
}

/// Every rule set that the lake and the log know of, by log partition, oldest first.
///
/// # Errors
/// The lake, the log or the store of rule sets cannot be read.
pub(super) fn rule_set_spans<L: Log>(log: &L, lake_root: &Path) -> Result<Vec<RuleSetSpan>, OperationError> {
    let failed = |error: &dyn std::fmt::Display| OperationError::Failed(error.to_string());
    let of_log = (0..log.partitions()).map(|log_partition| Source { log_id: log.log_id(), log_partition });
    let mut sources = if lake_root.is_dir() {
        lake::sources(lake_root).map_err(|error| failed(&error))?
    } else {
        Vec::new()
    };
    sources.extend(of_log.filter(|source| !sources.contains(source)).collect::<Vec<_>>());
    let stored = StoredSets::read(lake_root).map_err(|error| failed(&error))?;
    let mut spans = Vec::new();
    for source in sources {
        let mut records = Vec::new();
        let next = read_lake(lake_root, source, &mut records).map_err(|error| failed(&error))?;
        if source.log_id == log.log_id() {
            read_log(log, source.log_partition, next, &mut records)?;
        }
        spans.extend(stored.spans(source, &records));
    }
    Ok(spans)
}

/// The rule set records that have landed; gives the first offset that has not.
fn read_lake(root: &Path, source: Source, records: &mut Vec<Record>) -> Result<i64, lake::Error> {
    let Some(last) = lake::ranges(root, source, i64::MAX)?.pop() else {
        return Ok(0);
    };
    let wanted = ReplaySpan { is_control_only: true, ..ReplaySpan::ALL };
    lake::replay(root, source, &wanted, None, &mut |record, view| {
        if let LogRecordView::RuleSet { digest, .. } = view {
            let digest = (*digest).to_owned();
            records.push(Record { offset: record.offset, log_time_us: record.log_time_us, digest });
        }
        ControlFlow::Continue(())
    })?;
    Ok(last.next)
}

fn read_log<L: Log>(
    log: &L,
    partition: u32,
    from: i64,
    records: &mut Vec<Record>,
) -> Result<(), OperationError> {
    let wanted = TopicScan { offsets: from..i64::MAX, ..TopicScan::all(Topic::Telemetry, partition) };
    scan(log, &wanted, |record| {
        // What does not parse is told of by the lake's worker.
        if let Ok(LogRecordView::RuleSet { digest, .. }) = LogRecordView::parse(record.value) {
            let digest = digest.to_owned();
            records.push(Record { offset: record.offset, log_time_us: record.log_time_us, digest });
        }
        ControlFlow::Continue(())
    })
}

/// The rule sets of the store by digest: their numbers, rising, and how many rules they have.
struct StoredSets(HashMap<String, (Vec<u64>, usize)>);

impl StoredSets {
    fn read(lake_root: &Path) -> Result<Self, crate::rule_sets::RuleSetsError> {
        let mut sets: HashMap<String, (Vec<u64>, usize)> = HashMap::new();
        RuleSets::new(StateStore::new(lake_root)).each(&mut |n, set| {
            sets.entry(set.digest().to_owned()).or_insert_with(|| (Vec::new(), set.len())).0.push(n);
        })?;
        Ok(StoredSets(sets))
    }

    /// Numbers rise along a log partition: of the numbers of a digest, the lowest above the one before is meant.
    fn spans(&self, source: Source, records: &[Record]) -> Vec<RuleSetSpan> {
        let mut before = 0;
        let mut spans: Vec<RuleSetSpan> = Vec::new();
        for Record { offset, log_time_us, digest } in records {
            let stored = self.0.get(digest);
            let n = stored.and_then(|(numbers, _)| numbers.iter().copied().find(|n| *n > before));
            before = n.unwrap_or(before);
            let from = format_rfc3339(*log_time_us);
            if let Some(last) = spans.last_mut() {
                last.until = Some(from.clone());
            }
            spans.push(RuleSetSpan {
                log_id: source.log_id.to_string(),
                log_partition: source.log_partition,
                n,
                digest: digest.clone(),
                rules: stored.map(|(_, rules)| *rules),
                from_offset: *offset,
                from,
                until: None,
            });
        }
        spans
    }
}
