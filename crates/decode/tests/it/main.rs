//! The decoder as the pipeline calls it: payloads in, envelopes or rejections out.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests end where they fail")]

mod flat_json;
mod hostile;
mod identity;
mod own_topics;
mod registered;
mod senml;

use std::sync::Arc;

use model::catalog::Catalog;
use model::proto::{self, log_record::Record, reading::Value};
use model::{Adapter, LogRecordView, RawMessage, Reason, Rejection};
use prost::Message;
use urban_neuron_decode::{Child, Decoder, DecoderConfig, LocalZone, Outcome};

pub(crate) const RECEIVED_AT_US: i64 = 1_772_409_600_000_000;
pub(crate) const TOPIC: &str = "urban-neuron/v1/devices/d-1/telemetry";

pub(crate) fn decoder() -> Decoder {
    Decoder::new(DecoderConfig {
        catalog: Arc::new(Catalog::shipped()),
        process: 1,
        time_zone: LocalZone::UTC,
    })
}

pub(crate) fn message<'a>(topic: &'a str, payload: &'a [u8]) -> RawMessage<'a> {
    RawMessage {
        adapter: Adapter::MqttEndpoint,
        topic,
        payload,
        publisher: "gateway",
        content_type: "",
        packet_id: Some(7),
        is_redelivered: false,
        is_retained: false,
        is_will: false,
        received_at_us: RECEIVED_AT_US,
    }
}

/// What became of a message, owned. Checks on the way that every record is one envelope by both readers, and canonical.
pub(crate) struct Found {
    pub telemetry: Vec<proto::Telemetry>,
    pub rejected: Vec<(u32, Rejection)>,
    pub whole: Option<Rejection>,
}

impl Found {
    pub(crate) fn of(outcome: Outcome<'_>) -> Found {
        let decoded = match outcome {
            Outcome::Rejected(rejection) => {
                return Found { telemetry: Vec::new(), rejected: Vec::new(), whole: Some(rejection) };
            }
            Outcome::Decoded(decoded) => decoded,
        };
        let owned = |child: Child<'_>| {
            assert!(matches!(LogRecordView::parse(child.record), Ok(LogRecordView::Telemetry(_))));
            let record = proto::LogRecord::decode(child.record).unwrap();
            assert_eq!(record.encode_to_vec(), child.record, "canonical");
            let Some(Record::Telemetry(telemetry)) = record.record else { panic!("no telemetry") };
            assert_eq!(telemetry.device_id, child.device_id);
            telemetry
        };
        Found {
            telemetry: decoded.telemetry().map(owned).collect(),
            rejected: decoded.rejected().to_vec(),
            whole: None,
        }
    }

    /// The only child.
    pub(crate) fn one(self) -> proto::Telemetry {
        assert_eq!((self.whole, self.rejected), (None, Vec::new()));
        let [telemetry] = <[proto::Telemetry; 1]>::try_from(self.telemetry).unwrap();
        telemetry
    }

    /// The only rejection, of the whole or of the only child.
    pub(crate) fn rejection(self) -> Rejection {
        assert_eq!(self.telemetry, []);
        self.whole.or_else(|| self.rejected.into_iter().next().map(|(_, rejection)| rejection)).unwrap()
    }
}

pub(crate) fn found(payload: &[u8]) -> Found {
    Found::of(decoder().decode(&message(TOPIC, payload)))
}

pub(crate) fn check_rejected(payload: &[u8], reason: Reason, detail_has: &str) {
    let rejection = found(payload).rejection();
    assert_eq!(rejection.reason, reason, "{rejection}");
    assert!(rejection.detail.contains(detail_has), "{rejection} does not say {detail_has:?}");
}

/// Metric, value, unit and quality.
pub(crate) type Short = (String, Option<Value>, String, proto::Quality);

pub(crate) fn readings(telemetry: &proto::Telemetry) -> Vec<Short> {
    let short = |reading: &proto::Reading| {
        (reading.metric.clone(), reading.value.clone(), reading.unit.clone(), reading.quality())
    };
    telemetry.readings.iter().map(short).collect()
}

pub(crate) fn short(
    metric: &str,
    value: impl Into<Option<Value>>,
    unit: &str,
    quality: proto::Quality,
) -> Short {
    (metric.to_owned(), value.into(), unit.to_owned(), quality)
}
