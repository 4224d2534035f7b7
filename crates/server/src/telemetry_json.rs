//! A telemetry record as JSON, for people: every field of the envelope under the name that the docs give it.

use model::proto::{Flag, TimeSource};
use model::{LogRecordView, ReadingView, TelemetryView, ValueView};
use serde_json::{Map, Value, json};

/// The envelope in a record of `telemetry.v1`; `None` for control records and what does not parse.
pub fn record_json(record: &[u8]) -> Option<Value> {
    match LogRecordView::parse(record) {
        Ok(LogRecordView::Telemetry(telemetry)) => Some(telemetry_json(&telemetry)),
        _ => None,
    }
}

fn telemetry_json(telemetry: &TelemetryView<'_>) -> Value {
    let source = telemetry.source();
    let mut out = Map::new();
    let mut put = |name: &str, value: Value| out.insert(name.to_owned(), value);
    put("event_id", hex(&telemetry.event_id).into());
    put("device_id", telemetry.device_id.into());
    put("asset_id", text(telemetry.asset_id));
    put("domain", telemetry.domain.into());
    put("kind", name_of(telemetry.kind.as_str_name(), "KIND_"));
    put("observed_at", time(telemetry.observed_at_us));
    put("observed_at_source", time_source(telemetry.observed_at_source));
    put("received_at", time(telemetry.received_at_us));
    put("device_time", telemetry.device_time_us.map_or(Value::Null, time));
    put("clock_verdict", name_of(telemetry.clock_verdict.as_str_name(), "CLOCK_VERDICT_"));
    put("sequence", telemetry.sequence.into());
    put("flags", flags(telemetry).into());
    put("redelivery_key", telemetry.redelivery_key.map_or(Value::Null, |key| hex(&key).into()));
    put("location", location(telemetry));
    put(
        "source",
        json!({
            "adapter": source.adapter,
            "protocol": source.protocol,
            "topic": source.topic,
            "gateway_id": text(source.gateway_id),
            "codec": source.codec,
            "codec_version": source.codec_version,
            "time_zone_assumed": source.is_time_zone_assumed,
        }),
    );
    put("readings", telemetry.readings().map(|reading| reading_json(telemetry, &reading)).collect());
    Value::Object(out)
}

fn reading_json(telemetry: &TelemetryView<'_>, reading: &ReadingView<'_>) -> Value {
    let value = match reading.value {
        ValueView::Number(number) => number.into(),
        ValueView::Integer(number) => number.into(),
        ValueView::Boolean(flag) => flag.into(),
        ValueView::Text(text) => text.into(),
        ValueView::None => Value::Null,
    };
    let mut out = json!({
        "metric": reading.metric,
        "value": value,
        "unit": text(reading.unit),
        "quality": name_of(reading.quality.as_str_name(), "QUALITY_"),
    });
    if !reading.raw_unit.is_empty() {
        out["raw_unit"] = reading.raw_unit.into();
    }
    if reading.time.is_some() {
        let own = telemetry.time_of(reading);
        out["observed_at"] = time(own.observed_at_us);
        out["observed_at_source"] = time_source(own.observed_at_source);
        out["clock_verdict"] = name_of(own.clock_verdict.as_str_name(), "CLOCK_VERDICT_");
        out["device_time"] = own.device_time_us.map_or(Value::Null, time);
    }
    out
}

fn flags(telemetry: &TelemetryView<'_>) -> Vec<Value> {
    const FLAGS: [Flag; 4] = [Flag::Retained, Flag::Historical, Flag::Simulated, Flag::Redelivered];
    let set = FLAGS.into_iter().filter(|flag| telemetry.has_flag(*flag));
    set.map(|flag| name_of(flag.as_str_name(), "FLAG_")).collect()
}

fn location(telemetry: &TelemetryView<'_>) -> Value {
    telemetry.location.map_or(Value::Null, |location| {
        json!({
            "latitude": location.latitude,
            "longitude": location.longitude,
            "origin": name_of(location.origin.as_str_name(), "LOCATION_ORIGIN_"),
        })
    })
}

/// `QUALITY_GOOD` is `good`.
fn name_of(name: &str, prefix: &str) -> Value {
    name.strip_prefix(prefix).unwrap_or(name).to_ascii_lowercase().into()
}

fn time_source(source: TimeSource) -> Value {
    name_of(source.as_str_name(), "TIME_SOURCE_")
}

fn time(us: i64) -> Value {
    model::time::format_rfc3339(us).into()
}

fn text(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { text.into() }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
