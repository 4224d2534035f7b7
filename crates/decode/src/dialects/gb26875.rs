//! GB/T 26875.3-2011, what transmitters of fire alarm systems send: `@@`, a control unit of 25 bytes, the application data, a
//! sum, `##`. Numbers have their low byte first; times are six bytes, binary, the second first.

use model::event_id::Identity;
use model::proto::Kind;
use model::{Reason, Rejection};

use super::checksum::sum8;
use super::digits::{hex_text, scaled};
use super::frame_payload::{self, Context, Frames, malformed, wrong_checksum};
use super::local_time::civil_us;
use crate::dialect::{Certainty, Dialect};
use crate::draft::{Draft, DraftReading, DraftTime, DraftValue};
use crate::sink::Sink;

pub(crate) const DIALECT: Dialect = Dialect {
    name: "gb26875",
    version: 1,
    topics: "urban-neuron/v1/devices/{device_id}/frames/gb26875",
    standard: "GB/T 26875.3-2011 chapters 6 to 8",
    certainty: Certainty::Captured,
    recognizes: |message| frame_payload::transmitter(message.topic, "gb26875").is_some(),
    device: |topic| frame_payload::transmitter(topic, "gb26875"),
    decode: |message, sink| frame_payload::decode::<Gb26875>(message, "gb26875", sink),
};

const START: &[u8] = b"@@";
const END: &[u8] = b"##";
const CONTROL_BYTES: usize = 25;
/// Section 6.1: of the application data.
const DATA_BYTES_MAX: usize = 1_024;
const TIME_BYTES: usize = 6;

struct Gb26875;

impl Frames for Gb26875 {
    fn begins(bytes: &[u8]) -> bool {
        bytes.starts_with(START)
    }

    fn length(bytes: &[u8]) -> Result<usize, Rejection> {
        let Some([low, high]) = bytes.get(24..26) else {
            return Err(malformed("the frame ends in its control unit"));
        };
        let data = usize::from(u16::from_le_bytes([*low, *high]));
        let length = START.len() + CONTROL_BYTES + data + 1 + END.len();
        if data > DATA_BYTES_MAX || !bytes.get(..length).is_some_and(|frame| frame.ends_with(END)) {
            return Err(malformed(format!(
                "the frame has no `##` behind its {data} bytes of application data"
            )));
        }
        Ok(length)
    }

    fn decode(frame: &[u8], context: &Context<'_>, sink: &mut Sink<'_>) -> Result<(), Rejection> {
        let (checked, sum) = (&frame[2..frame.len() - 3], frame[frame.len() - 3]);
        if sum8(checked) != sum {
            return Err(wrong_checksum(sum8(checked), sum));
        }
        let (control, data) = checked.split_at(CONTROL_BYTES);
        let transmitter = Transmitter {
            context,
            frame,
            // The source's address, its highest byte first.
            id: hex_text(control[10..16].iter().rev().copied()),
            sent_us: time(&control[4..10]),
        };
        transmitter.data(data, sink)
    }
}

/// Second, minute, hour, day, month, year of this century.
fn time(bytes: &[u8]) -> Option<i64> {
    let [second, minute, hour, day, month, year] = *bytes else { return None };
    let of = i64::from;
    civil_us(2_000 + of(year), of(month), of(day), of(hour), of(minute), of(second))
}

struct Transmitter<'c, 'm> {
    context: &'c Context<'m>,
    frame: &'c [u8],
    id: String,
    sent_us: Option<i64>,
}

/// Bits of a state, the lowest first, each a reading.
type Bits = &'static [&'static str];

const SYSTEM_BITS: Bits = &[
    "normal_operation",
    "fire_alarm",
    "fault",
    "shielded",
    "supervised",
    "started",
    "feedback",
    "delayed",
    "main_power_fault",
    "backup_power_fault",
    "bus_fault",
    "manual_mode",
    "configuration_changed",
    "reset",
];
const COMPONENT_BITS: Bits = &[
    "normal_operation",
    "fire_alarm",
    "fault",
    "shielded",
    "supervised",
    "started",
    "feedback",
    "delayed",
    "power_fault",
];
const TRANSMITTER_BITS: Bits = &[
    "normal_operation",
    "fire_alarm",
    "fault",
    "main_power_fault",
    "backup_power_fault",
    "channel_fault",
    "line_fault",
];
const OPERATION_BITS: Bits =
    &["reset", "silenced", "manual_alarm", "alarm_cancelled", "self_test", "confirmed", "tested"];

/// Table 6: metric, unit, decimals, by the kind of the analog value from 1 on.
const ANALOG: [(&str, &str, u32); 12] = [
    ("event_count", "", 0),
    ("height", "m", 2),
    ("temperature", "Cel", 1),
    ("pressure", "MPa", 1),
    ("pressure", "kPa", 1),
    ("gas_concentration", "%", 1),
    ("duration", "s", 0),
    ("voltage", "V", 1),
    ("current", "A", 1),
    ("flow_rate", "L/s", 1),
    ("air_flow", "m3/min", 1),
    ("wind_speed", "m/s", 0),
];

impl Transmitter<'_, '_> {
    fn data(&self, data: &[u8], sink: &mut Sink<'_>) -> Result<(), Rejection> {
        let [kind, count, objects @ ..] = data else {
            // A confirmation or a heartbeat.
            let mut readings = sink.readings();
            readings.push(DraftReading::new("status", DraftValue::Text("alive".into())));
            return self.accept(self.id.clone(), readings, Kind::Status, self.sent_us, sink);
        };
        let object_bytes = match kind {
            1 | 4 => 4,
            2 => 40,
            3 => 10,
            21 => 1,
            24 => 2,
            _ => {
                return Err(Rejection::new(
                    Reason::UnsupportedVersion,
                    format!("information of kind {kind} has no readings"),
                ));
            }
        };
        let wanted = usize::from(*count) * (object_bytes + TIME_BYTES);
        if objects.len() < wanted || *count == 0 {
            let what = format!("{count} objects of kind {kind} have {wanted} bytes, found {}", objects.len());
            return Err(malformed(what));
        }
        for object in objects[..wanted].chunks_exact(object_bytes + TIME_BYTES) {
            let (object, at) = object.split_at(object_bytes);
            self.object(*kind, object, time(at).or(self.sent_us), sink)?;
        }
        Ok(())
    }

    fn object(
        &self,
        kind: u8,
        object: &[u8],
        at_us: Option<i64>,
        sink: &mut Sink<'_>,
    ) -> Result<(), Rejection> {
        let mut readings = sink.readings();
        let mut id = self.id.clone();
        match (kind, object) {
            (1, [kind, system, low, high]) => {
                id = format!("{id}:{system}");
                readings.push(DraftReading::new("system_type", DraftValue::Integer(i64::from(*kind))));
                bits(u16::from_le_bytes([*low, *high]), SYSTEM_BITS, &mut readings);
            }
            (2, [system_type, system, kind, a, b, c, d, low, high, description @ ..]) => {
                id = format!("{id}:{system}:{}", hex_text([*d, *c, *b, *a]));
                readings.push(DraftReading::new("system_type", DraftValue::Integer(i64::from(*system_type))));
                readings.push(DraftReading::new("component_type", DraftValue::Integer(i64::from(*kind))));
                bits(u16::from_le_bytes([*low, *high]), COMPONENT_BITS, &mut readings);
                let text = encoding_rs::GB18030.decode_without_bom_handling(description).0;
                let text = text.trim_matches(|c: char| c == '\0' || c.is_whitespace());
                if !text.is_empty() {
                    readings.push(DraftReading::new("description", DraftValue::Text(text.to_owned().into())));
                }
            }
            (3, [_, system, kind, a, b, c, d, analog, low, high]) => {
                id = format!("{id}:{system}:{}", hex_text([*d, *c, *b, *a]));
                readings.push(DraftReading::new("component_type", DraftValue::Integer(i64::from(*kind))));
                let value = i64::from(i16::from_le_bytes([*low, *high]));
                let known = usize::from(*analog).checked_sub(1).and_then(|at| ANALOG.get(at));
                let (metric, unit, decimals) = known.copied().unwrap_or(("", "", 0));
                let name = if metric.is_empty() { format!("analog_{analog}") } else { metric.to_owned() };
                let mut reading = DraftReading::new(name, scaled(value, decimals));
                reading.unit = unit.into();
                readings.push(reading);
            }
            (4, [_, system, operation, operator]) => {
                id = format!("{id}:{system}");
                bits(u16::from(*operation), OPERATION_BITS, &mut readings);
                readings.push(DraftReading::new("operator", DraftValue::Integer(i64::from(*operator))));
            }
            (24, [operation, operator]) => {
                bits(u16::from(*operation), OPERATION_BITS, &mut readings);
                readings.push(DraftReading::new("operator", DraftValue::Integer(i64::from(*operator))));
            }
            (_, [state]) => bits(u16::from(*state), TRANSMITTER_BITS, &mut readings),
            _ => return Err(malformed("an object of another length")),
        }
        let kind = if matches!(kind, 4 | 24) { Kind::Event } else { Kind::Telemetry };
        self.accept(id, readings, kind, at_us, sink)
    }

    fn accept(
        &self,
        id: String,
        readings: Vec<DraftReading<'_>>,
        kind: Kind,
        at_us: Option<i64>,
        sink: &mut Sink<'_>,
    ) -> Result<(), Rejection> {
        let is_transmitter = id == self.id;
        let mut draft = Draft::new(id, readings);
        draft.kind = kind;
        draft.domain = "fire";
        draft.has_local_times = true;
        if !is_transmitter {
            draft.gateway_id = self.id.as_str().into();
        }
        if let Some(at_us) = at_us {
            draft.time = Some(DraftTime::of_device(at_us));
            draft.identity = Identity::Content(self.frame);
        }
        self.context.accept(draft, sink)
    }
}

fn bits(state: u16, names: Bits, readings: &mut Vec<DraftReading<'_>>) {
    for (at, name) in names.iter().enumerate() {
        readings.push(DraftReading::new(*name, DraftValue::Boolean(state >> at & 1 == 1)));
    }
}
