//! From what a dialect found to what everybody means: canonical metric names and units, quality, which time is used.

use model::catalog::{Catalog, MetricInfo, MetricKind};
use model::clock_verdict::clock_verdict;
use model::proto::{ClockVerdict, Quality, TimeSource};
use model::registry::MetricMapping;
use model::unit;

use crate::draft::{DraftReading, DraftTime, DraftValue};

/// A reading as it goes into the log.
#[derive(Clone, Debug)]
pub(crate) struct NormalReading<'a> {
    pub metric: &'a str,
    pub value: NormalValue<'a>,
    /// UCUM; empty where the metric has none.
    pub unit: &'a str,
    pub quality: Quality,
    /// As sent; empty where it is `unit`.
    pub raw_unit: &'a str,
    pub times: Times,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum NormalValue<'a> {
    Number(f64),
    Integer(i64),
    Boolean(bool),
    Text(&'a str),
    None,
}

/// The time used and what the device claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Times {
    pub observed_at_us: i64,
    pub source: TimeSource,
    pub verdict: ClockVerdict,
    /// The claim, where `received_at` is used in its place.
    pub device_time_us: Option<i64>,
}

/// Every integer up to here is a double of its own.
const INTEGER_MAX: u64 = 1 << 53;

/// Claims beyond the years that RFC 3339 can write are kept as its last or first moment.
const TIME_US: std::ops::RangeInclusive<i64> = -62_135_596_800_000_000..=253_402_300_799_999_999;

impl Times {
    /// The time of a message or reading: the claim, unless there is none or it cannot be used.
    pub(crate) fn decide(claim: Option<DraftTime>, received_at_us: i64, is_historical: bool) -> Times {
        let verdict = clock_verdict(claim.map(|claim| claim.at_us), received_at_us, is_historical);
        match claim {
            Some(claim) if verdict == ClockVerdict::Ok => {
                Times { observed_at_us: claim.at_us, source: claim.source, verdict, device_time_us: None }
            }
            claim => Times {
                observed_at_us: received_at_us,
                source: TimeSource::Received,
                verdict,
                device_time_us: claim.map(|claim| claim.at_us.clamp(*TIME_US.start(), *TIME_US.end())),
            },
        }
    }
}

/// Normalizes one reading; `mapping` is what the device's model says of its name.
pub(crate) fn normalize<'a>(
    reading: &'a DraftReading<'a>,
    catalog: &'a Catalog,
    mapping: Option<&'a MetricMapping>,
    times: Times,
) -> NormalReading<'a> {
    let metric = mapping.map_or(&*reading.metric, |mapping| &mapping.metric);
    let info = catalog.find(metric);
    let kind = info.map(|info| info.kind);
    let (mut value, mut doubt) = value_of(&reading.value, kind);
    if let Some(mapping) = mapping {
        (value, doubt) = mapped(value, doubt, mapping);
    }
    let mut normal = NormalReading {
        metric: info.map_or(metric, |info| &info.name),
        value,
        unit: "",
        quality: reading.quality.unwrap_or(Quality::Good),
        raw_unit: "",
        times,
    };
    if let Some(doubt) = doubt
        && normal.quality == Quality::Good
    {
        normal.quality = doubt;
    }
    let unit =
        if reading.unit.is_empty() { mapping.map_or("", |mapping| &mapping.unit) } else { &reading.unit };
    convert(&mut normal, unit, info);
    if let Some(mapping) = mapping
        && normal.quality == Quality::Good
        && is_out_of_range(&normal.value, mapping)
    {
        normal.quality = Quality::OverRange;
    }
    normal
}

/// The value that a number means to a device of this model.
fn mapped<'a>(
    sent: NormalValue<'a>,
    doubt: Option<Quality>,
    mapping: &MetricMapping,
) -> (NormalValue<'a>, Option<Quality>) {
    let (number, is_exact) = match sent {
        NormalValue::Number(number) => (number, true),
        NormalValue::Integer(integer) => (integer as f64, integer.unsigned_abs() <= INTEGER_MAX),
        other => return (other, doubt),
    };
    if mapping.sentinels.contains(&number) {
        return (NormalValue::None, Some(Quality::Missing));
    }
    if mapping.scale == 1.0 && mapping.offset == 0.0 {
        return (sent, doubt);
    }
    let number = number * mapping.scale + mapping.offset;
    match number.is_finite() {
        true => (NormalValue::Number(number), doubt.or((!is_exact).then_some(Quality::Suspect))),
        false => (NormalValue::None, Some(Quality::Bad)),
    }
}

/// Beyond what the sensor can measure.
fn is_out_of_range(value: &NormalValue<'_>, mapping: &MetricMapping) -> bool {
    let number = match *value {
        NormalValue::Number(number) => number,
        NormalValue::Integer(integer) => integer as f64,
        _ => return false,
    };
    mapping.min.is_some_and(|min| number < min) || mapping.max.is_some_and(|max| number > max)
}

/// The value for a metric of this kind, and what is to be thought of it where it is not what it should be.
fn value_of<'a>(value: &'a DraftValue<'a>, kind: Option<MetricKind>) -> (NormalValue<'a>, Option<Quality>) {
    let number = |number: f64| match number.is_finite() {
        true => (NormalValue::Number(number), None),
        false => (NormalValue::None, Some(Quality::Bad)),
    };
    match (value, kind) {
        (DraftValue::None, _) => (NormalValue::None, Some(Quality::Missing)),
        (DraftValue::Unrepresentable(nearest), _) if nearest.is_finite() => {
            (NormalValue::Number(*nearest), Some(Quality::Suspect))
        }
        (DraftValue::Unrepresentable(_), _) => (NormalValue::None, Some(Quality::Bad)),
        (DraftValue::Integer(0 | 1), Some(MetricKind::Boolean)) => {
            (NormalValue::Boolean(*value == DraftValue::Integer(1)), None)
        }
        (DraftValue::Number(sent), None | Some(MetricKind::Number)) => number(*sent),
        (DraftValue::Number(sent), Some(_)) => (number(*sent).0, Some(Quality::Suspect)),
        (DraftValue::Integer(sent), kind) => {
            let is_odd = kind.is_some_and(|kind| kind != MetricKind::Number);
            (NormalValue::Integer(*sent), is_odd.then_some(Quality::Suspect))
        }
        (DraftValue::Boolean(sent), kind) => {
            let is_odd = kind.is_some_and(|kind| kind != MetricKind::Boolean);
            (NormalValue::Boolean(*sent), is_odd.then_some(Quality::Suspect))
        }
        (DraftValue::Text(sent), Some(MetricKind::Number)) => number_from_text(sent),
        (DraftValue::Text(sent), Some(MetricKind::Boolean)) => match &**sent {
            "true" | "1" | "on" | "ON" => (NormalValue::Boolean(true), None),
            "false" | "0" | "off" | "OFF" => (NormalValue::Boolean(false), None),
            _ => (NormalValue::Text(sent), Some(Quality::Suspect)),
        },
        (DraftValue::Text(sent), _) => (NormalValue::Text(sent), None),
    }
}

/// A text where a number belongs: a number is taken, a placeholder is no value, anything else stays a text.
fn number_from_text(sent: &str) -> (NormalValue<'_>, Option<Quality>) {
    const PLACEHOLDERS: [&str; 12] =
        ["", "NaN", "nan", "NAN", "null", "None", "N/A", "--", "-", "undefined", "Infinity", "-Infinity"];
    if PLACEHOLDERS.contains(&sent.trim()) {
        return (NormalValue::None, Some(Quality::Bad));
    }
    match sent.trim().parse::<f64>() {
        Ok(number) if number.is_finite() => match sent.trim().parse::<i64>() {
            Ok(integer) => (NormalValue::Integer(integer), None),
            Err(_) if is_digits(sent.trim()) => (NormalValue::Number(number), Some(Quality::Suspect)),
            Err(_) => (NormalValue::Number(number), None),
        },
        Ok(_) => (NormalValue::None, Some(Quality::Bad)),
        Err(_) => (NormalValue::Text(sent), Some(Quality::Suspect)),
    }
}

/// An integer: one that an i64 does not hold has lost digits as a double.
fn is_digits(text: &str) -> bool {
    text.trim_start_matches(['+', '-']).bytes().all(|byte| byte.is_ascii_digit())
}

/// Brings the value into the metric's unit. A unit that does not convert leaves value and unit as sent.
fn convert<'a>(normal: &mut NormalReading<'a>, sent: &'a str, info: Option<&MetricInfo>) {
    let canonical = info.and_then(|info| info.unit);
    if sent.is_empty() {
        normal.unit = canonical.map_or("", |unit| unit.code);
        return;
    }
    if canonical.is_some_and(|unit| unit.code == sent) {
        normal.unit = sent;
        return;
    }
    normal.raw_unit = sent;
    let Some(canonical) = canonical else { return };
    match unit::find(sent).and_then(|unit| unit::conversion(unit, canonical)) {
        Some(conversion) => {
            normal.unit = canonical.code;
            if !conversion.is_identity() {
                normal.value = match normal.value {
                    NormalValue::Number(number) => NormalValue::Number(conversion.apply(number)),
                    NormalValue::Integer(integer) => {
                        if integer.unsigned_abs() > INTEGER_MAX && normal.quality == Quality::Good {
                            normal.quality = Quality::Suspect;
                        }
                        NormalValue::Number(conversion.apply(integer as f64))
                    }
                    ref other => other.clone(),
                };
            }
        }
        None if normal.quality == Quality::Good => normal.quality = Quality::Suspect,
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    const TIMES: Times = Times {
        observed_at_us: 0,
        source: TimeSource::Received,
        verdict: ClockVerdict::None,
        device_time_us: None,
    };

    fn check(
        metric: &str,
        value: DraftValue<'_>,
        unit: &str,
        expected: (&str, NormalValue<'_>, &str, &str, Quality),
    ) {
        let catalog = Catalog::shipped();
        let mut reading = DraftReading::new(metric.to_owned(), value);
        reading.unit = Cow::Owned(unit.to_owned());
        let normal = normalize(&reading, &catalog, None, TIMES);
        assert_eq!(
            (normal.metric, normal.value, normal.unit, normal.raw_unit, normal.quality),
            expected,
            "{reading:?}"
        );
    }

    #[test]
    fn names_and_units_become_canonical() {
        use NormalValue::{Integer, Number};
        check(
            "water_level",
            DraftValue::Number(2.5),
            "",
            ("water_level", Number(2.5), "m", "", Quality::Good),
        );
        check(
            "waterLevel",
            DraftValue::Integer(250),
            "cm",
            ("water_level", Number(2.5), "m", "cm", Quality::Good),
        );
        check(
            "temp",
            DraftValue::Number(21.5),
            "℃",
            ("temperature", Number(21.5), "Cel", "℃", Quality::Good),
        );
        check("temp", DraftValue::Integer(21), "s", ("temperature", Integer(21), "", "s", Quality::Suspect));
        check("own_metric", DraftValue::Integer(7), "", ("own_metric", Integer(7), "", "", Quality::Good));
        check("own_metric", DraftValue::Integer(7), "m", ("own_metric", Integer(7), "", "m", Quality::Good));
    }

    #[test]
    fn values_that_are_none_are_said_to_be() {
        use NormalValue::{Boolean, Integer, None, Text};
        check(
            "temperature",
            DraftValue::Text("NaN".into()),
            "",
            ("temperature", None, "Cel", "", Quality::Bad),
        );
        check(
            "temperature",
            DraftValue::Number(f64::NAN),
            "",
            ("temperature", None, "Cel", "", Quality::Bad),
        );
        check("temperature", DraftValue::None, "", ("temperature", None, "Cel", "", Quality::Missing));
        check(
            "battery",
            DraftValue::Text("100".into()),
            "",
            ("battery_level", Integer(100), "%", "", Quality::Good),
        );
        check(
            "temperature",
            DraftValue::Text("warm".into()),
            "",
            ("temperature", Text("warm"), "Cel", "", Quality::Suspect),
        );
        check("cover_open", DraftValue::Integer(1), "", ("cover_open", Boolean(true), "", "", Quality::Good));
        check("x", DraftValue::Unrepresentable(f64::INFINITY), "", ("x", None, "", "", Quality::Bad));
    }

    #[test]
    fn what_a_model_says_of_a_name_is_applied() {
        let mapping = MetricMapping {
            metric: "water_level".to_owned(),
            unit: "mm".to_owned(),
            scale: 10.0,
            offset: -5.0,
            sentinels: vec![65_535.0],
            min: Some(0.0),
            max: Some(12.0),
        };
        let catalog = Catalog::shipped();
        let cases = [
            (DraftValue::Integer(100), "", NormalValue::Number(0.995), "mm", Quality::Good),
            (DraftValue::Number(0.1), "", NormalValue::Number(-0.004), "mm", Quality::OverRange),
            (DraftValue::Text("2000".into()), "cm", NormalValue::Number(199.95), "cm", Quality::OverRange),
            (DraftValue::Integer(65_535), "", NormalValue::None, "mm", Quality::Missing),
            (DraftValue::Boolean(true), "", NormalValue::Boolean(true), "mm", Quality::Suspect),
            (DraftValue::Number(1e308), "", NormalValue::None, "mm", Quality::Bad),
        ];
        for (value, unit, expected, raw_unit, quality) in cases {
            let mut reading = DraftReading::new("lvl", value);
            reading.unit = Cow::Borrowed(unit);
            let normal = normalize(&reading, &catalog, Some(&mapping), TIMES);
            assert_eq!(
                (normal.metric, normal.value, normal.unit, normal.raw_unit, normal.quality),
                ("water_level", expected, "m", raw_unit, quality),
                "{reading:?}"
            );
        }
    }

    #[test]
    fn a_bad_clock_is_kept_as_a_claim() {
        let received = 1_772_409_600_000_000;
        let of = |at_us| Times::decide(Some(DraftTime::of_device(at_us)), received, false);
        assert_eq!(of(received - 5).observed_at_us, received - 5);
        let future = of(i64::MAX);
        assert_eq!(
            (future.observed_at_us, future.source, future.verdict),
            (received, TimeSource::Received, ClockVerdict::Future)
        );
        assert_eq!(future.device_time_us, Some(*TIME_US.end()));
        assert_eq!(of(0).device_time_us, Some(0));
    }
}
