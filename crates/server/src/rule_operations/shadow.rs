//! The running difference of shadow rules, read from the two topics of alerts since each pair is in force as it is.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::path::Path;

use log::{Log, Topic};
use model::Alert;
use rules::RuleSet;
use tracing::warn;

use super::RuleSetSpan;
use super::history::rule_set_spans;
use super::shadow_report::{
    Episodes, SHADOW_DIFFERENCES_MAX, ShadowPair, ShadowReport, compare, live_rule_of,
};
use crate::operations::{OperationError, TopicScan, scan};
use crate::rule_sets::RuleSets;
use crate::state_store::StateStore;

/// A shadow rule and its live rule, with the digests of what they mean.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pairing {
    shadow: (String, String),
    live: Option<(String, String)>,
}

/// Every pairing of a rule set.
fn pairings(set: &RuleSet) -> Vec<Pairing> {
    let named = |rule: &rules::Rule| (rule.id.clone(), rule.digest());
    let live = |id: &str| {
        let at = set.rules().binary_search_by(|rule| rule.id.as_str().cmp(id)).ok()?;
        Some(&set.rules()[at]).filter(|rule| !rule.meaning.shadow)
    };
    let shadows = set.rules().iter().filter(|rule| rule.meaning.shadow);
    let pairing = |shadow: &rules::Rule| Pairing {
        shadow: named(shadow),
        live: live_rule_of(&shadow.id, &shadow.labels).and_then(live).map(named),
    };
    shadows.map(pairing).collect()
}

/// How every shadow rule of the newest set differs from its live rule.
///
/// # Errors
/// The lake, the log or the store of rule sets cannot be read.
pub(super) fn shadow_report<L: Log>(log: &L, lake_root: &Path) -> Result<ShadowReport, OperationError> {
    let mut of_sets: HashMap<String, Vec<Pairing>> = HashMap::new();
    let mut newest = Vec::new();
    let sets = RuleSets::new(StateStore::new(lake_root));
    let read = sets.each(&mut |_, set| {
        newest = pairings(set);
        of_sets.insert(set.digest().to_owned(), newest.clone());
    });
    read.map_err(|error| OperationError::Failed(error.to_string()))?;
    if newest.is_empty() {
        return Ok(ShadowReport::default());
    }
    let mut spans = rule_set_spans(log, lake_root)?;
    spans.retain(|span| span.log_id == log.log_id().to_string());
    let mut report = ShadowReport::default();
    for pairing in &newest {
        report.pairs.push(ShadowPair {
            shadow_rule_id: pairing.shadow.0.clone(),
            live_rule_id: pairing.live.as_ref().map(|(id, _)| id.clone()),
            ..ShadowPair::default()
        });
    }
    for partition in 0..log.partitions() {
        let since =
            newest.iter().map(|pairing| since(&spans, partition, pairing, &of_sets)).collect::<Vec<_>>();
        compare_partition(log, partition, &since, &mut report)?;
    }
    let order = |one: &super::ShadowDifference| {
        let episode = one.shadow.as_ref().or(one.live.as_ref());
        (one.shadow_rule_id.clone(), one.device_id.clone(), episode.map(|episode| episode.raised_at.clone()))
    };
    report.differences.sort_by_cached_key(order);
    report.differences.truncate(SHADOW_DIFFERENCES_MAX);
    Ok(report)
}

/// The clock from which a pair is in force as it is now on a log partition.
fn since<'a>(
    spans: &'a [RuleSetSpan],
    partition: u32,
    pairing: &Pairing,
    of_sets: &HashMap<String, Vec<Pairing>>,
) -> Option<&'a str> {
    let holds =
        |span: &&RuleSetSpan| of_sets.get(&span.digest).is_some_and(|pairings| pairings.contains(pairing));
    let of_it = spans.iter().rev().filter(|span| span.log_partition == partition);
    of_it.take_while(holds).last().map(|span| span.from.as_str())
}

/// Of one pair, by device: what the live rule said, and the shadow rule.
type ByDevice = BTreeMap<String, (Episodes, Episodes)>;

fn compare_partition<L: Log>(
    log: &L,
    partition: u32,
    since: &[Option<&str>],
    report: &mut ShadowReport,
) -> Result<(), OperationError> {
    let mut by_pair: Vec<ByDevice> = since.iter().map(|_| ByDevice::new()).collect();
    for topic in [Topic::Alerts, Topic::AlertsShadow] {
        let is_live = topic == Topic::Alerts;
        let mut of_rule: HashMap<&str, Vec<usize>> = HashMap::new();
        for (at, pair) in report.pairs.iter().enumerate() {
            let rule_id =
                if is_live { pair.live_rule_id.as_deref() } else { Some(pair.shadow_rule_id.as_str()) };
            of_rule.entry(rule_id.unwrap_or_default()).or_default().push(at);
        }
        scan(log, &TopicScan::all(topic, partition), |record| {
            let alert: Alert = match serde_json::from_slice(record.value) {
                Ok(alert) => alert,
                Err(error) => {
                    warn!(topic = topic.name(), partition, offset = record.offset, %error, "not an alert");
                    return ControlFlow::Continue(());
                }
            };
            for at in of_rule.get(alert.rule_id.as_str()).into_iter().flatten() {
                let Some(since) = since[*at] else { continue };
                let (live, shadow) = by_pair[*at].entry(alert.device_id.clone()).or_default();
                (if is_live { live } else { shadow }).take(&alert, since);
            }
            ControlFlow::Continue(())
        })?;
    }
    for ((pair, since), by_device) in report.pairs.iter_mut().zip(since).zip(by_pair) {
        if let Some(since) = since {
            let earliest = pair.since.take().filter(|earliest| earliest.as_str() < *since);
            pair.since = Some(earliest.unwrap_or_else(|| (*since).to_owned()));
        }
        for (device_id, (live, shadow)) in by_device {
            report.differences.extend(compare(pair, &device_id, live, shadow));
        }
    }
    Ok(())
}
