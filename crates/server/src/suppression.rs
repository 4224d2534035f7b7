//! The stage behind the evaluator: which alerts are the consequence of others, and which gateways are silent. Pure: alerts of
//! all log partitions in, marks and alerts of gateways out. It marks and hides nothing.
//!
//! It looks at what fires, never at how that came about, so a restart that hears what fires now decides the same.

use std::collections::{BTreeMap, HashMap};

use model::{Alert, AlertEvent, AlertState, Severity};
use rules::{GATEWAY_OUTAGE, RuleSet};
use sha2::{Digest, Sha256};

/// Fewest registered devices of a gateway whose silence is the gateway's.
pub const OUTAGE_DEVICES_MIN: usize = 2;

/// What fires, over all log partitions.
#[derive(Default)]
pub struct Suppression {
    /// By alert id.
    firing: BTreeMap<String, Firing>,
    /// Marks that were asked for and not heard of yet, by alert id.
    asked: HashMap<String, Option<String>>,
    /// By device, when its last dead-man alert was resolved; of the devices of gateways that are out.
    spoke_at: BTreeMap<String, String>,
}

struct Firing {
    partition: u32,
    alert: Alert,
}

/// What is to be done.
#[derive(Debug, Default, PartialEq)]
pub struct Decision {
    pub marks: Vec<Mark>,
    /// Events of gateways' outages, in order.
    pub outages: Vec<Alert>,
}

/// A mark on an alert that fires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    pub partition: u32,
    pub alert_id: String,
    /// The alert that explains it; none any more where it is missing.
    pub suppressed_by: Option<String>,
}

impl Suppression {
    /// Some alert could explain another under these rules.
    pub fn is_of_use(set: &RuleSet) -> bool {
        let has_gateways =
            || set.devices_of_gateways().values().any(|devices| devices.len() >= OUTAGE_DEVICES_MIN);
        !set.inhibitions().is_empty() || !dead_men(set).is_empty() && has_gateways()
    }

    /// Takes the state of an alert, or an event of it.
    pub fn hear(&mut self, partition: u32, mut alert: Alert) {
        if alert.state == AlertState::Resolved {
            self.asked.remove(&alert.alert_id);
            self.firing.remove(&alert.alert_id);
            self.spoke_at.insert(alert.device_id, alert.resolved_at.unwrap_or(alert.said_at));
            return;
        }
        if self.asked.get(&alert.alert_id).is_some_and(|asked| *asked == alert.suppressed_by) {
            self.asked.remove(&alert.alert_id);
        }
        // What nothing here asks for is most of it.
        alert.evidence.clear();
        self.firing.insert(alert.alert_id.clone(), Firing { partition, alert });
    }

    /// What is to be done for the rules of `set`; `now` is RFC 3339.
    pub fn decide(&mut self, set: &RuleSet, now: &str) -> Decision {
        let outages = self.outages(set, now);
        let wanted = self.explained(set);
        let mut marks = Vec::new();
        for (alert_id, Firing { partition, alert }) in &self.firing {
            let suppressed_by = wanted.get(alert_id).cloned();
            // What was asked for last is what it comes to.
            if *self.asked.get(alert_id).unwrap_or(&alert.suppressed_by) != suppressed_by {
                self.asked.insert(alert_id.clone(), suppressed_by.clone());
                marks.push(Mark { partition: *partition, alert_id: alert_id.clone(), suppressed_by });
            }
        }
        Decision { marks, outages }
    }

    /// Raises and resolves what gateways have to say.
    fn outages(&mut self, set: &RuleSet, now: &str) -> Vec<Alert> {
        let gateways = set.devices_of_gateways();
        let dead_men = dead_men(set);
        let mut silent: HashMap<&str, &Alert> = HashMap::new();
        let mut out: BTreeMap<String, Alert> = BTreeMap::new();
        for Firing { alert, .. } in self.firing.values() {
            if alert.rule_id == GATEWAY_OUTAGE {
                out.insert(alert.device_id.clone(), alert.clone());
            } else if dead_men.contains(&alert.rule_id.as_str()) {
                let first = silent.entry(&alert.device_id).or_insert(alert);
                if order(alert) < order(first) {
                    *first = alert;
                }
            }
        }
        let mut events = Vec::new();
        for (gateway, devices) in &gateways {
            let silent: Vec<&Alert> =
                devices.iter().filter_map(|device| silent.get(device).copied()).collect();
            let is_out = devices.len() >= OUTAGE_DEVICES_MIN && silent.len() == devices.len();
            match (out.remove(*gateway), is_out) {
                (None, true) => events.push(outage(gateway, &silent, now)),
                (Some(alert), false) => {
                    let spoke_at = devices.iter().filter_map(|device| self.spoke_at.get(*device)).max();
                    events.push(resolved(alert, spoke_at.map_or(now, String::as_str), now));
                }
                _ => {}
            }
        }
        // The registry does not know these gateways any more.
        events.extend(out.into_values().map(|alert| resolved(alert, now, now)));
        self.spoke_at.clear();
        for event in &events {
            // Its log partition is that of its id, and nothing marks it.
            match event.state {
                AlertState::Firing => {
                    let firing = Firing { partition: 0, alert: event.clone() };
                    drop(self.firing.insert(event.alert_id.clone(), firing));
                }
                AlertState::Resolved => drop(self.firing.remove(&event.alert_id)),
            }
        }
        events
    }

    /// By alert id, the alert that explains it.
    fn explained(&self, set: &RuleSet) -> HashMap<String, String> {
        let mut explained = self.behind_gateways(set);
        for inhibition in set.inhibitions() {
            let mut sources: HashMap<Vec<String>, Vec<&Alert>> = HashMap::new();
            for Firing { alert, .. } in
                self.firing.values().filter(|firing| inhibition.has_source(&firing.alert))
            {
                if let Some(key) = inhibition.equal_key(set, alert) {
                    sources.entry(key).or_default().push(alert);
                }
            }
            if sources.is_empty() {
                continue;
            }
            let is_target = |firing: &&Firing| {
                inhibition.has_target(&firing.alert) && firing.alert.rule_id != GATEWAY_OUTAGE
            };
            for Firing { alert, .. } in self.firing.values().filter(is_target) {
                let key = inhibition.equal_key(set, alert);
                let Some(sources) = key.and_then(|key| sources.get(&key)) else { continue };
                // What explains it already goes on doing so; else the oldest does.
                let current =
                    sources.iter().find(|source| Some(&source.alert_id) == alert.suppressed_by.as_ref());
                let oldest = sources.iter().min_by_key(|source| order(source));
                if let Some(source) = current.or(oldest) {
                    explained.entry(alert.alert_id.clone()).or_insert_with(|| source.alert_id.clone());
                }
            }
        }
        explained
    }

    fn behind_gateways(&self, set: &RuleSet) -> HashMap<String, String> {
        let dead_men = dead_men(set);
        let firing = || self.firing.values().map(|firing| &firing.alert);
        let out: HashMap<&str, &str> = firing()
            .filter(|alert| alert.rule_id == GATEWAY_OUTAGE)
            .map(|alert| (alert.device_id.as_str(), alert.alert_id.as_str()))
            .collect();
        let gateways = set.devices_of_gateways();
        let by_device: HashMap<&str, &str> = gateways
            .iter()
            .filter_map(|(gateway, devices)| Some((devices, *out.get(gateway)?)))
            .flat_map(|(devices, alert_id)| devices.iter().map(move |device| (*device, alert_id)))
            .collect();
        firing()
            .filter(|alert| dead_men.contains(&alert.rule_id.as_str()))
            .filter_map(|alert| {
                let outage = by_device.get(alert.device_id.as_str())?;
                Some((alert.alert_id.clone(), (*outage).to_owned()))
            })
            .collect()
    }
}

fn dead_men(set: &RuleSet) -> Vec<&str> {
    set.rules().iter().filter(|rule| rule.is_dead_man()).map(|rule| rule.id.as_str()).collect()
}

fn order(alert: &Alert) -> (&str, &str) {
    (&alert.raised_at, &alert.alert_id)
}

/// The alert of a gateway all of whose devices are `silent`.
fn outage(gateway: &str, silent: &[&Alert], now: &str) -> Alert {
    let last = silent.iter().max_by_key(|alert| order(alert)).expect("a gateway that is out has devices");
    let started_at = silent.iter().map(|alert| &alert.started_at).max().unwrap_or(&last.started_at);
    let is_one_domain = silent.iter().all(|alert| alert.domain == last.domain);
    let id = [GATEWAY_OUTAGE, gateway, &last.alert_id].join("\0");
    Alert {
        alert_id: hex(&Sha256::digest(id)[..16]),
        rule_id: GATEWAY_OUTAGE.to_owned(),
        rule_digest: hex(&Sha256::digest(GATEWAY_OUTAGE)),
        title: format!("gateway {gateway} is silent"),
        severity: silent.iter().map(|alert| alert.severity).max().unwrap_or(Severity::Warning),
        state: AlertState::Firing,
        event: AlertEvent::Raised,
        reason: None,
        device_id: gateway.to_owned(),
        asset_id: None,
        domain: if is_one_domain { last.domain.clone() } else { "unknown".to_owned() },
        tenant: last.tenant.clone(),
        location: None,
        metric: None,
        value: None,
        unit: None,
        condition: format!("nothing from any of its {} devices", silent.len()),
        started_at: started_at.clone(),
        raised_at: last.raised_at.clone(),
        resolved_at: None,
        said_at: now.to_owned(),
        evidence: Vec::new(),
        labels: BTreeMap::new(),
        runbook: None,
        shadow: false,
        suppressed_by: None,
        silenced_by: None,
        people: Vec::new(),
    }
}

fn resolved(alert: Alert, at: &str, now: &str) -> Alert {
    Alert {
        state: AlertState::Resolved,
        event: AlertEvent::Resolved,
        resolved_at: Some(at.max(alert.raised_at.as_str()).to_owned()),
        said_at: now.to_owned(),
        ..alert
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use model::catalog::Catalog;
    use model::registry::{RegisteredDevice, Registry};
    use rules::{LoadOptions, RuleSource};

    use super::*;
    use crate::metric_catalog::SharedCatalog;

    const RULES: &str = r#"
[[rule]]
id = "silent"
title = "t"
severity = "warning"
absent = "1m"
[[rule]]
id = "power"
title = "t"
severity = "critical"
when = "water_level > 1 m"
[[rule]]
id = "level"
title = "t"
severity = "info"
when = "water_level > 1 m"
[[inhibit]]
id = "by-power"
source = ["power"]
targets = ["level", "silent"]
equal = ["gateway_id"]
"#;

    /// Devices a1, a2 behind gateway a, b1 behind b, c without one.
    fn rule_set() -> RuleSet {
        let device = |(id, gateway): (&str, &str)| {
            let device = RegisteredDevice { gateway_id: gateway.to_owned(), ..RegisteredDevice::default() };
            (id.to_owned(), Arc::new(device))
        };
        let devices = [("a1", "a"), ("a2", "a"), ("b1", "b"), ("c", "")].map(device).into();
        let registry = Registry { devices, ..Registry::default() };
        let options = LoadOptions { registry: &registry, ..LoadOptions::default() };
        let files = [("r.toml".to_owned(), RULES.to_owned())];
        let catalog = SharedCatalog(Arc::new(Catalog::shipped()));
        RuleSource::load(&files, &catalog, &options).unwrap().rule_set
    }

    fn alert(rule: &str, device: &str, at: u32) -> Alert {
        serde_json::from_value(serde_json::json!({
            "alert_id": format!("{rule}-{device}"), "rule_id": rule, "rule_digest": "d", "title": "t",
            "severity": "warning", "state": "firing", "event": "raised", "reason": null, "device_id": device,
            "asset_id": null, "domain": "water", "tenant": "default", "location": null, "metric": null, "value": null,
            "unit": null, "condition": "c", "started_at": format!("s{at}"), "raised_at": format!("r{at}"),
            "resolved_at": null, "said_at": "", "evidence": [], "labels": {}, "runbook": null, "shadow": false,
            "suppressed_by": null, "silenced_by": null,
        }))
        .unwrap()
    }

    fn end(alert: Alert, at: &str) -> Alert {
        let resolved_at = Some(at.to_owned());
        Alert { state: AlertState::Resolved, event: AlertEvent::Resolved, resolved_at, ..alert }
    }

    /// (alert id, what explains it) of each mark.
    fn marks(decision: &Decision) -> Vec<(&str, Option<&str>)> {
        decision.marks.iter().map(|mark| (mark.alert_id.as_str(), mark.suppressed_by.as_deref())).collect()
    }

    #[test]
    fn a_source_marks_what_stands_behind_its_gateway() {
        let set = rule_set();
        let mut stage = Suppression::default();
        stage.hear(1, alert("level", "a1", 1));
        stage.hear(2, alert("level", "b1", 1));
        stage.hear(2, alert("level", "c", 1));
        assert_eq!(stage.decide(&set, "now"), Decision::default());
        stage.hear(0, alert("power", "a2", 2));
        stage.hear(0, alert("power", "c", 2));
        assert_eq!(marks(&stage.decide(&set, "now")), [("level-a1", Some("power-a2"))]);
        assert_eq!(stage.decide(&set, "now"), Decision::default(), "it was asked for");
        let marked = Alert { suppressed_by: Some("power-a2".to_owned()), ..alert("level", "a1", 1) };
        stage.hear(1, marked.clone());
        // An older source does not take the place of the one that marks.
        stage.hear(1, alert("power", "a1", 0));
        assert_eq!(stage.decide(&set, "now"), Decision::default());
        stage.hear(0, end(alert("power", "a2", 2), "e3"));
        assert_eq!(marks(&stage.decide(&set, "now")), [("level-a1", Some("power-a1"))]);
        stage.hear(1, end(alert("power", "a1", 0), "e4"));
        assert_eq!(marks(&stage.decide(&set, "now")), [("level-a1", None)]);
        // A restart that hears the same states decides the same.
        let mut again = Suppression::default();
        again.hear(1, marked);
        assert_eq!(marks(&again.decide(&set, "now")), [("level-a1", None)]);
        assert!(Suppression::is_of_use(&set));
    }

    #[test]
    fn a_gateway_is_out_while_all_of_its_devices_are_silent() {
        let set = rule_set();
        let mut stage = Suppression::default();
        stage.hear(1, alert("silent", "a1", 5));
        stage.hear(2, alert("silent", "b1", 5));
        assert_eq!(stage.decide(&set, "now"), Decision::default(), "a2 speaks, and b has one device only");
        stage.hear(3, alert("silent", "a2", 7));
        let decision = stage.decide(&set, "now");
        let [outage] = decision.outages.as_slice() else { panic!("{decision:?}") };
        let said =
            (outage.device_id.as_str(), outage.event, outage.raised_at.as_str(), outage.started_at.as_str());
        assert_eq!(said, ("a", AlertEvent::Raised, "r7", "s7"));
        assert_eq!(outage.condition, "nothing from any of its 2 devices");
        let id = outage.alert_id.clone();
        let both = [("silent-a1", Some(id.as_str())), ("silent-a2", Some(id.as_str()))];
        assert_eq!(marks(&decision), both);
        // The log's copy of it changes nothing.
        stage.hear(4, outage.clone());
        assert_eq!(stage.decide(&set, "now"), Decision::default());
        let mut again = Suppression::default();
        for (partition, said) in
            [(1, alert("silent", "a1", 5)), (3, alert("silent", "a2", 7)), (4, outage.clone())]
        {
            again.hear(partition, said);
        }
        let after_restart = again.decide(&set, "later");
        assert_eq!((marks(&after_restart), after_restart.outages.len()), (both.to_vec(), 0));

        stage.hear(1, end(alert("silent", "a1", 5), "r9"));
        let decision = stage.decide(&set, "now");
        let [over] = decision.outages.as_slice() else { panic!("{decision:?}") };
        assert_eq!((over.alert_id.as_str(), over.resolved_at.as_deref()), (id.as_str(), Some("r9")));
        assert_eq!(marks(&decision), [("silent-a2", None)], "it is silent by itself");
        assert_eq!(stage.decide(&set, "now"), Decision::default());
    }
}
