//! CONNECT: who comes, with which session and which will.

use super::frame::packet_type;
use super::properties::{Allowed, Properties, Value, id};
use super::reader::Reader;
use super::{Frame, PacketError, Qos, ReasonCode, Version, topic};

/// One CONNECT, borrowed from the read buffer.
#[derive(Clone, Debug, PartialEq)]
pub struct Connect<'a> {
    pub version: Version,
    /// Clean session in 3.1.1.
    pub is_clean_start: bool,
    /// 0: none.
    pub keep_alive_seconds: u16,
    /// Empty: the server chooses.
    pub client_id: &'a str,
    pub will: Option<Will<'a>>,
    pub username: Option<&'a str>,
    pub password: Option<&'a [u8]>,
    /// 5.0 only; 0 when not said.
    pub session_expiry_seconds: u32,
    /// How many deliveries of QoS above 0 the client takes at once.
    pub receive_maximum: u16,
    /// The largest packet that the client takes.
    pub packet_bytes_max: u32,
    pub has_authentication_method: bool,
}

/// What is published when the connection ends without a DISCONNECT.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Will<'a> {
    pub topic: &'a str,
    pub payload: &'a [u8],
    pub qos: Qos,
    pub is_retain: bool,
    pub delay_seconds: u32,
    pub content_type: &'a str,
}

/// Why a CONNECT was refused, and in which version to say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct ConnectError {
    /// `None`: the packet ended or broke before it said so.
    pub version: Option<Version>,
    #[source]
    pub error: PacketError,
}

const CONNECT: Allowed = Allowed::new(&[
    id::SESSION_EXPIRY_INTERVAL,
    id::RECEIVE_MAXIMUM,
    id::MAXIMUM_PACKET_SIZE,
    id::TOPIC_ALIAS_MAXIMUM,
    id::REQUEST_RESPONSE_INFORMATION,
    id::REQUEST_PROBLEM_INFORMATION,
    id::USER_PROPERTY,
    id::AUTHENTICATION_METHOD,
    id::AUTHENTICATION_DATA,
]);

const WILL: Allowed = Allowed::new(&[
    id::WILL_DELAY_INTERVAL,
    id::PAYLOAD_FORMAT_INDICATOR,
    id::MESSAGE_EXPIRY_INTERVAL,
    id::CONTENT_TYPE,
    id::RESPONSE_TOPIC,
    id::CORRELATION_DATA,
    id::USER_PROPERTY,
]);

impl<'a> Connect<'a> {
    /// Reads the first packet of a connection.
    ///
    /// # Errors
    /// It is no CONNECT, another protocol or version, or what the standard forbids in it.
    pub fn parse(frame: Frame<'a>) -> Result<Self, ConnectError> {
        let unknown = |error| ConnectError { version: None, error };
        if frame.packet_type() != packet_type::CONNECT {
            return Err(unknown(PacketError::protocol("the first packet is no CONNECT [MQTT-3.1.0-1]")));
        }
        if frame.flags() != 0 {
            return Err(unknown(PacketError::malformed(
                "reserved flags of a CONNECT are set [MQTT-2.1.3-1]",
            )));
        }
        let mut reader = Reader::new(frame.body);
        let version = read_version(&mut reader)?;
        Self::parse_rest(version, reader).map_err(|error| ConnectError { version: Some(version), error })
    }

    fn parse_rest(version: Version, mut reader: Reader<'a>) -> Result<Self, PacketError> {
        let flags = Flags(reader.byte()?);
        flags.check(version)?;
        let mut connect = Connect {
            version,
            is_clean_start: flags.is_clean_start(),
            keep_alive_seconds: reader.two_bytes()?,
            client_id: "",
            will: None,
            username: None,
            password: None,
            session_expiry_seconds: 0,
            receive_maximum: u16::MAX,
            packet_bytes_max: u32::MAX,
            has_authentication_method: false,
        };
        if version == Version::V5 {
            connect.read_properties(&mut reader)?;
        }
        connect.client_id = reader.text()?;
        if flags.has_will() {
            connect.will = Some(read_will(version, flags, &mut reader)?);
        }
        if flags.has_username() {
            connect.username = Some(reader.text()?);
        }
        if flags.has_password() {
            connect.password = Some(reader.binary()?);
        }
        reader.end()?;
        Ok(connect)
    }

    fn read_properties(&mut self, reader: &mut Reader<'a>) -> Result<(), PacketError> {
        let mut properties = Properties::read(reader, CONNECT)?;
        let mut has_authentication_data = false;
        while let Some(property) = properties.next()? {
            match property {
                (id::SESSION_EXPIRY_INTERVAL, Value::FourBytes(seconds)) => {
                    self.session_expiry_seconds = seconds
                }
                (id::RECEIVE_MAXIMUM, Value::TwoBytes(0)) => {
                    return Err(PacketError::protocol("the receive maximum is 0 (MQTT 5.0, 3.1.2.11.3)"));
                }
                (id::RECEIVE_MAXIMUM, Value::TwoBytes(maximum)) => self.receive_maximum = maximum,
                (id::MAXIMUM_PACKET_SIZE, Value::FourBytes(0)) => {
                    return Err(PacketError::protocol("the maximum packet size is 0 (MQTT 5.0, 3.1.2.11.4)"));
                }
                (id::MAXIMUM_PACKET_SIZE, Value::FourBytes(bytes)) => self.packet_bytes_max = bytes,
                (id::AUTHENTICATION_METHOD, _) => self.has_authentication_method = true,
                (id::AUTHENTICATION_DATA, _) => has_authentication_data = true,
                _ => {}
            }
        }
        if has_authentication_data && !self.has_authentication_method {
            return Err(PacketError::protocol(
                "authentication data without a method (MQTT 5.0, 3.1.2.11.10)",
            ));
        }
        Ok(())
    }
}

fn read_version(reader: &mut Reader<'_>) -> Result<Version, ConnectError> {
    let unknown = |error| ConnectError { version: None, error };
    let name = reader.text().map_err(unknown)?;
    let level = reader.byte().map_err(unknown)?;
    let refuse = |version| ConnectError {
        version: Some(version),
        error: PacketError {
            reason: ReasonCode::UNSUPPORTED_PROTOCOL_VERSION,
            what: "neither MQTT 3.1.1 nor 5.0 [MQTT-3.1.2-2]",
        },
    };
    match (name, level) {
        ("MQTT", 4) => Ok(Version::V311),
        ("MQTT", 5) => Ok(Version::V5),
        // A client of a later version reads the CONNACK of 5.0, one of an earlier that of 3.1.1.
        ("MQTT", 6..) => Err(refuse(Version::V5)),
        ("MQTT" | "MQIsdp", _) => Err(refuse(Version::V311)),
        _ => Err(unknown(PacketError {
            reason: ReasonCode::UNSUPPORTED_PROTOCOL_VERSION,
            what: "the protocol name is not MQTT [MQTT-3.1.2-1]",
        })),
    }
}

fn read_will<'a>(version: Version, flags: Flags, reader: &mut Reader<'a>) -> Result<Will<'a>, PacketError> {
    let (mut delay_seconds, mut content_type) = (0, "");
    if version == Version::V5 {
        let mut properties = Properties::read(reader, WILL)?;
        while let Some(property) = properties.next()? {
            match property {
                (id::WILL_DELAY_INTERVAL, Value::FourBytes(seconds)) => delay_seconds = seconds,
                (id::CONTENT_TYPE, Value::Text(text)) => content_type = text,
                (id::RESPONSE_TOPIC, Value::Text(response)) if !topic::is_valid_name(response) => {
                    return Err(PacketError::protocol("the will's response topic is no topic name"));
                }
                _ => {}
            }
        }
    }
    let will_topic = reader.text()?;
    if !topic::is_valid_name(will_topic) {
        return Err(PacketError {
            reason: ReasonCode::TOPIC_NAME_INVALID,
            what: "the will's topic is no topic name",
        });
    }
    let payload = reader.binary()?;
    let qos = flags.will_qos().ok_or(PacketError::malformed("the will has QoS 3 [MQTT-3.1.2-12]"))?;
    Ok(Will {
        topic: will_topic,
        payload,
        qos,
        is_retain: flags.is_will_retain(),
        delay_seconds,
        content_type,
    })
}

/// The connect flags.
#[derive(Clone, Copy)]
struct Flags(u8);

impl Flags {
    const fn is_clean_start(self) -> bool {
        self.0 & 0x02 != 0
    }

    const fn has_will(self) -> bool {
        self.0 & 0x04 != 0
    }

    const fn will_qos(self) -> Option<Qos> {
        Qos::from_bits(self.0 >> 3 & 3)
    }

    const fn is_will_retain(self) -> bool {
        self.0 & 0x20 != 0
    }

    const fn has_password(self) -> bool {
        self.0 & 0x40 != 0
    }

    const fn has_username(self) -> bool {
        self.0 & 0x80 != 0
    }

    fn check(self, version: Version) -> Result<(), PacketError> {
        if self.0 & 1 != 0 {
            return Err(PacketError::malformed("the reserved connect flag is set [MQTT-3.1.2-3]"));
        }
        if self.will_qos().is_none() {
            return Err(PacketError::malformed("the will has QoS 3 [MQTT-3.1.2-12]"));
        }
        if !self.has_will() && self.0 & 0x38 != 0 {
            return Err(PacketError::malformed(
                "flags of a will without a will [MQTT-3.1.2-11, MQTT-3.1.2-13]",
            ));
        }
        // 5.0 allows it, 3.1.1 does not [MQTT-3.1.2-22].
        if version == Version::V311 && self.has_password() && !self.has_username() {
            return Err(PacketError::malformed("a password without a user name [MQTT 3.1.1, MQTT-3.1.2-22]"));
        }
        Ok(())
    }
}
