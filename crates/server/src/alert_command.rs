//! A command on an alert: what a person wants done with it, from whichever side it comes. Pure: the clock is an argument.
//!
//! [`CommandDraft`] is the JSON as people write it, on HTTP, MQTT and Kafka alike; [`AlertCommand`] is a checked one.

use model::AlertEvent;
use model::time::{format_rfc3339, parse_rfc3339};
use serde::{Deserialize, Serialize};

use crate::config::duration;

/// Longest id of a command, bytes.
pub const ID_BYTES_MAX: usize = 64;
/// Longest name of who commands, bytes.
pub const BY_BYTES_MAX: usize = 128;
/// Longest text, bytes.
pub const TEXT_BYTES_MAX: usize = 1024;
/// How far ahead a silence may end.
pub const SILENCE_DAYS_MAX: i64 = 366;

const DAY_US: i64 = 86_400_000_000;

/// What is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandKind {
    /// Somebody is on it.
    Acknowledge,
    Comment,
    /// Mark this and later alerts of its rule and device until a time.
    Silence,
}

impl CommandKind {
    pub const fn name(self) -> &'static str {
        match self {
            CommandKind::Acknowledge => "acknowledge",
            CommandKind::Comment => "comment",
            CommandKind::Silence => "silence",
        }
    }

    /// The event that says it was done.
    pub const fn event(self) -> AlertEvent {
        match self {
            CommandKind::Acknowledge => AlertEvent::Acknowledged,
            CommandKind::Comment => AlertEvent::Commented,
            CommandKind::Silence => AlertEvent::Silenced,
        }
    }
}

/// A command as it is written. What a side knows by itself, such as the alert that its path names, need not stand in it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandDraft {
    /// Equal for a repeat of the same command; made where it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<CommandKind>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alert_id: Option<String>,
    /// Who commands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// When a silence ends, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// How long a silence lasts, in place of `until`: `2h`.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub lasts: Option<String>,
}

/// A command that can be done, if its alert fires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertCommand {
    /// 1 to 64 letters, digits, `-`, `_`, `.`.
    pub id: String,
    pub kind: CommandKind,
    /// 32 lower-case hex digits.
    pub alert_id: String,
    pub by: String,
    pub text: Option<String>,
    /// When a silence ends, microseconds since 1970-01-01T00:00:00Z.
    pub until_us: Option<i64>,
}

/// Why it is no command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    #[error("no command: {0}")]
    Json(String),
    #[error("{field}: {why}")]
    Field { field: &'static str, why: String },
}

impl CommandDraft {
    /// Reads JSON.
    ///
    /// # Errors
    /// It is none, or has a field that a command does not have.
    pub fn read(json: &[u8]) -> Result<Self, CommandError> {
        // A list of the fields' values would be read too.
        if json.trim_ascii_start().first() != Some(&b'{') {
            return Err(CommandError::Json("an object is wanted".to_owned()));
        }
        serde_json::from_slice(json).map_err(|error| CommandError::Json(error.to_string()))
    }

    /// The alert that the path or MQTT topic names.
    ///
    /// # Errors
    /// The draft names another.
    pub fn on_alert(mut self, alert_id: &str) -> Result<Self, CommandError> {
        match self.alert_id.replace(alert_id.to_owned()) {
            Some(other) if other != alert_id => {
                Err(refused("alert_id", format!("{other:?} here, {alert_id:?} in the path")))
            }
            _ => Ok(self),
        }
    }

    /// The command that the path or the command line names.
    ///
    /// # Errors
    /// The draft names another.
    pub fn of_kind(mut self, kind: CommandKind) -> Result<Self, CommandError> {
        match self.command.replace(kind) {
            Some(other) if other != kind => {
                Err(refused("command", format!("{} here, {} in the path", other.name(), kind.name())))
            }
            _ => Ok(self),
        }
    }

    /// Checks every field; `for` counts from `now_us`, microseconds since 1970-01-01T00:00:00Z.
    ///
    /// # Errors
    /// The first field that is missing, too much or out of its limits.
    pub fn finish(self, now_us: i64) -> Result<AlertCommand, CommandError> {
        let kind = self.command.ok_or_else(|| missing("command", "acknowledge, comment or silence"))?;
        let command = AlertCommand {
            id: checked_id(self.id.ok_or_else(|| missing("id", "a token that is new for each command"))?)?,
            kind,
            alert_id: checked_alert_id(self.alert_id.ok_or_else(|| missing("alert_id", "the alert's id"))?)?,
            by: checked_by(self.by.ok_or_else(|| missing("by", "who commands it"))?)?,
            text: self.text.map(checked_text).transpose()?,
            until_us: end_of_silence(self.until.as_deref(), self.lasts.as_deref(), now_us)?,
        };
        match (kind, &command.text, command.until_us) {
            (CommandKind::Comment, None, _) => Err(missing("text", "what there is to say")),
            (CommandKind::Silence, _, None) => Err(missing("until", "a time, or `for` with a span")),
            (CommandKind::Acknowledge | CommandKind::Comment, _, Some(_)) => {
                Err(refused("until", "only a silence has an end".to_owned()))
            }
            _ => Ok(command),
        }
    }
}

impl AlertCommand {
    /// The value of its record in `alerts.commands.v1`.
    pub fn to_json(&self) -> Vec<u8> {
        let draft = CommandDraft {
            id: Some(self.id.clone()),
            command: Some(self.kind),
            alert_id: Some(self.alert_id.clone()),
            by: Some(self.by.clone()),
            text: self.text.clone(),
            until: self.until_us.map(format_rfc3339),
            lasts: None,
        };
        serde_json::to_vec(&draft).expect("a draft has text keys and texts")
    }

    /// CloudEvents id of the event that says it was done.
    pub fn ce_id(&self) -> String {
        format!("{}/{}", self.alert_id, self.id)
    }
}

fn missing(field: &'static str, wanted: &str) -> CommandError {
    refused(field, format!("is missing: {wanted}"))
}

fn refused(field: &'static str, why: String) -> CommandError {
    CommandError::Field { field, why }
}

fn checked_id(id: String) -> Result<String, CommandError> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if (1..=ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(is_token) {
        return Ok(id);
    }
    Err(refused("id", format!("{id:?} is not 1 to {ID_BYTES_MAX} letters, digits, -, _ or .")))
}

fn checked_alert_id(id: String) -> Result<String, CommandError> {
    if id.len() == 32 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return Ok(id);
    }
    Err(refused("alert_id", format!("{id:?} is not 32 lower-case hex digits")))
}

fn checked_by(by: String) -> Result<String, CommandError> {
    let is_name = !by.trim().is_empty() && by.len() <= BY_BYTES_MAX && !by.contains(char::is_control);
    if is_name {
        return Ok(by);
    }
    Err(refused("by", format!("{by:?} is not a name of 1 to {BY_BYTES_MAX} bytes on one line")))
}

fn checked_text(text: String) -> Result<String, CommandError> {
    if !text.trim().is_empty() && text.len() <= TEXT_BYTES_MAX {
        return Ok(text);
    }
    Err(refused("text", format!("{} bytes, 1 to {TEXT_BYTES_MAX} are taken", text.len())))
}

fn end_of_silence(
    until: Option<&str>,
    lasts: Option<&str>,
    now_us: i64,
) -> Result<Option<i64>, CommandError> {
    let (field, until_us) = match (until, lasts) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => return Err(refused("until", "stands beside `for`: one is wanted".to_owned())),
        (Some(until), None) => {
            let at_us = parse_rfc3339(until).map_err(|error| refused("until", error.to_string()))?;
            ("until", at_us)
        }
        (None, Some(lasts)) => {
            let span = duration::parse(lasts).map_err(|error| refused("for", error.to_string()))?;
            let span_us = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
            ("for", now_us.saturating_add(span_us))
        }
    };
    if until_us <= now_us {
        return Err(refused(
            field,
            format!("a silence until {} has ended already", format_rfc3339(until_us)),
        ));
    }
    if until_us > now_us.saturating_add(SILENCE_DAYS_MAX * DAY_US) {
        return Err(refused(field, format!("a silence ends within {SILENCE_DAYS_MAX} days")));
    }
    Ok(Some(until_us))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-03-02T00:00:00Z.
    const NOW_US: i64 = 1_772_409_600_000_000;
    const ALERT: &str = "0123456789abcdef0123456789abcdef";

    fn finish(json: &str) -> Result<AlertCommand, CommandError> {
        CommandDraft::read(json.as_bytes())?.on_alert(ALERT)?.finish(NOW_US)
    }

    #[test]
    fn what_is_written_is_what_is_done() {
        let cases = [
            (r#"{"id":"a-1","command":"acknowledge","by":"li"}"#, CommandKind::Acknowledge, None, None),
            (
                r#"{"id":"a-1","command":"comment","by":"li","text":"pump 2"}"#,
                CommandKind::Comment,
                Some("pump 2"),
                None,
            ),
            (
                r#"{"id":"a-1","command":"silence","by":"li","for":"2h"}"#,
                CommandKind::Silence,
                None,
                Some(NOW_US + 7_200_000_000),
            ),
            (
                r#"{"id":"a-1","command":"silence","by":"li","until":"2026-03-02T09:00:00+08:00"}"#,
                CommandKind::Silence,
                None,
                Some(NOW_US + 3_600_000_000),
            ),
        ];
        for (json, kind, text, until_us) in cases {
            let command = finish(json).unwrap();
            let expected = AlertCommand {
                id: "a-1".to_owned(),
                kind,
                alert_id: ALERT.to_owned(),
                by: "li".to_owned(),
                text: text.map(str::to_owned),
                until_us,
            };
            assert_eq!(command, expected, "{json}");
            let again = CommandDraft::read(&command.to_json()).unwrap().finish(NOW_US).unwrap();
            assert_eq!(again, expected, "{json}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let cases = [
            ("[]", "no command"),
            ("{", "no command"),
            (r#"{"command":"shout"}"#, "no command"),
            (r#"{"command":"acknowledge","by":"li","until_when":1}"#, "no command"),
            (r#"{"id":"a","by":"li"}"#, "command: is missing"),
            (r#"{"command":"acknowledge","by":"li"}"#, "id: is missing"),
            (r#"{"id":"a b","command":"acknowledge","by":"li"}"#, "id: \"a b\" is not"),
            (r#"{"id":"","command":"acknowledge","by":"li"}"#, "id: \"\" is not"),
            (r#"{"id":"a","command":"acknowledge"}"#, "by: is missing"),
            (r#"{"id":"a","command":"acknowledge","by":" "}"#, "by: \" \" is not"),
            (r#"{"id":"a","command":"acknowledge","by":"l\ni"}"#, "by: "),
            (r#"{"id":"a","command":"acknowledge","by":"li","for":"1h"}"#, "until: only a silence"),
            (r#"{"id":"a","command":"comment","by":"li"}"#, "text: is missing"),
            (r#"{"id":"a","command":"comment","by":"li","text":" "}"#, "text: 1 bytes"),
            (r#"{"id":"a","command":"silence","by":"li"}"#, "until: is missing"),
            (r#"{"id":"a","command":"silence","by":"li","for":"soon"}"#, "for: \"soon\""),
            (r#"{"id":"a","command":"silence","by":"li","for":"0s"}"#, "for: a silence until"),
            (r#"{"id":"a","command":"silence","by":"li","for":"367d"}"#, "for: a silence ends within"),
            (r#"{"id":"a","command":"silence","by":"li","until":"tomorrow"}"#, "until: a time is written"),
            (
                r#"{"id":"a","command":"silence","by":"li","until":"2026-03-02T00:00:00Z"}"#,
                "until: a silence until 2026-03-02T00:00:00.000000Z has ended already",
            ),
            (
                r#"{"id":"a","command":"silence","by":"li","until":"2027-01-01T00:00:00Z","for":"1h"}"#,
                "until: stands beside",
            ),
            (r#"{"alert_id":"ff","id":"a","command":"acknowledge","by":"li"}"#, "alert_id: \"ff\" here"),
        ];
        for (json, words) in cases {
            let error = finish(json).unwrap_err().to_string();
            assert!(error.starts_with(words), "{json}: {error}");
        }
        let other = CommandDraft { command: Some(CommandKind::Comment), ..CommandDraft::default() };
        let error = other.of_kind(CommandKind::Silence).unwrap_err().to_string();
        assert_eq!(error, "command: comment here, silence in the path");
        let long = format!(r#"{{"id":"a","command":"comment","by":"li","text":"{}"}}"#, "x".repeat(1025));
        assert!(finish(&long).unwrap_err().to_string().starts_with("text: 1025 bytes"));
        let error = CommandDraft::read(br#"{"id":"a","command":"acknowledge","by":"li","alert_id":"FF"}"#);
        assert!(error.unwrap().finish(NOW_US).unwrap_err().to_string().starts_with("alert_id: \"FF\""));
    }
}
