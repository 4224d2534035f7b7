//! The record of a message that was refused: its original bytes, the stable reason, and all that a second try needs.

use lake::Undecodable;
use model::proto::{self, dead_letter::Record};
use model::record::put_header;
use model::{RawMessage, Reason, Rejection};
use prost::Message;
use sha2::{Digest, Sha256};

use crate::rules_partition::RefusedCommand;

/// Buffers for dead letters, reused.
#[derive(Debug, Default)]
pub struct DeadLetterDraft {
    value: Vec<u8>,
    headers: Vec<u8>,
}

impl DeadLetterDraft {
    /// Value and headers of the dead letter of `message`: refused as a whole, or some of its children.
    pub fn encode(
        &mut self,
        message: &RawMessage<'_>,
        whole: Option<&Rejection>,
        children: &[(u32, Rejection)],
    ) -> (&[u8], &[u8]) {
        let first = whole.or(children.first().map(|(_, rejection)| rejection));
        let rejected = proto::Rejected {
            payload: message.payload.to_vec(),
            reason: whole.map(|rejection| rejection.reason.code().to_owned()).unwrap_or_default(),
            detail: whole.map(|rejection| rejection.detail.clone()).unwrap_or_default(),
            children: children.iter().map(rejected_child).collect(),
            source: Some(source_of(message)),
            publisher: message.publisher.to_owned(),
            received_at_us: message.received_at_us,
            content_type: message.content_type.to_owned(),
            flags: flags_of(message),
            device_id: String::new(),
            copied_from: None,
        };
        let reason = first.map_or("", |rejection| rejection.reason.code());
        self.put(rejected, message.adapter.name(), reason, message.received_at_us)
    }

    /// Value and headers of the copy of a record of `telemetry.v1` that no consumer can read.
    pub fn encode_undecodable(&mut self, record: &Undecodable) -> (&[u8], &[u8]) {
        let position = record.position;
        let rejected = proto::Rejected {
            payload: record.value.clone(),
            reason: Reason::UndecodableRecord.code().to_owned(),
            detail: record.detail.clone(),
            received_at_us: record.log_time_us,
            device_id: String::from_utf8_lossy(&record.key).into_owned(),
            copied_from: Some(proto::Position {
                log_id: position.log_id.to_string(),
                log_partition: position.log_partition,
                log_offset: position.log_offset,
            }),
            ..proto::Rejected::default()
        };
        self.put(rejected, "log", Reason::UndecodableRecord.code(), record.log_time_us)
    }

    /// Value and headers of a command on an alert that the rules worker has not done.
    pub fn encode_command(&mut self, command: &RefusedCommand) -> (&[u8], &[u8]) {
        let reason = command.rejection.reason.code();
        let rejected = proto::Rejected {
            payload: command.value.clone(),
            reason: reason.to_owned(),
            detail: command.rejection.detail.clone(),
            received_at_us: command.log_time_us,
            content_type: "application/json".to_owned(),
            source: Some(proto::Source {
                adapter: "alert_command".to_owned(),
                topic: log::Topic::AlertCommands.name().to_owned(),
                ..proto::Source::default()
            }),
            ..proto::Rejected::default()
        };
        self.put(rejected, "alert_command", reason, command.log_time_us)
    }

    fn put(
        &mut self,
        rejected: proto::Rejected,
        source: &str,
        reason: &str,
        received_at_us: i64,
    ) -> (&[u8], &[u8]) {
        self.value.clear();
        let record = proto::DeadLetter { record: Some(Record::Rejected(rejected)) };
        record.encode(&mut self.value).expect("a Vec grows as far as it must");
        self.headers.clear();
        put_header(&mut self.headers, "ce_id", content_id(&self.value).as_bytes());
        dead_letter_headers(&mut self.headers, source, reason, received_at_us);
        (&self.value, &self.headers)
    }
}

/// The same for the same dead letter: 32 hex digits of its SHA-256.
fn content_id(value: &[u8]) -> String {
    Sha256::digest(value).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// CloudEvents attributes of a dead letter but for its id, in the stored form of headers.
fn dead_letter_headers(out: &mut Vec<u8>, source: &str, reason: &str, received_at_us: i64) {
    put_header(out, "ce_specversion", b"1.0");
    put_header(out, "ce_type", b"urban-neuron.dead-letter.v1");
    put_header(out, "ce_source", source.as_bytes());
    put_header(out, "ce_subject", reason.as_bytes());
    put_header(out, "ce_time", model::time::format_rfc3339(received_at_us).as_bytes());
    put_header(out, "content-type", b"application/protobuf");
}

fn rejected_child((index, rejection): &(u32, Rejection)) -> proto::RejectedChild {
    proto::RejectedChild {
        index: *index,
        reason: rejection.reason.code().to_owned(),
        detail: rejection.detail.clone(),
    }
}

fn source_of(message: &RawMessage<'_>) -> proto::Source {
    proto::Source {
        adapter: message.adapter.name().to_owned(),
        protocol: message.adapter.protocol().to_owned(),
        topic: message.topic.to_owned(),
        ..proto::Source::default()
    }
}

fn flags_of(message: &RawMessage<'_>) -> u32 {
    let flag = |is_set: bool, flag: proto::Flag| if is_set { flag as u32 } else { 0 };
    flag(message.is_retained, proto::Flag::Retained) | flag(message.is_redelivered, proto::Flag::Redelivered)
}
