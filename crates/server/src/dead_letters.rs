//! What was refused, and a second try of it: reading `dead-letter.v1`, and redrive.
//!
//! Redrive (design section 4): the rejected children only are decoded again; their records are appended, what is refused again
//! becomes a dead letter of its own, and once all that is durable a `redriven` mark is appended, which a later redrive
//! respects. A crash in between repeats the records with equal event ids, so they are repeats.

use std::collections::{HashMap, VecDeque};
use std::ops::ControlFlow;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use log::{Log, Topic};
use model::proto::{self, dead_letter::Record as Letter};
use model::{Position, Record};
use prost::Message;
use serde::{Deserialize, Serialize};

use crate::operations::{OperationError, TopicScan, scan};

mod redrive;

pub use redrive::{RedriveOutcome, redrive};

/// Dead letters that one listing gives at most.
pub const LISTED_MAX: usize = 10_000;

/// Which dead letters to list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeadLetterFilter {
    /// The newest of them, at most [`LISTED_MAX`].
    pub limit: usize,
    /// Only those refused for this reason, as a whole or in a child.
    pub reason: Option<String>,
    /// Only those that were not redriven.
    pub is_open_only: bool,
}

impl Default for DeadLetterFilter {
    fn default() -> Self {
        DeadLetterFilter { limit: 100, reason: None, is_open_only: false }
    }
}

/// One dead letter without its bytes. Times are RFC 3339.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetterSummary {
    pub log_id: String,
    pub log_partition: u32,
    pub log_offset: i64,
    pub log_time: String,
    pub received_at: String,
    /// Empty where only children were refused.
    pub reason: String,
    pub detail: String,
    pub children: Vec<RejectedChild>,
    pub adapter: String,
    pub topic: String,
    pub publisher: String,
    pub payload_bytes: usize,
    /// Records that a redrive made of it; `None` while it was not redriven.
    pub redriven_records: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectedChild {
    pub index: u32,
    pub reason: String,
    pub detail: String,
}

/// One dead letter with its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetterView {
    #[serde(flatten)]
    pub summary: DeadLetterSummary,
    pub content_type: String,
    /// Where it was in the log, for a record of the log that does not parse.
    pub copied_from: Option<String>,
    pub payload_base64: String,
    /// The same, where it is UTF-8.
    pub payload_text: Option<String>,
}

impl DeadLetterSummary {
    /// Every reason in it: the whole's, else the children's.
    pub fn reasons(&self) -> impl Iterator<Item = &str> {
        let whole = (!self.reason.is_empty()).then_some(self.reason.as_str());
        whole.into_iter().chain(self.children.iter().map(|child| child.reason.as_str()))
    }
}

/// The newest dead letters that pass the filter, oldest first.
///
/// # Errors
/// The log does not answer.
pub fn list<L: Log>(log: &L, filter: &DeadLetterFilter) -> Result<Vec<DeadLetterSummary>, OperationError> {
    let mut marks = HashMap::new();
    let mut newest = VecDeque::new();
    let limit = filter.limit.min(LISTED_MAX);
    for partition in 0..Topic::DeadLetter.partition_count(log.partitions()) {
        marks.extend(read_marks(log, partition)?);
        scan(log, &TopicScan::all(Topic::DeadLetter, partition), |record| {
            let Some(rejected) = parse_rejected(record) else { return ControlFlow::Continue(()) };
            let position =
                Position { log_id: log.log_id(), log_partition: partition, log_offset: record.offset };
            let redriven = marks.get(&position).copied();
            let summary = summarize(position, record, &rejected, redriven);
            let is_wanted =
                filter.reason.as_ref().is_none_or(|reason| summary.reasons().any(|found| found == reason))
                    && !(filter.is_open_only && redriven.is_some());
            if is_wanted {
                newest.push_back(summary);
            }
            if newest.len() > limit {
                newest.pop_front();
            }
            ControlFlow::Continue(())
        })?;
    }
    Ok(newest.into())
}

/// One dead letter.
///
/// # Errors
/// There is none there, or the log does not answer.
pub fn find<L: Log>(log: &L, partition: u32, offset: i64) -> Result<DeadLetterView, OperationError> {
    let position = Position { log_id: log.log_id(), log_partition: partition, log_offset: offset };
    let redriven = read_marks(log, partition)?.get(&position).copied();
    let (rejected, summary) =
        read(log, position, |record, rejected| summarize(position, record, rejected, redriven))?;
    let copied_from = rejected
        .copied_from
        .as_ref()
        .map(|from| format!("{}/{}/{}", from.log_id, from.log_partition, from.log_offset));
    Ok(DeadLetterView {
        summary,
        content_type: rejected.content_type,
        copied_from,
        payload_base64: BASE64_STANDARD.encode(&rejected.payload),
        payload_text: String::from_utf8(rejected.payload).ok(),
    })
}

/// Reads the dead letter at a position.
fn read<L: Log, T>(
    log: &L,
    position: Position,
    mut visit: impl FnMut(&Record<'_>, &proto::Rejected) -> T,
) -> Result<(proto::Rejected, T), OperationError> {
    let Position { log_partition: partition, log_offset: offset, .. } = position;
    let missing = || OperationError::NotFound(format!("there is no dead letter at {partition}/{offset}"));
    if partition >= Topic::DeadLetter.partition_count(log.partitions()) || offset < 0 {
        return Err(missing());
    }
    let mut found = None;
    let wanted = TopicScan { topic: Topic::DeadLetter, partition, offsets: offset..offset.saturating_add(1) };
    scan(log, &wanted, |record| {
        if let Some(rejected) = parse_rejected(record).filter(|_| record.offset == offset) {
            let visited = visit(record, &rejected);
            found = Some((rejected, visited));
        }
        ControlFlow::Continue(())
    })?;
    found.ok_or_else(missing)
}

/// What was redriven, with the number of records that came of it. One entry a mark, so bounded by the topic.
fn read_marks<L: Log>(log: &L, partition: u32) -> Result<HashMap<Position, u32>, OperationError> {
    let mut marks = HashMap::new();
    if partition >= Topic::DeadLetter.partition_count(log.partitions()) {
        return Ok(marks);
    }
    scan(log, &TopicScan::all(Topic::DeadLetter, partition), |record| {
        if let Ok(proto::DeadLetter { record: Some(Letter::Redriven(mark)) }) =
            proto::DeadLetter::decode(record.value)
            && let Some(position) = mark.position.as_ref().and_then(position_of)
        {
            marks.insert(position, mark.records);
        }
        ControlFlow::Continue(())
    })?;
    Ok(marks)
}

fn position_of(position: &proto::Position) -> Option<Position> {
    Some(Position {
        log_id: position.log_id.parse().ok()?,
        log_partition: position.log_partition,
        log_offset: position.log_offset,
    })
}

fn parse_rejected(record: &Record<'_>) -> Option<proto::Rejected> {
    match proto::DeadLetter::decode(record.value).ok()?.record? {
        Letter::Rejected(rejected) => Some(rejected),
        Letter::Redriven(_) => None,
    }
}

fn summarize(
    position: Position,
    record: &Record<'_>,
    rejected: &proto::Rejected,
    redriven_records: Option<u32>,
) -> DeadLetterSummary {
    let source = rejected.source.clone().unwrap_or_default();
    let children = rejected.children.iter().map(|child| RejectedChild {
        index: child.index,
        reason: child.reason.clone(),
        detail: child.detail.clone(),
    });
    DeadLetterSummary {
        log_id: position.log_id.to_string(),
        log_partition: position.log_partition,
        log_offset: position.log_offset,
        log_time: model::time::format_rfc3339(record.log_time_us),
        received_at: model::time::format_rfc3339(rejected.received_at_us),
        reason: rejected.reason.clone(),
        detail: rejected.detail.clone(),
        children: children.collect(),
        adapter: source.adapter,
        topic: source.topic,
        publisher: rejected.publisher.clone(),
        payload_bytes: rejected.payload.len(),
        redriven_records,
    }
}
