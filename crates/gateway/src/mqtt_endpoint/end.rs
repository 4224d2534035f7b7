//! Why a connection ends, and what follows from it.

use std::io;

use super::mailbox::Kick;
use crate::mqtt::{PacketError, ReasonCode};

/// Why a connection ends.
#[derive(Debug)]
pub(super) enum End {
    /// The client said DISCONNECT.
    Disconnected { with_will: bool },
    /// The network connection ended without one.
    Lost(Option<io::Error>),
    /// The client broke the standard or a limit.
    Refused(PacketError),
    /// Someone else ends it.
    Kicked(Kick),
    /// Who it belongs to was changed or revoked.
    Revoked,
}

impl End {
    /// What the DISCONNECT of a 5.0 connection says, where one is sent.
    pub(super) fn said(&self) -> Option<(ReasonCode, &'static str)> {
        match self {
            End::Refused(error) => Some((error.reason, error.what)),
            End::Kicked(Kick::TakenOver) => Some((ReasonCode::SESSION_TAKEN_OVER, "")),
            End::Kicked(Kick::ShuttingDown | Kick::Abort) => Some((ReasonCode::SERVER_SHUTTING_DOWN, "")),
            End::Revoked => Some((ReasonCode::NOT_AUTHORIZED, "the credentials were changed or revoked")),
            // What was sent is neither refused nor accepted.
            End::Kicked(Kick::LogFailed) | End::Disconnected { .. } | End::Lost(_) => None,
        }
    }

    /// Whether the server ends it and the peer may still listen.
    pub(super) fn is_ours(&self) -> bool {
        matches!(self, End::Refused(_) | End::Kicked(_) | End::Revoked)
    }

    /// A will says that the device is gone; that the server is says nothing about the device [MQTT-3.1.2-8].
    pub(super) fn publishes_will(&self) -> bool {
        match self {
            End::Disconnected { with_will } => *with_will,
            End::Lost(_) | End::Refused(_) | End::Kicked(Kick::TakenOver) => true,
            // Whoever is revoked speaks for no device any more.
            End::Kicked(Kick::ShuttingDown | Kick::LogFailed | Kick::Abort) | End::Revoked => false,
        }
    }

    /// Name in metrics.
    pub(super) fn name(&self) -> &'static str {
        match self {
            End::Disconnected { with_will: false } => "disconnect",
            End::Disconnected { with_will: true } => "disconnect_with_will",
            End::Lost(None) => "closed_by_peer",
            End::Lost(Some(_)) => "network_error",
            End::Refused(error) => error.reason.name(),
            End::Kicked(Kick::TakenOver) => "session_taken_over",
            End::Kicked(Kick::ShuttingDown | Kick::Abort) => "server_shutting_down",
            End::Kicked(Kick::LogFailed) => "log_failed",
            End::Revoked => "revoked",
        }
    }
}
