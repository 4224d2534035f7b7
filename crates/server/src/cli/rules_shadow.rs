//! `rules shadow`: what rules that are tried out say beside the live ones.

use std::collections::BTreeMap;

use clap::Args;

use super::output::{OutputArgs, print_json, print_line};
use super::{ConfigArgs, Failure, deployment};
use crate::backtest::Episode;
use crate::rule_operations::{SHADOW_DIFFERENCES_MAX, ShadowDifference, ShadowReport};

#[derive(Args, Debug)]
pub(super) struct RulesShadowArgs {
    #[command(flatten)]
    config: ConfigArgs,

    #[command(flatten)]
    output: OutputArgs,
}

impl RulesShadowArgs {
    pub(super) fn run(self, environment: &BTreeMap<String, String>) -> Result<(), Failure> {
        let config = self.config.load(environment)?;
        let report = deployment::rule_operations(&config)?.shadow_report()?;
        if self.output.is_json() {
            return print_json(&report);
        }
        report.differences.iter().try_for_each(|one| print_line(&line_of(one)))?;
        if report.differences.len() == SHADOW_DIFFERENCES_MAX {
            print_line(&format!("... only the first {SHADOW_DIFFERENCES_MAX} are listed"))?;
        }
        print_pairs(&report)
    }
}

fn line_of(difference: &ShadowDifference) -> String {
    let ShadowDifference { shadow_rule_id, device_id, live, shadow, .. } = difference;
    let span = |episode: &Option<Episode>| episode.as_ref().map_or(String::new(), Episode::span);
    let (what, times) = match (live, shadow) {
        (Some(_), Some(_)) => {
            let by =
                |seconds: Option<f64>| seconds.map_or("-".to_owned(), |seconds| format!("{seconds:+} s"));
            let (raised, resolved) = (difference.raised_later_seconds, difference.resolved_later_seconds);
            let moved = format!("raised {}, resolved {}", by(raised), by(resolved));
            ("moved", format!("{} -> {}  {moved}", span(live), span(shadow)))
        }
        (Some(_), None) => ("only live", span(live)),
        (None, _) => ("only shadow", span(shadow)),
    };
    format!("{what:<11} {shadow_rule_id:<28} {device_id:<24} {times}")
}

fn print_pairs(report: &ShadowReport) -> Result<(), Failure> {
    print_line(&format!(
        "{:<28} {:<28} {:<27} {:>9} {:>11} {:>6} {:>6}",
        "shadow rule", "live rule", "since", "only live", "only shadow", "same", "moved"
    ))?;
    for pair in &report.pairs {
        print_line(&format!(
            "{:<28} {:<28} {:<27} {:>9} {:>11} {:>6} {:>6}",
            pair.shadow_rule_id,
            pair.live_rule_id.as_deref().unwrap_or("-"),
            pair.since.as_deref().unwrap_or("-"),
            pair.only_live,
            pair.only_shadow,
            pair.same,
            pair.moved,
        ))?;
    }
    Ok(())
}
