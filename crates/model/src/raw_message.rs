//! What an adapter hands on: bytes, where they came from and when. No dialect.

/// The part of the gateway that took a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Adapter {
    MqttEndpoint,
    MqttSubscriber,
    Coap,
    Push,
    Field,
}

impl Adapter {
    /// Name in `Source.adapter`, metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Adapter::MqttEndpoint => "mqtt_endpoint",
            Adapter::MqttSubscriber => "mqtt_subscriber",
            Adapter::Coap => "coap",
            Adapter::Push => "push",
            Adapter::Field => "field",
        }
    }

    /// The lake's column `protocol`, where the dialect has no better name for it.
    pub const fn protocol(self) -> &'static str {
        match self {
            Adapter::MqttEndpoint | Adapter::MqttSubscriber => "mqtt",
            Adapter::Coap => "coap",
            Adapter::Push => "http",
            Adapter::Field => "tcp",
        }
    }
}

/// One message as it came from a transport, borrowed from its buffer.
#[derive(Clone, Copy, Debug)]
pub struct RawMessage<'a> {
    pub adapter: Adapter,
    /// MQTT topic or path.
    pub topic: &'a str,
    pub payload: &'a [u8],
    /// Who published, never the connection: MQTT client id, broker URL or platform source.
    pub publisher: &'a str,
    /// MQTT 5 content type, CoAP content format or HTTP content type; empty when not said.
    pub content_type: &'a str,
    /// Packet or message id of the transport, where it has one.
    pub packet_id: Option<u32>,
    /// The transport marked it as a resend (MQTT DUP, CoAP message id seen before).
    pub is_redelivered: bool,
    /// A broker delivered it with the retain flag.
    pub is_retained: bool,
    /// The last will of a client whose connection ended.
    pub is_will: bool,
    /// When the first byte was ours, microseconds since 1970-01-01T00:00:00Z.
    pub received_at_us: i64,
}
