//! `decode`: what would become of a payload, by the same code as in the service.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use clap::builder::PossibleValuesParser;
use decode::{Decoder, Outcome};
use model::{Adapter, RawMessage, Rejection};
use serde_json::{Value, json};

use super::output::print_line;
use super::{ConfigArgs, Failure};
use crate::clock::wall_us;
use crate::decoders::Decoders;
use crate::telemetry_json;

/// Far above every inbound limit.
const PAYLOAD_BYTES_MAX: u64 = 64 << 20;

#[derive(Args, Debug)]
pub(super) struct DecodeArgs {
    /// MQTT topic that it came on, which says the dialect; without either, the product's own for a device "example"
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,

    /// Dialect to read it as, whatever the topic says
    #[arg(long, value_name = "NAME", value_parser = dialect_names())]
    dialect: Option<String>,

    /// Content type that came with it, as MQTT 5 has it
    #[arg(long, value_name = "TYPE", default_value = "")]
    content_type: String,

    /// The payload is written as hex digits; white space between them is skipped
    #[arg(long)]
    hex: bool,

    /// A broker delivered it with the retain flag
    #[arg(long)]
    retained: bool,

    /// One line for each message instead of indented JSON
    #[arg(long)]
    compact: bool,

    #[command(flatten)]
    config: ConfigArgs,

    /// File of the payload; standard input when not given
    file: Option<PathBuf>,
}

impl DecodeArgs {
    pub(super) fn run(self, environment: &BTreeMap<String, String>) -> Result<(), Failure> {
        let config = self.config.load(environment)?;
        let payload = self.payload()?;
        let topic = self.topic();
        let mut decoder = Decoders::new(&config)?.decoder();
        let decoder = decoder.current();
        let message = RawMessage {
            adapter: Adapter::MqttEndpoint,
            topic: &topic,
            payload: &payload,
            publisher: "urban-neuron-decode",
            content_type: &self.content_type,
            packet_id: Some(1),
            is_redelivered: false,
            is_retained: self.retained,
            is_will: false,
            received_at_us: wall_us(),
        };
        let outcome = match &self.dialect {
            None => decoder.decode(&message),
            Some(name) => {
                decoder.decode_as(name, &message).map_err(|error| Failure::Usage(error.to_string()))?
            }
        };
        match outcome {
            Outcome::Rejected(rejection) => {
                self.print(&rejection_json(None, &rejection))?;
                Err(Failure::Negative)
            }
            Outcome::Decoded(decoded) => {
                for child in decoded.telemetry() {
                    let envelope =
                        telemetry_json::record_json(child.record).context("the record does not parse")?;
                    self.print(&envelope)?;
                }
                for (index, rejection) in decoded.rejected() {
                    self.print(&rejection_json(Some(*index), rejection))?;
                }
                if decoded.rejected().is_empty() { Ok(()) } else { Err(Failure::Negative) }
            }
        }
    }

    /// The topic given, or one that the dialect is known by.
    fn topic(&self) -> String {
        const DEVICE: &str = "example";
        match (&self.topic, &self.dialect) {
            (Some(topic), _) => topic.clone(),
            (None, None) => format!("urban-neuron/v1/devices/{DEVICE}/telemetry"),
            (None, Some(name)) => {
                let dialect = Decoder::dialects().find(|dialect| dialect.name == name);
                dialect.map_or(String::new(), |dialect| dialect.example_topic(DEVICE))
            }
        }
    }

    fn payload(&self) -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::new();
        match &self.file {
            Some(path) => {
                let file = std::fs::File::open(path).with_context(|| path.display().to_string())?;
                file.take(PAYLOAD_BYTES_MAX + 1)
                    .read_to_end(&mut bytes)
                    .with_context(|| path.display().to_string())?;
            }
            None => {
                std::io::stdin()
                    .take(PAYLOAD_BYTES_MAX + 1)
                    .read_to_end(&mut bytes)
                    .context("standard input")?;
            }
        }
        if bytes.len() as u64 > PAYLOAD_BYTES_MAX {
            return Err(Failure::Usage(format!("a payload has at most {PAYLOAD_BYTES_MAX} bytes")));
        }
        if self.hex { parse_hex(&bytes).map_err(Failure::Usage) } else { Ok(bytes) }
    }

    fn print(&self, value: &Value) -> Result<(), Failure> {
        let text =
            if self.compact { serde_json::to_string(value) } else { serde_json::to_string_pretty(value) };
        print_line(&text.map_err(anyhow::Error::from)?)
    }
}

fn dialect_names() -> PossibleValuesParser {
    PossibleValuesParser::new(Decoder::dialects().map(|dialect| dialect.name))
}

fn rejection_json(child: Option<u32>, rejection: &Rejection) -> Value {
    json!({ "rejected": { "child": child, "reason": rejection.reason.code(), "detail": rejection.detail } })
}

fn parse_hex(text: &[u8]) -> Result<Vec<u8>, String> {
    let mut digits = Vec::new();
    for (at, byte) in text.iter().enumerate().filter(|(_, byte)| !byte.is_ascii_whitespace()) {
        let digit = char::from(*byte).to_digit(16);
        digits
            .push(digit.ok_or_else(|| format!("byte {at} is no hex digit: {:?}", char::from(*byte)))? as u8);
    }
    if digits.len() % 2 == 1 {
        return Err("an odd number of hex digits".to_owned());
    }
    Ok(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_is_read_with_white_space() {
        assert_eq!(parse_hex(b"00 fF\n1a"), Ok(vec![0, 255, 26]));
        assert_eq!(parse_hex(b"0"), Err("an odd number of hex digits".to_owned()));
        assert_eq!(parse_hex(b"0x"), Err("byte 1 is no hex digit: 'x'".to_owned()));
    }
}
