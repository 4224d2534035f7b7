//! A command on an alert as an MQTT client publishes it: JSON to `urban-neuron/v1/commands/alerts/{alert_id}`. Pure.

use model::{RawMessage, Reason, Rejection};
use sha2::{Digest, Sha256};

use crate::alert_command::{AlertCommand, CommandDraft};

/// What lies below it is no telemetry.
pub const COMMANDS_TOPIC: &str = "urban-neuron/v1/commands/alerts/";

/// The command in a message on the alert that its topic names. Who does not say who commands is known by the client id. A
/// command without an id has one of the message, so that a redelivery is the same command.
///
/// # Errors
/// It is no command.
pub fn command_of(alert_id: &str, message: &RawMessage<'_>) -> Result<AlertCommand, Rejection> {
    if message.is_retained {
        let words = "a retained message is state, and no command";
        return Err(Rejection::new(Reason::MalformedCommand, words));
    }
    let draft = CommandDraft::read(message.payload).and_then(|draft| draft.on_alert(alert_id));
    let command = draft.and_then(|mut draft| {
        draft.id.get_or_insert_with(|| id_of(message));
        draft.by.get_or_insert_with(|| message.publisher.to_owned());
        draft.finish(message.received_at_us)
    });
    command.map_err(|error| Rejection::new(Reason::MalformedCommand, error.to_string()))
}

/// 32 hex digits over the client, its packet id, topic and payload.
fn id_of(message: &RawMessage<'_>) -> String {
    let mut hash = Sha256::new();
    for part in [message.publisher.as_bytes(), message.topic.as_bytes(), message.payload] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.update(message.packet_id.unwrap_or_default().to_be_bytes());
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use model::Adapter;

    use super::*;
    use crate::alert_command::CommandKind;

    const ALERT: &str = "0123456789abcdef0123456789abcdef";

    fn message<'a>(topic: &'a str, payload: &'a str, packet_id: u16) -> RawMessage<'a> {
        RawMessage {
            adapter: Adapter::MqttEndpoint,
            topic,
            payload: payload.as_bytes(),
            publisher: "panel-7",
            content_type: "",
            packet_id: Some(packet_id.into()),
            is_redelivered: false,
            is_retained: false,
            is_will: false,
            received_at_us: 1_772_409_600_000_000,
        }
    }

    #[test]
    fn what_the_message_says_by_itself_need_not_be_written() {
        let topic = format!("{COMMANDS_TOPIC}{ALERT}");
        let first = message(&topic, r#"{"command":"acknowledge"}"#, 3);
        let command = command_of(ALERT, &first).unwrap();
        let found = (command.kind, command.by.as_str(), command.alert_id.as_str(), command.id.len());
        assert_eq!(found, (CommandKind::Acknowledge, "panel-7", ALERT, 32));
        let again = RawMessage { is_redelivered: true, ..first };
        assert_eq!(command_of(ALERT, &again), Ok(command.clone()));
        let other = message(&topic, r#"{"command":"acknowledge"}"#, 4);
        assert_ne!(command_of(ALERT, &other).unwrap().id, command.id);
        let named = message(&topic, r#"{"command":"silence","by":"li","id":"x","for":"1h"}"#, 3);
        let named = command_of(ALERT, &named).unwrap();
        assert_eq!((named.by.as_str(), named.id.as_str()), ("li", "x"));
    }

    #[test]
    fn what_is_no_command_is_refused_with_its_reason() {
        let topic = format!("{COMMANDS_TOPIC}{ALERT}");
        let retained = RawMessage { is_retained: true, ..message(&topic, r#"{"command":"acknowledge"}"#, 1) };
        let cases = [
            (retained, "a retained message"),
            (message(&topic, "acknowledge", 1), "no command: "),
            (message(&topic, r#"{"command":"comment"}"#, 1), "text: is missing"),
            (message(&topic, r#"{"command":"acknowledge","alert_id":"0"}"#, 1), "alert_id: "),
        ];
        for (message, words) in cases {
            let rejection = command_of(ALERT, &message).unwrap_err();
            assert_eq!(rejection.reason, Reason::MalformedCommand);
            assert!(rejection.detail.starts_with(words), "{rejection}");
        }
    }
}
