//! The second try of a dead letter.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use decode::{Decoder, Outcome};
use log::{Appender, Log, Ticket, Topic, partition_of};
use model::proto::{self, dead_letter::Record as Letter};
use model::record::put_header;
use model::{Adapter, Position, RawMessage, Rejection};
use prost::Message;
use serde::{Deserialize, Serialize};

use super::{RejectedChild, read, read_marks};
use crate::dead_letter::DeadLetterDraft;
use crate::operations::OperationError;

/// Longest wait for the log to make a redrive durable.
const DURABLE_WAIT: Duration = Duration::from_secs(30);

/// What became of a dead letter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum RedriveOutcome {
    /// Its records are in the log; children that were refused again are a new dead letter.
    Redriven { records: u32, still_rejected: Vec<RejectedChild> },
    /// An earlier redrive did it.
    AlreadyRedriven { records: u32 },
    /// Nothing came of it; it stays as it is.
    StillRejected { rejected: Vec<RejectedChild> },
}

/// Tries the dead letter at `partition`/`offset` again.
///
/// # Errors
/// There is none there, it is a copy of a log record rather than a message, or the log fails.
pub fn redrive<L: Log>(
    log: &L,
    decoder: &mut Decoder,
    partition: u32,
    offset: i64,
) -> Result<RedriveOutcome, OperationError> {
    let position = Position { log_id: log.log_id(), log_partition: partition, log_offset: offset };
    if let Some(records) = read_marks(log, partition)?.get(&position) {
        return Ok(RedriveOutcome::AlreadyRedriven { records: *records });
    }
    let (rejected, ()) = read(log, position, |_, _| ())?;
    let message = message_of(&rejected)?;
    let only: Vec<u32> = rejected.children.iter().map(|child| child.index).collect();
    let only = (!only.is_empty()).then_some(only.as_slice());
    let mut redrive = Redrive::new(log)?;
    let decoded = match decoder.redrive(&message, position, only) {
        Outcome::Rejected(rejection) => return Ok(still_rejected(&[(0, rejection)])),
        Outcome::Decoded(decoded) => decoded,
    };
    let mut refused: Vec<(u32, Rejection)> = decoded.rejected().to_vec();
    let mut records = 0;
    for child in decoded.telemetry() {
        match redrive.append_telemetry(child.device_id, child.record) {
            Ok(()) => records += 1,
            Err(error @ log::Error::RecordTooLarge { .. }) => {
                refused
                    .push((child.index, Rejection::new(model::Reason::PayloadTooLarge, error.to_string())));
            }
            Err(error) => return Err(error.into()),
        }
    }
    if records == 0 {
        return Ok(still_rejected(&refused));
    }
    redrive.append_refused(&message, &refused)?;
    redrive.wait_durable()?;
    redrive.append_mark(position, message.adapter, records)?;
    redrive.wait_durable()?;
    Ok(RedriveOutcome::Redriven { records, still_rejected: children_of(&refused) })
}

fn still_rejected(refused: &[(u32, Rejection)]) -> RedriveOutcome {
    RedriveOutcome::StillRejected { rejected: children_of(refused) }
}

fn children_of(refused: &[(u32, Rejection)]) -> Vec<RejectedChild> {
    let child = |(index, rejection): &(u32, Rejection)| RejectedChild {
        index: *index,
        reason: rejection.reason.code().to_owned(),
        detail: rejection.detail.clone(),
    };
    refused.iter().map(child).collect()
}

/// The message as its adapter handed it on, but for its packet id, which means nothing any more.
fn message_of(rejected: &proto::Rejected) -> Result<RawMessage<'_>, OperationError> {
    const ADAPTERS: [Adapter; 5] =
        [Adapter::MqttEndpoint, Adapter::MqttSubscriber, Adapter::Coap, Adapter::Push, Adapter::Field];
    if rejected.copied_from.is_some() {
        let words =
            "it is the copy of a log record that does not parse, not a message: nothing to decode again";
        return Err(OperationError::Refused(words.to_owned()));
    }
    let source = rejected.source.as_ref();
    let name = source.map_or("", |source| source.adapter.as_str());
    let adapter = ADAPTERS.into_iter().find(|adapter| adapter.name() == name);
    let adapter =
        adapter.ok_or_else(|| OperationError::Refused(format!("its adapter {name:?} is not known here")))?;
    let has = |flag: proto::Flag| rejected.flags & flag as u32 != 0;
    Ok(RawMessage {
        adapter,
        topic: source.map_or("", |source| &source.topic),
        payload: &rejected.payload,
        publisher: &rejected.publisher,
        content_type: &rejected.content_type,
        packet_id: None,
        is_redelivered: false,
        is_retained: has(proto::Flag::Retained),
        is_will: false,
        received_at_us: rejected.received_at_us,
    })
}

/// Appends one step after the other, each durable before the next.
struct Redrive<A> {
    appender: A,
    partitions: u32,
    woken: Receiver<()>,
}

impl<A: Appender> Redrive<A> {
    fn new<L: Log<Appender = A>>(log: &L) -> Result<Self, log::Error> {
        let (wake, woken) = sync_channel(1);
        let wake = Arc::new(move || {
            // Full means that a wake is waiting already.
            wake.try_send(()).ok();
        });
        Ok(Redrive { appender: log.appender(wake)?, partitions: log.partitions(), woken })
    }

    fn append_telemetry(&mut self, device_id: &str, record: &[u8]) -> Result<(), log::Error> {
        let key = device_id.as_bytes();
        self.appender.append(Topic::Telemetry, partition_of(key, self.partitions), key, Some(record), &[])
    }

    fn append_refused(
        &mut self,
        message: &RawMessage<'_>,
        refused: &[(u32, Rejection)],
    ) -> Result<(), log::Error> {
        if refused.is_empty() {
            return Ok(());
        }
        let mut draft = DeadLetterDraft::default();
        let (value, headers) = draft.encode(message, None, refused);
        self.appender.append(Topic::DeadLetter, 0, message.adapter.name().as_bytes(), Some(value), headers)
    }

    fn append_mark(&mut self, position: Position, adapter: Adapter, records: u32) -> Result<(), log::Error> {
        let Position { log_partition, log_offset, .. } = position;
        let id = format!("{}/{log_partition}/{log_offset}/redriven", position.log_id);
        let position = proto::Position { log_id: position.log_id.to_string(), log_partition, log_offset };
        let mark = proto::Redriven { position: Some(position), records };
        let value = proto::DeadLetter { record: Some(Letter::Redriven(mark)) }.encode_to_vec();
        let mut headers = Vec::new();
        put_header(&mut headers, "ce_id", id.as_bytes());
        put_header(&mut headers, "ce_specversion", b"1.0");
        put_header(&mut headers, "ce_type", b"urban-neuron.dead-letter.redriven.v1");
        put_header(&mut headers, "ce_source", adapter.name().as_bytes());
        put_header(&mut headers, "content-type", b"application/protobuf");
        self.appender.append(
            Topic::DeadLetter,
            log_partition,
            adapter.name().as_bytes(),
            Some(&value),
            &headers,
        )
    }

    fn wait_durable(&mut self) -> Result<(), OperationError> {
        let ticket: Ticket = self.appender.flush();
        let deadline = Instant::now() + DURABLE_WAIT;
        while self.appender.durable()? < ticket {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let words = format!("the log did not make it durable within {} s", DURABLE_WAIT.as_secs());
                return Err(OperationError::Admin(words));
            }
            // A timeout is looked at above; the channel cannot close while the appender holds its sender.
            self.woken.recv_timeout(left).ok();
        }
        Ok(())
    }
}
