//! Records of a made-up city, from a seed, and the rows that they must become by the plain meaning of the design.

use std::collections::HashMap;

use model::proto::{self, ClockVerdict, Flag, Kind, LocationOrigin, TimeSource};
use model::{LogId, RecordBatch, RecordBatchBuilder};
use prost::Message;

pub(crate) const LOG_ID: LogId = LogId([0x5a; 16]);
pub(crate) const PARTITION: u32 = 3;

/// 2026-11-23T20:00:00Z: a few hours of readings reach over midnight.
const START_US: i64 = 1_795_464_000_000_000;

/// Small random numbers, the same for a seed everywhere.
pub(crate) struct Dice(pub u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.roll(choices.len() as u64) as usize]
    }

    fn maybe<T>(&mut self, one_in: u64, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.roll(one_in) == 0).then(|| make(self))
    }
}

/// One record as it stands in the log.
#[derive(Clone, Debug)]
pub(crate) struct CityRecord {
    pub offset: i64,
    pub log_time_us: i64,
    pub value: Vec<u8>,
}

/// A row of either table, each column in the text of [`crate::table`].
pub(crate) type Row = Vec<String>;

/// What must be in the lake after all records.
#[derive(Default)]
pub(crate) struct Expected {
    pub telemetry: Vec<(String, Row)>,
    pub control: Vec<(String, Row)>,
    pub repeats: u64,
    pub undecodable: Vec<i64>,
}

/// `count` records from `first`; offsets now and then leave a hole, as Kafka's do.
pub(crate) fn records(seed: u64, first: i64, count: usize) -> Vec<CityRecord> {
    let mut dice = Dice(seed);
    let mut offset = first;
    let mut log_time_us = START_US;
    let mut told: Vec<proto::Telemetry> = Vec::new();
    let mut records = Vec::new();
    for _ in 0..count {
        offset += 1 + i64::from(dice.roll(40) == 0);
        log_time_us += dice.roll(2_000_000) as i64 - 200_000;
        let value = match dice.roll(30) {
            0 => vec![0xff; dice.roll(20) as usize],
            1 => control(&mut dice),
            2..=4 if !told.is_empty() => {
                let again = told[dice.roll(told.len() as u64) as usize].clone();
                log_record(proto::log_record::Record::Telemetry(again))
            }
            _ => {
                let telemetry = telemetry(&mut dice, offset);
                told.push(telemetry.clone());
                log_record(proto::log_record::Record::Telemetry(telemetry))
            }
        };
        records.push(CityRecord { offset: offset - 1, log_time_us, value });
    }
    records
}

pub(crate) fn log_record(record: proto::log_record::Record) -> Vec<u8> {
    proto::LogRecord { record: Some(record), ..Default::default() }.encode_to_vec()
}

fn control(dice: &mut Dice) -> Vec<u8> {
    use proto::log_record::Record;
    let instance = format!("{:04x}", dice.roll(3));
    match dice.roll(3) {
        0 => log_record(Record::Tick(proto::Tick { instance })),
        1 => log_record(Record::Heartbeat(proto::Heartbeat { instance })),
        _ => log_record(Record::RuleSet(proto::RuleSet { n: 7, digest: "d".repeat(64) })),
    }
}

/// A message of one of a few devices; its event id is that of its offset.
pub(crate) fn telemetry(dice: &mut Dice, offset: i64) -> proto::Telemetry {
    let device = dice.roll(12);
    let observed_at_us = START_US + dice.roll(6 * 3600) as i64 * 1_000_000;
    let mut event_id = vec![0xe0; 8];
    event_id.extend(offset.to_be_bytes());
    proto::Telemetry {
        device_id: format!("井-{device}"),
        event_id,
        observed_at_us,
        received_at_us: observed_at_us + 1_234,
        kind: dice.pick(&[Kind::Telemetry, Kind::Event, Kind::Status, Kind::Unspecified]) as i32,
        clock_verdict: dice.pick(&[ClockVerdict::Ok, ClockVerdict::None, ClockVerdict::Future]) as i32,
        observed_at_source: dice.pick(&[TimeSource::Device, TimeSource::Received]) as i32,
        domain: dice.pick(&["water", "drainage", ""]).to_owned(),
        asset_id: dice.pick(&["", "asset-1"]).to_owned(),
        sequence: dice.maybe(2, |dice| dice.roll(1000) as i64 - 500),
        flags: dice.roll(16) as u32,
        device_time_us: dice.maybe(4, |dice| dice.roll(1 << 40) as i64),
        redelivery_key: Vec::new(),
        location: dice.maybe(2, |dice| proto::Location {
            latitude: dice.pick(&[30.5, -12.25, f64::NAN]),
            longitude: dice.pick(&[114.25, f64::INFINITY]),
            origin: LocationOrigin::Registry as i32,
        }),
        source: dice.maybe(2, |dice| proto::Source {
            protocol: dice.pick(&["mqtt", "coap", ""]).to_owned(),
            gateway_id: dice.pick(&["", "gw-1"]).to_owned(),
            topic: "t/1".to_owned(),
            ..Default::default()
        }),
        readings: (0..1 + dice.roll(3)).map(|_| reading(dice, observed_at_us)).collect(),
    }
}

fn reading(dice: &mut Dice, observed_at_us: i64) -> proto::Reading {
    use proto::reading::Value;
    let value = match dice.roll(8) {
        0 => None,
        1 => Some(Value::Text(dice.pick(&["open", "关", ""]).to_owned())),
        2 => Some(Value::Boolean(dice.roll(2) == 0)),
        3 => Some(Value::Integer(dice.pick(&[
            0,
            -7,
            1 << 53,
            (1 << 53) + 1,
            i64::MAX,
            i64::MIN,
            i64::MIN + 1,
        ]))),
        4 => Some(Value::Number(dice.pick(&[
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            -0.0,
            1e300,
            f64::MIN_POSITIVE,
        ]))),
        _ => Some(Value::Number(dice.roll(100) as f64 / 4.0)),
    };
    proto::Reading {
        metric: dice.pick(&["water_level", "flow", "status"]).to_owned(),
        value,
        unit: dice.pick(&["m", ""]).to_owned(),
        raw_unit: dice.pick(&["", "cm"]).to_owned(),
        quality: dice.roll(11) as i32,
        time: dice.maybe(5, |dice| proto::ReadingTime {
            observed_at_us: observed_at_us - dice.roll(48 * 3600) as i64 * 1_000_000,
            observed_at_source: TimeSource::Gateway as i32,
            clock_verdict: ClockVerdict::Implausible as i32,
            device_time_us: dice.maybe(2, |_| -5),
        }),
    }
}

/// Batches of `size` records; the last reaches to `next`.
pub(crate) fn batches(records: &[CityRecord], size: usize) -> Vec<RecordBatch> {
    let mut batches = Vec::new();
    for chunk in records.chunks(size) {
        let mut builder = RecordBatchBuilder::default();
        for record in chunk {
            builder.push(record.offset, record.log_time_us, b"key", Some(&record.value), &[]);
        }
        batches.push(builder.finish(PARTITION, chunk[chunk.len() - 1].offset + 1));
    }
    batches
}

/// The rows that `records` must become, record by record.
pub(crate) fn expected(records: &[CityRecord]) -> Expected {
    let mut expected = Expected::default();
    let mut clock_us = 0;
    let mut told: HashMap<Vec<u8>, ()> = HashMap::new();
    for record in records {
        clock_us = clock_us.max(record.log_time_us);
        use proto::log_record::Record;
        let control_row = |kind: &str, instance: &str, digest: &str| -> Row {
            let text = |text: &str| if text.is_empty() { "null".to_owned() } else { text.to_owned() };
            vec![
                LOG_ID.to_string(),
                PARTITION.to_string(),
                record.offset.to_string(),
                clock_us.to_string(),
                kind.to_owned(),
                text(instance),
                text(digest),
            ]
        };
        let decoded = proto::LogRecord::decode(record.value.as_slice()).ok().and_then(|record| record.record);
        let row = match decoded {
            None => {
                expected.undecodable.push(record.offset);
                continue;
            }
            Some(Record::Telemetry(telemetry)) => {
                if told.insert(telemetry.event_id.clone(), ()).is_some() {
                    expected.repeats += 1;
                } else {
                    let rows = telemetry.readings.iter().enumerate();
                    expected.telemetry.extend(rows.map(|(index, reading)| {
                        (
                            partition_of(&telemetry, reading),
                            row_of(record, clock_us, &telemetry, index, reading),
                        )
                    }));
                }
                continue;
            }
            Some(Record::Tick(tick)) => control_row("tick", &tick.instance, ""),
            Some(Record::Heartbeat(heartbeat)) => control_row("heartbeat", &heartbeat.instance, ""),
            Some(Record::RuleSet(rule_set)) => control_row("rule_set", "", &rule_set.digest),
        };
        expected.control.push((format!("control/date={}", date_of(clock_us)), row));
    }
    expected
}

fn observed_at(telemetry: &proto::Telemetry, reading: &proto::Reading) -> i64 {
    reading.time.map_or(telemetry.observed_at_us, |time| time.observed_at_us)
}

fn partition_of(telemetry: &proto::Telemetry, reading: &proto::Reading) -> String {
    let domain = if telemetry.domain.is_empty() { "unknown" } else { &telemetry.domain };
    format!("telemetry/domain={domain}/date={}", date_of(observed_at(telemetry, reading)))
}

/// The few days that the city knows.
fn date_of(time_us: i64) -> &'static str {
    const DAY_US: i64 = 86_400_000_000;
    match (time_us - (START_US - 20 * 3_600_000_000)).div_euclid(DAY_US) {
        -2 => "2026-11-21",
        -1 => "2026-11-22",
        0 => "2026-11-23",
        1 => "2026-11-24",
        day => panic!("day {day} is not of this city"),
    }
}

fn row_of(
    record: &CityRecord,
    clock_us: i64,
    telemetry: &proto::Telemetry,
    index: usize,
    reading: &proto::Reading,
) -> Row {
    use proto::reading::Value;
    let or_null = |text: &str| if text.is_empty() { "null".to_owned() } else { text.to_owned() };
    let double = |value: f64| if value.is_finite() { format!("{value:?}") } else { "null".to_owned() };
    let some = |value: Option<i64>| value.map_or("null".to_owned(), |value| value.to_string());
    let (value, text) = match &reading.value {
        None => ("null".to_owned(), "null".to_owned()),
        Some(Value::Number(number)) => (double(*number), "null".to_owned()),
        Some(Value::Boolean(value)) => (double(f64::from(*value)), value.to_string()),
        Some(Value::Text(text)) => ("null".to_owned(), text.clone()),
        Some(Value::Integer(integer)) => {
            let is_exact = (*integer as f64) as i128 == i128::from(*integer);
            (double(*integer as f64), if is_exact { "null".to_owned() } else { integer.to_string() })
        }
    };
    let time = reading.time.unwrap_or(proto::ReadingTime {
        observed_at_us: telemetry.observed_at_us,
        observed_at_source: telemetry.observed_at_source,
        clock_verdict: telemetry.clock_verdict,
        device_time_us: telemetry.device_time_us,
    });
    let mut flags: Vec<&str> = [
        (Flag::Retained, "retained"),
        (Flag::Historical, "historical"),
        (Flag::Simulated, "simulated"),
        (Flag::Redelivered, "redelivered"),
    ]
    .into_iter()
    .filter(|(flag, _)| telemetry.flags & *flag as u32 != 0)
    .map(|(_, name)| name)
    .collect();
    flags.sort_unstable();
    let enum_name = |name: &str, prefix: &str| {
        let name = name.strip_prefix(prefix).unwrap().to_lowercase();
        if name == "unspecified" { "null".to_owned() } else { name }
    };
    let source = telemetry.source.clone().unwrap_or_default();
    vec![
        "default".to_owned(),
        telemetry.device_id.clone(),
        or_null(&telemetry.asset_id),
        reading.metric.clone(),
        value,
        text,
        or_null(&reading.unit),
        or_null(&reading.raw_unit),
        enum_name(reading.quality().as_str_name(), "QUALITY_"),
        time.observed_at_us.to_string(),
        enum_name(time.observed_at_source().as_str_name(), "TIME_SOURCE_"),
        enum_name(time.clock_verdict().as_str_name(), "CLOCK_VERDICT_"),
        some(time.device_time_us),
        telemetry.received_at_us.to_string(),
        clock_us.to_string(),
        enum_name(telemetry.kind().as_str_name(), "KIND_"),
        flags.join(","),
        some(telemetry.sequence),
        telemetry.location.map_or("null".to_owned(), |at| double(at.latitude)),
        telemetry.location.map_or("null".to_owned(), |at| double(at.longitude)),
        or_null(&source.protocol),
        or_null(&source.gateway_id),
        telemetry.event_id.iter().map(|byte| format!("{byte:02x}")).collect(),
        LOG_ID.to_string(),
        PARTITION.to_string(),
        record.offset.to_string(),
        index.to_string(),
    ]
}
