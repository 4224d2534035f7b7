//! `[models.NAME.metrics.SENT]`: which metric a name of a device is, and what its numbers mean.

use model::catalog::{self, Catalog};
use model::registry::MetricMapping;
use model::unit::{self, Unit};
use toml::Spanned;
use toml::de::{DeString, DeValue};

use crate::finding::Findings;
use crate::threshold;

const FORM: &str = "metric, unit, scale, offset, sentinels, min and max would do";

/// Most numbers of a device that say that there is no value.
pub const SENTINELS_MAX: usize = 16;

/// Reads what `sent` is; nothing where that cannot be used.
pub(crate) fn read(
    sent: &Spanned<DeString<'_>>,
    value: &Spanned<DeValue<'_>>,
    catalog: &Catalog,
    findings: &mut Findings,
) -> Option<MetricMapping> {
    let at = value.span().start;
    let Some(keys) = value.get_ref().as_table() else {
        findings.add(at, "a metric that is no table", FORM);
        return None;
    };
    let mut mapping = MetricMapping {
        metric: sent.get_ref().to_string(),
        unit: String::new(),
        scale: 1.0,
        offset: 0.0,
        sentinels: Vec::new(),
        min: None,
        max: None,
    };
    let mut range = Vec::new();
    for (key, value) in keys {
        match key.get_ref().as_ref() {
            "metric" => mapping.metric = words(key, value, findings)?.to_owned(),
            "unit" => mapping.unit = words(key, value, findings)?.to_owned(),
            "scale" => mapping.scale = number(value, findings)?,
            "offset" => mapping.offset = number(value, findings)?,
            "sentinels" => mapping.sentinels = numbers(value, findings)?,
            "min" | "max" => {
                range.push((key.get_ref() == "min", words(key, value, findings)?, value.span().start))
            }
            name => findings.add(key.span().start, format!("the unknown key {name}"), FORM),
        }
    }
    if let Err(error) = catalog::check_name(&mapping.metric) {
        findings.add(at, format!("the metric {:?}: {error}", mapping.metric), FORM);
        return None;
    }
    let of_metric = unit_of(&mut mapping, at, catalog, findings)?;
    for (is_min, text, at) in range {
        let limit = limit(text, of_metric, at, findings)?;
        *(if is_min { &mut mapping.min } else { &mut mapping.max }) = Some(limit);
    }
    if mapping.min.zip(mapping.max).is_some_and(|(min, max)| min > max) {
        findings.add(at, "a min above the max", "a range with something in it would do");
    }
    Some(mapping)
}

/// The unit in which the metric stands in the log: that of the catalog, else that of the mapping. The mapping gets the names
/// that the catalog knows.
fn unit_of(
    mapping: &mut MetricMapping,
    at: usize,
    catalog: &Catalog,
    findings: &mut Findings,
) -> Option<Option<&'static Unit>> {
    let info = catalog.find(&mapping.metric);
    if let Some(info) = info {
        info.name.clone_into(&mut mapping.metric);
    }
    let canonical = info.and_then(|info| info.unit);
    if mapping.unit.is_empty() {
        return Some(canonical);
    }
    let Some(given) = unit::find(&mapping.unit) else {
        let found = format!("the unit {:?}, which this version does not know", mapping.unit);
        findings.add(at, found, "a UCUM code would do, as in m, cm, Cel, %, ug/m3");
        return None;
    };
    given.code.clone_into(&mut mapping.unit);
    match (info, canonical) {
        (Some(info), Some(canonical)) if unit::conversion(given, canonical).is_none() => {
            let found = format!("the unit {}, which is none of {}", given.code, info.name);
            findings.add(at, found, format!("one that becomes {} would do", canonical.code));
            None
        }
        (Some(info), None) => {
            let found = format!("the unit {} of {}, which has none", given.code, info.name);
            findings.add(at, found, "no unit would do");
            None
        }
        (_, canonical) => Some(canonical.or(Some(given))),
    }
}

fn limit(text: &str, of_metric: Option<&'static Unit>, at: usize, findings: &mut Findings) -> Option<f64> {
    let limit = match threshold::parse(text) {
        Ok(limit) => limit,
        Err((found, help)) => {
            findings.add(at, found, help);
            return None;
        }
    };
    // Any unit serves a metric without one.
    let none = unit::find("1").expect("the unit one is in the table");
    let converted = match (of_metric, limit.unit.as_str()) {
        (None, "") => unit::convert_decimal(&limit.number, none, none),
        (Some(canonical), given) => {
            unit::find(given).and_then(|given| unit::convert_decimal(&limit.number, given, canonical))
        }
        (None, _) => None,
    };
    if converted.is_none() {
        let help = of_metric.map_or("a number without a unit would do".to_owned(), |unit| {
            format!("a number with a unit that becomes {} would do", unit.code)
        });
        findings.add(at, format!("the limit {text:?}"), help);
    }
    converted
}

fn words<'v>(
    key: &Spanned<DeString<'_>>,
    value: &'v Spanned<DeValue<'_>>,
    findings: &mut Findings,
) -> Option<&'v str> {
    let words = value.get_ref().as_str();
    if words.is_none() {
        let found = format!("{} that is {}", key.get_ref(), value.get_ref().type_str());
        findings.add(value.span().start, found, "a text would do");
    }
    words
}

fn number(value: &Spanned<DeValue<'_>>, findings: &mut Findings) -> Option<f64> {
    let number = match value.get_ref() {
        DeValue::Integer(integer) if integer.radix() == 10 => integer.as_str().parse::<f64>().ok(),
        DeValue::Float(float) => float.as_str().parse::<f64>().ok(),
        _ => None,
    };
    let number = number.filter(|number| number.is_finite());
    if number.is_none() {
        findings.add(
            value.span().start,
            format!("a number that is {}", value.get_ref().type_str()),
            "a decimal number would do",
        );
    }
    number
}

fn numbers(value: &Spanned<DeValue<'_>>, findings: &mut Findings) -> Option<Vec<f64>> {
    match value.get_ref().as_array() {
        Some(values) if values.len() <= SENTINELS_MAX => {
            values.iter().map(|value| number(value, findings)).collect()
        }
        _ => {
            let help = format!("a list of at most {SENTINELS_MAX} numbers would do");
            findings.add(value.span().start, "sentinels that are none", help);
            None
        }
    }
}
