//! Log records as tests make them: times in seconds from 2026-03-02T00:00:00Z.

use std::sync::Arc;

use model::proto::{self, log_record, reading::Value};
use model::{Alert, LogId, LogRecordView, Record};
use prost::Message;
use urban_neuron_rules::{Evaluator, EvaluatorConfig, RuleSet};

/// 2026-03-02T00:00:00Z.
pub(crate) const EPOCH_US: i64 = 1_772_409_600_000_000;

/// One reading of a message.
#[derive(Clone, Debug)]
pub(crate) struct TestReading {
    pub(crate) metric: String,
    pub(crate) value: Option<Value>,
    pub(crate) unit: String,
    pub(crate) observed_at_us: i64,
    pub(crate) quality: proto::Quality,
}

/// A record of the log.
#[derive(Clone, Debug)]
pub(crate) enum TestRecord {
    Telemetry {
        log_time_us: i64,
        device: String,
        event_id: [u8; 16],
        domain: String,
        /// Latitude, longitude.
        place: Option<(f64, f64)>,
        is_historical: bool,
        readings: Vec<TestReading>,
    },
    Tick {
        log_time_us: i64,
    },
    Heartbeat {
        log_time_us: i64,
    },
    RuleSet {
        log_time_us: i64,
        n: u64,
    },
}

impl TestRecord {
    pub(crate) fn log_time_us(&self) -> i64 {
        match self {
            TestRecord::Telemetry { log_time_us, .. }
            | TestRecord::Tick { log_time_us }
            | TestRecord::Heartbeat { log_time_us }
            | TestRecord::RuleSet { log_time_us, .. } => *log_time_us,
        }
    }

    fn encode(&self, sets: &RuleSets) -> Vec<u8> {
        let record = match self {
            TestRecord::Telemetry { device, event_id, domain, place, is_historical, readings, .. } => {
                let message = telemetry(device, *event_id, domain, readings);
                let location = place.map(|(latitude, longitude)| proto::Location {
                    latitude,
                    longitude,
                    ..Default::default()
                });
                let flags = if *is_historical { proto::Flag::Historical as u32 } else { 0 };
                log_record::Record::Telemetry(proto::Telemetry { location, flags, ..message })
            }
            TestRecord::Tick { .. } => log_record::Record::Tick(proto::Tick { instance: "00".into() }),
            TestRecord::Heartbeat { .. } => {
                log_record::Record::Heartbeat(proto::Heartbeat { instance: "00".into() })
            }
            TestRecord::RuleSet { n, .. } => {
                let digest = sets.0[*n as usize].digest().to_owned();
                log_record::Record::RuleSet(proto::RuleSet { n: *n, digest })
            }
        };
        proto::LogRecord { record: Some(record), ..Default::default() }.encode_to_vec()
    }
}

fn telemetry(device: &str, event_id: [u8; 16], domain: &str, readings: &[TestReading]) -> proto::Telemetry {
    let first_us = readings[0].observed_at_us;
    let reading = |reading: &TestReading| proto::Reading {
        metric: reading.metric.clone(),
        value: reading.value.clone(),
        unit: reading.unit.clone(),
        quality: reading.quality as i32,
        time: (reading.observed_at_us != first_us).then(|| proto::ReadingTime {
            observed_at_us: reading.observed_at_us,
            observed_at_source: proto::TimeSource::Device as i32,
            ..Default::default()
        }),
        ..Default::default()
    };
    proto::Telemetry {
        device_id: device.into(),
        event_id: event_id.to_vec(),
        observed_at_us: first_us,
        observed_at_source: proto::TimeSource::Device as i32,
        domain: domain.into(),
        readings: readings.iter().map(reading).collect(),
        ..Default::default()
    }
}

/// Rule sets by their number.
#[derive(Debug, Default)]
pub(crate) struct RuleSets(pub(crate) Vec<Arc<RuleSet>>);

impl RuleSets {
    /// As they come back from where they are stored.
    pub(crate) fn of(sets: &[RuleSet]) -> Self {
        let stored =
            |set: &RuleSet| Arc::new(RuleSet::from_bytes(set.bytes()).expect("a rule set reads back"));
        RuleSets(sets.iter().map(stored).collect())
    }
}

pub(crate) fn config() -> EvaluatorConfig {
    EvaluatorConfig { log_id: LogId([0xab; 16]), partition: 0, partitions: 1, tenant: "default".into() }
}

/// Takes a snapshot, restores it, and checks that the restored evaluator gives the same snapshot.
pub(crate) fn restart(evaluator: &Evaluator, sets: &RuleSets) -> Evaluator {
    let snapshot = evaluator.snapshot();
    let restored = Evaluator::restore(config(), &snapshot, |n, _| {
        sets.0.get(n as usize).cloned().ok_or("no such rule set")
    });
    let restored = restored.expect("a snapshot restores");
    assert!(restored.snapshot() == snapshot, "a restored evaluator gives another snapshot");
    restored
}

/// Applies one record at an offset.
pub(crate) fn apply(
    evaluator: &mut Evaluator,
    offset: i64,
    record: &TestRecord,
    sets: &RuleSets,
    out: &mut Vec<Alert>,
) {
    let bytes = record.encode(sets);
    let view = LogRecordView::parse(&bytes).expect("a test record parses");
    let record = Record::new(offset, record.log_time_us(), b"", &bytes);
    match &view {
        LogRecordView::RuleSet { n, .. } => {
            evaluator.apply_rule_set(&record, *n, sets.0[*n as usize].clone(), out)
        }
        view => evaluator.apply(&record, view, out),
    }
}
