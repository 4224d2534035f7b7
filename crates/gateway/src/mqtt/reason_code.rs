//! The reason codes of MQTT 5.0, and what 3.1.1 says in their place.

/// A reason code of MQTT 5.0.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReasonCode(pub u8);

impl ReasonCode {
    pub const SUCCESS: Self = Self(0x00);
    pub const DISCONNECT_WITH_WILL: Self = Self(0x04);
    pub const NO_SUBSCRIPTION_EXISTED: Self = Self(0x11);
    pub const UNSPECIFIED_ERROR: Self = Self(0x80);
    pub const MALFORMED_PACKET: Self = Self(0x81);
    pub const PROTOCOL_ERROR: Self = Self(0x82);
    pub const IMPLEMENTATION_ERROR: Self = Self(0x83);
    pub const UNSUPPORTED_PROTOCOL_VERSION: Self = Self(0x84);
    pub const CLIENT_IDENTIFIER_NOT_VALID: Self = Self(0x85);
    pub const BAD_USER_NAME_OR_PASSWORD: Self = Self(0x86);
    pub const NOT_AUTHORIZED: Self = Self(0x87);
    pub const SERVER_UNAVAILABLE: Self = Self(0x88);
    pub const SERVER_BUSY: Self = Self(0x89);
    pub const SERVER_SHUTTING_DOWN: Self = Self(0x8B);
    pub const BAD_AUTHENTICATION_METHOD: Self = Self(0x8C);
    pub const KEEP_ALIVE_TIMEOUT: Self = Self(0x8D);
    pub const SESSION_TAKEN_OVER: Self = Self(0x8E);
    pub const TOPIC_FILTER_INVALID: Self = Self(0x8F);
    pub const TOPIC_NAME_INVALID: Self = Self(0x90);
    pub const PACKET_IDENTIFIER_NOT_FOUND: Self = Self(0x92);
    pub const RECEIVE_MAXIMUM_EXCEEDED: Self = Self(0x93);
    pub const TOPIC_ALIAS_INVALID: Self = Self(0x94);
    pub const PACKET_TOO_LARGE: Self = Self(0x95);
    pub const MESSAGE_RATE_TOO_HIGH: Self = Self(0x96);
    pub const QUOTA_EXCEEDED: Self = Self(0x97);
    pub const ADMINISTRATIVE_ACTION: Self = Self(0x98);
    pub const CONNECTION_RATE_EXCEEDED: Self = Self(0x9F);
    pub const SHARED_SUBSCRIPTIONS_NOT_SUPPORTED: Self = Self(0x9E);

    /// Name in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SUCCESS => "success",
            Self::DISCONNECT_WITH_WILL => "disconnect_with_will",
            Self::NO_SUBSCRIPTION_EXISTED => "no_subscription_existed",
            Self::UNSPECIFIED_ERROR => "unspecified_error",
            Self::MALFORMED_PACKET => "malformed_packet",
            Self::PROTOCOL_ERROR => "protocol_error",
            Self::IMPLEMENTATION_ERROR => "implementation_error",
            Self::UNSUPPORTED_PROTOCOL_VERSION => "unsupported_protocol_version",
            Self::CLIENT_IDENTIFIER_NOT_VALID => "client_identifier_not_valid",
            Self::BAD_USER_NAME_OR_PASSWORD => "bad_user_name_or_password",
            Self::NOT_AUTHORIZED => "not_authorized",
            Self::SERVER_UNAVAILABLE => "server_unavailable",
            Self::SERVER_BUSY => "server_busy",
            Self::SERVER_SHUTTING_DOWN => "server_shutting_down",
            Self::BAD_AUTHENTICATION_METHOD => "bad_authentication_method",
            Self::KEEP_ALIVE_TIMEOUT => "keep_alive_timeout",
            Self::SESSION_TAKEN_OVER => "session_taken_over",
            Self::TOPIC_FILTER_INVALID => "topic_filter_invalid",
            Self::TOPIC_NAME_INVALID => "topic_name_invalid",
            Self::PACKET_IDENTIFIER_NOT_FOUND => "packet_identifier_not_found",
            Self::RECEIVE_MAXIMUM_EXCEEDED => "receive_maximum_exceeded",
            Self::TOPIC_ALIAS_INVALID => "topic_alias_invalid",
            Self::PACKET_TOO_LARGE => "packet_too_large",
            Self::MESSAGE_RATE_TOO_HIGH => "message_rate_too_high",
            Self::QUOTA_EXCEEDED => "quota_exceeded",
            Self::ADMINISTRATIVE_ACTION => "administrative_action",
            Self::CONNECTION_RATE_EXCEEDED => "connection_rate_exceeded",
            Self::SHARED_SUBSCRIPTIONS_NOT_SUPPORTED => "shared_subscriptions_not_supported",
            _ => "other",
        }
    }

    /// Whether a client may say it in a DISCONNECT (MQTT 5.0, table 3-13).
    pub const fn is_clients_disconnect(self) -> bool {
        matches!(self.0, 0x00 | 0x04 | 0x80..=0x83 | 0x90 | 0x93..=0x99)
    }

    /// Whether a PUBREL or PUBCOMP may carry it.
    pub const fn is_release(self) -> bool {
        matches!(self, Self::SUCCESS | Self::PACKET_IDENTIFIER_NOT_FOUND)
    }

    /// Whether a PUBACK or PUBREC may carry it.
    pub const fn is_publish_answer(self) -> bool {
        matches!(self.0, 0x00 | 0x10 | 0x80 | 0x83 | 0x87 | 0x90 | 0x91 | 0x97 | 0x99)
    }

    /// The CONNACK return code of 3.1.1, where it has one: without one the connection closes without an answer.
    pub const fn return_code_v311(self) -> Option<u8> {
        match self {
            Self::UNSUPPORTED_PROTOCOL_VERSION => Some(1),
            Self::CLIENT_IDENTIFIER_NOT_VALID => Some(2),
            Self::SERVER_UNAVAILABLE
            | Self::SERVER_BUSY
            | Self::QUOTA_EXCEEDED
            | Self::CONNECTION_RATE_EXCEEDED
            | Self::SERVER_SHUTTING_DOWN => Some(3),
            Self::BAD_USER_NAME_OR_PASSWORD => Some(4),
            Self::NOT_AUTHORIZED => Some(5),
            _ => None,
        }
    }
}

impl std::fmt::Debug for ReasonCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#04x} {}", self.0, self.name())
    }
}
