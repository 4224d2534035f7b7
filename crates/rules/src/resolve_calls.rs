//! Operands with arguments: windows, thresholds of the registry, and zones.

use std::ops::Range;

use model::registry::Registry;

use crate::condition::Operand;
use crate::condition_syntax::{self as syntax, OperandKind};
use crate::diagnostic::Finding;
use crate::duration::{self, SPAN_DAYS_MAX};
use crate::resolve::{MetricKind, OperandType, Resolver};
use crate::rule::Threshold;
use crate::window_function::{Window, WindowFunction};

impl Resolver<'_, '_> {
    /// `avg(m, 5m)` and its like.
    pub(crate) fn window(&mut self, operand: &syntax::Operand) -> Option<Window> {
        let OperandKind::Call { function: name, arguments } = &operand.kind else {
            return None;
        };
        let Some(function) = WindowFunction::ALL.into_iter().find(|function| function.name() == name) else {
            let help = "a metric, threshold() or one of avg, min, max, sum, count, stddev, delta, rate, increase \
                        would do here";
            return self.refuse(&operand.span, format!("the unknown function {name}()"), help);
        };
        let [
            syntax::Operand { kind: OperandKind::Metric(metric), span: metric_span },
            syntax::Operand { kind: OperandKind::Number { decimal, unit: Some(unit) }, span },
        ] = arguments.as_slice()
        else {
            let help = format!("a metric and a span would do: {name}(water_level, 5m)");
            return self.refuse(&operand.span, format!("{name}() of other arguments"), help);
        };
        let written = format!("{decimal}{unit}");
        let Some(span_us) = duration::parse_us(&written).filter(|span_us| *span_us > 0) else {
            let help = format!("a span of 1ms to {SPAN_DAYS_MAX}d would do: {name}({metric}, 5m)");
            return self.refuse(span, format!("{name}() over {written}"), help);
        };
        let kind = self.type_of_metric(metric).kind.unwrap_or(MetricKind::Number);
        if kind != MetricKind::Number && function != WindowFunction::Count {
            let found = format!("{name}() of a metric whose values are {}", kind.noun());
            return self.refuse(&operand.span, found, "count() takes every metric");
        }
        Some(Window { function, metric: self.metric(metric, metric_span)?, span_us })
    }

    /// `threshold('level_high', 2.5 m)`.
    pub(crate) fn threshold(
        &mut self,
        operand: &syntax::Operand,
        arguments: &[syntax::Operand],
        subject: &OperandType,
    ) -> Option<Operand> {
        let [
            syntax::Operand { kind: OperandKind::Text(name), .. },
            syntax::Operand { kind: OperandKind::Number { decimal, unit }, span },
        ] = arguments
        else {
            let help = "a name and a default would do: threshold('level_high', 2.5 m)";
            return self.refuse(&operand.span, "threshold() of other arguments", help);
        };
        self.of_kind(operand, subject, MetricKind::Number)?;
        let default = self.limit(decimal, unit.as_deref(), span, subject)?;
        let threshold =
            Threshold { name: name.clone(), default, unit: subject.unit.clone(), form: subject.form };
        self.check_registry(&threshold, &operand.span)?;
        let known = self.thresholds.iter().position(|known| *known == threshold);
        Some(Operand::Threshold(known.unwrap_or_else(|| {
            self.thresholds.push(threshold);
            self.thresholds.len() - 1
        })))
    }

    /// Every value that the registry has of a threshold converts.
    fn check_registry(&mut self, threshold: &Threshold, span: &Range<usize>) -> Option<()> {
        if !self.around.checked.insert(threshold.key()) {
            return Some(());
        }
        let Registry { devices, models, .. } = self.around.registry;
        let of_devices = devices.iter().map(|(id, device)| ("device", id, &device.thresholds));
        let of_models = models.iter().map(|(id, model)| ("model", id, &model.thresholds));
        let mut findings = Vec::new();
        for (kind, id, thresholds) in of_models.chain(of_devices) {
            let Some(written) = thresholds.get(&threshold.name) else {
                continue;
            };
            if let Err(finding) = threshold.convert(self.around.catalog, written, span) {
                let found = format!("the threshold {} of the {kind} {id}: {}", threshold.name, finding.found);
                findings.push(Finding { found, ..finding });
            }
        }
        let is_good = findings.is_empty();
        self.errors.extend(findings);
        is_good.then_some(())
    }

    pub(crate) fn zone(&mut self, operand: &syntax::Operand) -> Option<usize> {
        let name = match &operand.kind {
            OperandKind::Call { function, arguments } if function == "zone" => match arguments.as_slice() {
                [syntax::Operand { kind: OperandKind::Text(name), .. }] => Some(name),
                _ => None,
            },
            _ => None,
        };
        let Some(name) = name else {
            return self.refuse(
                &operand.span,
                "what is no zone",
                "write for example inside zone('old town')",
            );
        };
        if !self.around.registry.zones.contains_key(name) {
            let known: Vec<&str> = self.around.registry.zones.keys().take(8).map(String::as_str).collect();
            let help = if known.is_empty() {
                "the registry has no zones: add it to the registry's zones".to_owned()
            } else {
                format!("a zone of the registry would do, such as {}", known.join(", "))
            };
            return self.refuse(
                &operand.span,
                format!("the zone '{name}', which the registry does not have"),
                help,
            );
        }
        if let Some(zone) = self.zones.iter().position(|known| known == name) {
            return Some(zone);
        }
        self.zones.push(name.clone());
        Some(self.zones.len() - 1)
    }
}
