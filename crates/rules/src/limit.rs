//! Limits: decimal text with a unit, converted to the unit of what it is compared with, exactly and rounded once.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::diagnostic::Finding;
use crate::resolve::MetricCatalog;

/// What a limit is a limit of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LimitForm {
    Value,
    /// Converts without the zero point of the unit.
    Difference,
    /// A difference in a second: `0.5 m/h` of a metric in m. A unit without a time is in a second.
    Rate,
}

/// Units of time that a rate may be in.
const PER: [&str; 4] = ["s", "min", "h", "d"];

/// A limit as written: decimal text and its unit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WrittenLimit<'a> {
    pub(crate) decimal: &'a str,
    pub(crate) unit: Option<&'a str>,
}

impl WrittenLimit<'_> {
    /// The limit in the unit of the metric, which is `None` where it has none.
    pub(crate) fn convert(
        self,
        catalog: &dyn MetricCatalog,
        metric_unit: Option<&str>,
        form: LimitForm,
        span: &Range<usize>,
    ) -> Result<f64, Finding> {
        let WrittenLimit { decimal, .. } = self;
        let unit = self.unit.map(|unit| match unit {
            "degF" => "[degF]",
            "ppm" => "[ppm]",
            other => other,
        });
        let refuse = |found: String, help: String| Err(Finding::new(span.clone(), found, help));
        let value = match (unit, metric_unit) {
            (None, None) => decimal.parse().ok(),
            (Some(unit), None)
                if form == LimitForm::Rate && unit.trim_start_matches('1').starts_with('/') =>
            {
                in_a_second(catalog, decimal, &format!("1{}", unit.trim_start_matches('1')), "1")
            }
            (Some(unit), None) => {
                let help = format!("write {decimal}, or name a metric of the catalog that has a unit");
                return refuse(format!("{decimal} {unit} against a metric without a unit"), help);
            }
            (None, Some(metric_unit)) => {
                let help =
                    format!("the metric is in {metric_unit}: write for example {decimal} {metric_unit}");
                return refuse(format!("{decimal} without a unit"), help);
            }
            (Some(unit), Some(metric_unit)) => {
                let value = match form {
                    LimitForm::Value => catalog.convert(decimal, unit, metric_unit),
                    LimitForm::Difference => catalog.convert_difference(decimal, unit, metric_unit, None),
                    LimitForm::Rate => catalog
                        .convert_difference(decimal, unit, metric_unit, None)
                        .or_else(|| in_a_second(catalog, decimal, unit, metric_unit)),
                };
                if value.is_none() {
                    let help = format!("a limit in {metric_unit} or a unit of the same kind would do");
                    return refuse(
                        format!("{decimal} {unit}, which does not convert to {metric_unit}"),
                        help,
                    );
                }
                value
            }
        };
        match value.filter(|value: &f64| value.is_finite()) {
            // Zero has one meaning; its sign would only show in the text.
            Some(value) => Ok(value + 0.0),
            None => {
                refuse(format!("{decimal}, which no double holds"), "a smaller number would do".to_owned())
            }
        }
    }
}

fn in_a_second(catalog: &dyn MetricCatalog, decimal: &str, unit: &str, metric_unit: &str) -> Option<f64> {
    let (unit, per) = unit.rsplit_once('/')?;
    let per = PER.into_iter().find(|known| *known == per)?;
    catalog.convert_difference(decimal, unit, metric_unit, Some(per))
}

/// The unit that a limit of this form is said in.
pub(crate) fn unit_text(metric_unit: Option<&str>, form: LimitForm) -> Option<String> {
    match (metric_unit, form) {
        (unit, LimitForm::Value | LimitForm::Difference) => unit.map(str::to_owned),
        (unit, LimitForm::Rate) => Some(format!("{}/s", unit.unwrap_or_default())),
    }
}
