//! What people have done with the alerts that fire in one log partition, and the silences in force there. Pure: events and
//! clock in, marked alerts out. A mark hides nothing; it stands beside what the evaluator says.
//!
//! Kept with the evaluator's snapshot, since a silence outlives the alert it was put on; what is younger than the snapshot
//! is recalled from the events of people in `alerts.v1`, each of which carries all marks of its alert.

use std::collections::BTreeMap;

use model::time::{format_rfc3339, parse_rfc3339};
use model::{Alert, AlertEvent, AlertState, PersonEvent, Reason, Rejection};
use serde::{Deserialize, Serialize};

use crate::alert_command::{AlertCommand, CommandKind};

/// Most entries that an alert carries. Past it the oldest comment goes, or the oldest entry where there is none: each stays
/// an event in `alerts.v1`.
pub const PEOPLE_MAX: usize = 32;
/// Most silences in force in one log partition; one more is refused.
pub const SILENCES_MAX: usize = 10_000;

/// The marks of one log partition.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AlertMarks {
    /// Of alerts that fire, by alert id: what people did, oldest first.
    people: BTreeMap<String, Vec<PersonEvent>>,
    /// By alert key; a later one takes the place of the one before.
    silences: BTreeMap<String, Silence>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Silence {
    until_us: i64,
    said: PersonEvent,
}

impl AlertMarks {
    /// Puts the marks on what the evaluator says at `clock_us`. A resolve is the last to carry them.
    pub fn mark(&mut self, alert: &mut Alert, clock_us: i64) {
        let silence = self.silences.get(&alert.key()).filter(|silence| silence.until_us > clock_us);
        alert.silenced_by = silence.map(|silence| silence.said.by.clone());
        match alert.state {
            AlertState::Resolved => alert.people = self.people.remove(&alert.alert_id).unwrap_or_default(),
            AlertState::Firing => {
                if let Some(silence) = silence {
                    let people = self.people.entry(alert.alert_id.clone()).or_default();
                    note(people, silence.said.clone());
                }
                alert.people = self.people.get(&alert.alert_id).cloned().unwrap_or_default();
            }
        }
    }

    /// Does a command, appended at `at_us`, on an alert that fires, given as its raise said it. Gives the event to be said;
    /// `None` for a repeat.
    ///
    /// # Errors
    /// There are [`SILENCES_MAX`] silences already.
    pub fn apply(
        &mut self,
        command: &AlertCommand,
        mut alert: Alert,
        at_us: i64,
    ) -> Result<Option<Alert>, Rejection> {
        let is_repeat = |people: &Vec<PersonEvent>| people.iter().any(|past| past.command_id == command.id);
        if self.people.get(&alert.alert_id).is_some_and(is_repeat) {
            return Ok(None);
        }
        let said = PersonEvent {
            event: command.kind.event(),
            by: command.by.clone(),
            at: format_rfc3339(at_us),
            text: command.text.clone(),
            until: command.until_us.map(format_rfc3339),
            command_id: command.id.clone(),
        };
        if let (CommandKind::Silence, Some(until_us)) = (command.kind, command.until_us) {
            self.silence(alert.key(), Silence { until_us, said: said.clone() }, at_us)?;
        }
        note(self.people.entry(alert.alert_id.clone()).or_default(), said);
        alert.event = command.kind.event();
        self.mark(&mut alert, at_us);
        Ok(Some(alert))
    }

    fn silence(&mut self, key: String, silence: Silence, at_us: i64) -> Result<(), Rejection> {
        if self.silences.len() >= SILENCES_MAX {
            self.end_silences(at_us);
        }
        if self.silences.len() >= SILENCES_MAX && !self.silences.contains_key(&key) {
            let words = format!("{SILENCES_MAX} silences are in force in this log partition");
            return Err(Rejection::new(Reason::TooMany, words));
        }
        self.silences.insert(key, silence);
        Ok(())
    }

    /// Takes over an event of people that was said after the snapshot, in the order of the log.
    pub fn recall(&mut self, event: &Alert) {
        self.people.insert(event.alert_id.clone(), event.people.clone());
        let silenced = event.people.last().filter(|_| event.event == AlertEvent::Silenced);
        let until_us = silenced.and_then(|said| parse_rfc3339(said.until.as_deref()?).ok());
        if let Some((said, until_us)) = silenced.zip(until_us) {
            self.silences.insert(event.key(), Silence { until_us, said: said.clone() });
        }
    }

    /// Something was done with this alert.
    pub fn has(&self, alert_id: &str) -> bool {
        self.people.contains_key(alert_id)
    }

    /// Keeps only what `fires` says to be firing, and silences that last beyond `clock_us`.
    pub fn settle(&mut self, fires: impl Fn(&str) -> bool, clock_us: i64) {
        self.people.retain(|alert_id, _| fires(alert_id));
        self.end_silences(clock_us);
    }

    /// Forgets silences that have ended.
    pub fn end_silences(&mut self, clock_us: i64) {
        self.silences.retain(|_, silence| silence.until_us > clock_us);
    }
}

/// Adds an entry that is not there yet.
fn note(people: &mut Vec<PersonEvent>, said: PersonEvent) {
    if people.iter().any(|past| past.command_id == said.command_id) {
        return;
    }
    if people.len() >= PEOPLE_MAX {
        let is_comment = |past: &PersonEvent| past.event == AlertEvent::Commented;
        people.remove(people.iter().position(is_comment).unwrap_or(0));
    }
    people.push(said);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-03-02T00:00:00Z.
    const START_US: i64 = 1_772_409_600_000_000;
    const ALERT: &str = "0123456789abcdef0123456789abcdef";

    fn at(seconds: i64) -> i64 {
        START_US + seconds * 1_000_000
    }

    /// An event of the evaluator for the alert whose id ends in `end`.
    fn event(end: char, event: AlertEvent) -> Alert {
        let is_firing = event == AlertEvent::Raised;
        serde_json::from_value(serde_json::json!({
            "alert_id": format!("{}{end}", &ALERT[..31]), "rule_id": "r", "rule_digest": "d", "title": "t",
            "severity": "info", "state": if is_firing { "firing" } else { "resolved" }, "event": event, "reason": null,
            "device_id": "m-1", "asset_id": null, "domain": "water", "tenant": "default", "location": null,
            "metric": null, "value": null, "unit": null, "condition": "c", "started_at": "", "raised_at": "",
            "resolved_at": null, "said_at": "", "evidence": [], "labels": {}, "runbook": null, "shadow": false,
            "suppressed_by": null, "silenced_by": null,
        }))
        .unwrap()
    }

    fn command(id: &str, kind: CommandKind, until: Option<i64>) -> AlertCommand {
        let (by, text) = (format!("by-{id}"), Some("why".to_owned()));
        AlertCommand {
            id: id.to_owned(),
            kind,
            alert_id: ALERT.to_owned(),
            by,
            text,
            until_us: until.map(at),
        }
    }

    /// What is done: a command (id, kind, second at which a silence ends), or an event of the evaluator (last digit of the
    /// alert id).
    enum Step {
        Command(&'static str, CommandKind, Option<i64>),
        Evaluator(char, AlertEvent),
    }

    /// The ids of the commands that an alert carries, its `silenced_by`, its `ce_id` after the slash.
    type Marked = (Vec<String>, Option<String>, String);

    fn marked(alert: &Alert) -> Marked {
        let ids = alert.people.iter().map(|said| said.command_id.clone()).collect();
        let ce_id = alert.ce_id();
        (ids, alert.silenced_by.clone(), ce_id.rsplit('/').next().unwrap().to_owned())
    }

    fn run(marks: &mut AlertMarks, second: i64, step: &Step) -> Option<Marked> {
        let said = match step {
            Step::Command(id, kind, until) => {
                let fires = event('f', AlertEvent::Raised);
                marks.apply(&command(id, *kind, *until), fires, at(second)).unwrap()
            }
            Step::Evaluator(end, what) => {
                let mut said = event(*end, *what);
                marks.mark(&mut said, at(second));
                Some(said)
            }
        };
        said.as_ref().map(marked)
    }

    #[test]
    fn commands_and_events_in_any_order() {
        use AlertEvent::{Raised, Resolved};
        use CommandKind::{Acknowledge, Comment, Silence};
        use Step::{Command, Evaluator};
        type Case = (i64, Step, Option<(&'static [&'static str], Option<&'static str>, &'static str)>);
        let cases: [Case; 15] = [
            (0, Evaluator('f', Raised), Some((&[], None, "raised"))),
            (1, Command("a", Acknowledge, None), Some((&["a"], None, "a"))),
            // Two at once: both are said, the first is the first.
            (1, Command("b", Acknowledge, None), Some((&["a", "b"], None, "b"))),
            (2, Command("a", Acknowledge, None), None),
            (3, Command("c", Comment, None), Some((&["a", "b", "c"], None, "c"))),
            (4, Command("s", Silence, Some(100)), Some((&["a", "b", "c", "s"], Some("by-s"), "s"))),
            (5, Evaluator('f', Resolved), Some((&["a", "b", "c", "s"], Some("by-s"), "resolved"))),
            // A later alert of the rule and device is marked, and carries the silence and nothing else.
            (6, Evaluator('e', Raised), Some((&["s"], Some("by-s"), "raised"))),
            (7, Evaluator('e', Resolved), Some((&["s"], Some("by-s"), "resolved"))),
            (8, Evaluator('f', Raised), Some((&["s"], Some("by-s"), "raised"))),
            // A later silence takes the place of the one before, a shorter one too.
            (9, Command("t", Silence, Some(20)), Some((&["s", "t"], Some("by-t"), "t"))),
            (20, Command("d", Comment, None), Some((&["s", "t", "d"], None, "d"))),
            (21, Evaluator('f', Resolved), Some((&["s", "t", "d"], None, "resolved"))),
            (22, Evaluator('e', Raised), Some((&[], None, "raised"))),
            (23, Evaluator('e', Resolved), Some((&[], None, "resolved"))),
        ];
        let mut marks = AlertMarks::default();
        for (second, step, expected) in &cases {
            // A restart in between changes nothing.
            marks = serde_json::from_slice(&serde_json::to_vec(&marks).unwrap()).unwrap();
            let expected = expected.map(|(ids, by, ce_id)| {
                (ids.iter().map(ToString::to_string).collect(), by.map(str::to_owned), ce_id.to_owned())
            });
            assert_eq!(run(&mut marks, *second, step), expected, "second {second}");
        }
        marks.end_silences(at(23));
        assert_eq!(marks, AlertMarks::default());
    }

    #[test]
    fn what_was_said_is_recalled() {
        let mut marks = AlertMarks::default();
        let mut recalled = AlertMarks::default();
        for (id, kind, until) in [
            ("a", CommandKind::Acknowledge, None),
            ("s", CommandKind::Silence, Some(50)),
            ("c", CommandKind::Comment, None),
        ] {
            let fires = event('f', AlertEvent::Raised);
            let said = marks.apply(&command(id, kind, until), fires, at(1)).unwrap().unwrap();
            let json = serde_json::to_vec(&said).unwrap();
            recalled.recall(&serde_json::from_slice(&json).unwrap());
        }
        assert_eq!(recalled, marks);
        assert!(marks.has(ALERT));
        marks.settle(|_| false, at(49));
        assert!(!marks.has(ALERT));
        let mut raised = event('e', AlertEvent::Raised);
        marks.mark(&mut raised, at(49));
        assert_eq!(raised.silenced_by.as_deref(), Some("by-s"));
    }

    #[test]
    fn an_alert_carries_so_many_and_keeps_who_acknowledged() {
        let mut marks = AlertMarks::default();
        let fires = || event('f', AlertEvent::Raised);
        marks.apply(&command("ack", CommandKind::Acknowledge, None), fires(), at(0)).unwrap();
        let mut last = None;
        for number in 0..2 * PEOPLE_MAX {
            let comment = command(&format!("c-{number}"), CommandKind::Comment, None);
            last = marks.apply(&comment, fires(), at(1)).unwrap();
        }
        let (ids, _, _) = marked(&last.unwrap());
        assert_eq!((ids.len(), ids[0].as_str()), (PEOPLE_MAX, "ack"));
        assert_eq!(ids[PEOPLE_MAX - 1], format!("c-{}", 2 * PEOPLE_MAX - 1));
    }

    #[test]
    fn a_silence_too_many_is_refused_until_one_ends() {
        let mut marks = AlertMarks::default();
        let silence = |id: &str, until| command(id, CommandKind::Silence, Some(until));
        let on_device = |number: usize| Alert {
            device_id: format!("m-{number}"),
            alert_id: format!("{number:032x}"),
            ..event('f', AlertEvent::Raised)
        };
        for number in 0..SILENCES_MAX {
            marks.apply(&silence("s", 10), on_device(number), at(0)).unwrap();
        }
        let refused = marks.apply(&silence("t", 10), on_device(SILENCES_MAX), at(9)).unwrap_err();
        assert_eq!(refused.reason, Reason::TooMany);
        assert!(!marks.has(&on_device(SILENCES_MAX).alert_id), "a refusal leaves no mark");
        assert!(marks.apply(&silence("u", 20), on_device(0), at(9)).unwrap().is_some());
        assert!(marks.apply(&silence("t", 20), on_device(SILENCES_MAX), at(10)).unwrap().is_some());
    }
}
