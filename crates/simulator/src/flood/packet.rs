//! The two packets of MQTT 3.1.1 that a flood sends, written by hand: CONNECT, and one PUBLISH in which only digits
//! change from message to message.

/// A CONNECT with a clean session and no keep-alive: a flood is never silent for long.
pub(super) fn connect(client_id: &str) -> Vec<u8> {
    const CLEAN_SESSION: u8 = 0x02;
    let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', 4, CLEAN_SESSION, 0, 0];
    put_text(&mut body, client_id);
    let mut packet = vec![0x10];
    put_length(&mut packet, body.len());
    packet.extend_from_slice(&body);
    packet
}

pub(super) const DISCONNECT: [u8; 2] = [0xe0, 0];

fn put_text(packet: &mut Vec<u8>, text: &str) {
    packet.extend_from_slice(&(text.len() as u16).to_be_bytes());
    packet.extend_from_slice(text.as_bytes());
}

fn put_length(packet: &mut Vec<u8>, mut length: usize) {
    loop {
        let low = (length & 0x7f) as u8;
        length >>= 7;
        packet.push(if length > 0 { low | 0x80 } else { low });
        if length == 0 {
            return;
        }
    }
}

const TOPIC: &str = "urban-neuron/v1/devices/sensor-00000000/telemetry";
const PAYLOAD: &str = r#"{"ts":0000000000000,"temperature":00.00,"humidity":00.00}"#;

/// A PUBLISH of QoS 1 with two readings, and where its digits stand.
#[derive(Clone, Debug)]
pub(super) struct Template {
    packet: Vec<u8>,
    device_at: usize,
    packet_id_at: usize,
    time_at: usize,
    temperature_at: usize,
    humidity_at: usize,
}

impl Template {
    pub(super) fn new() -> Self {
        const QOS_1: u8 = 0x32;
        let mut packet = vec![QOS_1];
        put_length(&mut packet, 2 + TOPIC.len() + 2 + PAYLOAD.len());
        let topic_at = packet.len() + 2;
        put_text(&mut packet, TOPIC);
        let packet_id_at = packet.len();
        packet.extend_from_slice(&[0, 0]);
        let payload_at = packet.len();
        packet.extend_from_slice(PAYLOAD.as_bytes());
        let place = |text: &str, part: &str| {
            text.find(part).expect("the template contains what it is made of") + part.len()
        };
        Template {
            device_at: topic_at + place(TOPIC, "sensor-"),
            packet_id_at,
            time_at: payload_at + place(PAYLOAD, "\"ts\":"),
            temperature_at: payload_at + place(PAYLOAD, "\"temperature\":"),
            humidity_at: payload_at + place(PAYLOAD, "\"humidity\":"),
            packet,
        }
    }

    /// The time of all messages until the next call, milliseconds since 1970-01-01T00:00:00Z.
    pub(super) fn set_time(&mut self, ms: i64) {
        let (high, low) = (ms / 100_000_000, ms % 100_000_000);
        let [a, b, c] = [high / 10_000 % 10, high / 100 % 100, high % 100];
        let at = self.time_at;
        self.packet[at] = b'0' + a as u8;
        put_pair(&mut self.packet[at + 1..], b as u32);
        put_pair(&mut self.packet[at + 3..], c as u32);
        put_eight(&mut self.packet[at + 5..], low as u32);
    }

    /// Appends a message. The values are hundredths below 10,000, `noise` gives both.
    #[inline]
    pub(super) fn append(&self, packets: &mut Vec<u8>, packet_id: u16, device: u32, noise: u64) {
        let start = packets.len();
        packets.extend_from_slice(&self.packet);
        let packet = &mut packets[start..];
        packet[self.packet_id_at..][..2].copy_from_slice(&packet_id.to_be_bytes());
        put_eight(&mut packet[self.device_at..], device);
        put_hundredths(&mut packet[self.temperature_at..], 1_800 + (noise as u32 & 0x3ff));
        put_hundredths(&mut packet[self.humidity_at..], 4_000 + ((noise >> 32) as u32 & 0x7ff));
    }
}

#[inline]
fn put_pair(text: &mut [u8], number: u32) {
    text[..2].copy_from_slice(&[b'0' + (number / 10) as u8, b'0' + (number % 10) as u8]);
}

#[inline]
fn put_eight(text: &mut [u8], number: u32) {
    let (high, low) = (number / 10_000 % 10_000, number % 10_000);
    put_pair(text, high / 100);
    put_pair(&mut text[2..], high % 100);
    put_pair(&mut text[4..], low / 100);
    put_pair(&mut text[6..], low % 100);
}

#[inline]
fn put_hundredths(text: &mut [u8], number: u32) {
    put_pair(text, number / 100);
    put_pair(&mut text[3..], number % 100);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_stand_where_they_should() {
        let mut template = Template::new();
        template.set_time(1_790_000_000_123);
        let mut packets = vec![0xff];
        template.append(&mut packets, 0x1234, 90_071, (5 << 32) | 7);
        let body = 2 + TOPIC.len() + 2 + PAYLOAD.len();
        let mut expected = vec![0xff, 0x32, body as u8, 0, TOPIC.len() as u8];
        expected.extend_from_slice(b"urban-neuron/v1/devices/sensor-00090071/telemetry\x12\x34");
        expected.extend_from_slice(br#"{"ts":1790000000123,"temperature":18.07,"humidity":40.05}"#);
        assert!(body < 128);
        assert_eq!(String::from_utf8_lossy(&packets), String::from_utf8_lossy(&expected));
    }

    #[test]
    fn long_packets_have_long_lengths() {
        let packet = connect(&"x".repeat(200));
        assert_eq!(packet[..3], [0x10, 0x80 | (212 - 128) as u8, 1]);
        assert_eq!(packet.len(), 3 + 212);
    }
}
