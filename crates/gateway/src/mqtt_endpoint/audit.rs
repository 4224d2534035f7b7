//! The audit trail: who was refused what, as log lines of the target `audit`. What peers say is written escaped and cut, and
//! lines are bounded, so that nobody fills the log or forges a line of it.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use metrics::Counter;
use tokio::time::Instant;

use super::authenticator::Applicant;
use super::identity::Identity;
use crate::mqtt::ReasonCode;

/// Lines of one second; what is beyond is counted and said with the next line.
const LINES_PER_SECOND_MAX: u64 = 50;
/// Characters of a text of a peer.
const TEXT_CHARS_MAX: usize = 128;
/// Bits of a count of lines, below the number of the second.
const COUNT_BITS: u32 = 16;

/// Writes the trail, for all threads of an endpoint.
pub(super) struct Audit {
    started_at: Instant,
    /// The second since the start, and the lines written in it.
    written: AtomicU64,
    suppressed: AtomicU64,
    suppressed_lines: Counter,
}

impl Audit {
    pub(super) fn new() -> Self {
        Audit {
            started_at: Instant::now(),
            written: AtomicU64::new(0),
            suppressed: AtomicU64::new(0),
            suppressed_lines: metrics::counter!("urban_neuron_mqtt_endpoint_audit_suppressed_lines_total"),
        }
    }

    pub(super) fn connected(&self, applicant: &Applicant<'_>, identity: &Identity) {
        tracing::debug!(
            target: "audit",
            event = "connected",
            user = ?cut(identity.name()),
            client_id = ?cut(applicant.client_id),
            address = %applicant.address,
            "a client connected"
        );
    }

    pub(super) fn connection_refused(&self, applicant: &Applicant<'_>, reason: ReasonCode) {
        let Some(suppressed) = self.next_line() else { return };
        tracing::warn!(
            target: "audit",
            event = "connection_refused",
            reason = reason.name(),
            user = ?cut(applicant.username.unwrap_or("")),
            certificate = ?applicant.certificate_names.and_then(<[String]>::first).map(|name| cut(name)),
            client_id = ?cut(applicant.client_id),
            address = %applicant.address,
            suppressed,
            "a client was not let in"
        );
    }

    pub(super) fn publish_refused(&self, who: &Who<'_>, topic: &str, device_id: Option<&str>) {
        let Some(suppressed) = self.next_line() else { return };
        tracing::warn!(
            target: "audit",
            event = "publish_refused",
            user = ?cut(who.identity.name()),
            client_id = ?cut(who.client_id),
            address = ?who.address,
            topic = ?cut(topic),
            device_id = ?device_id.map(cut),
            suppressed,
            "a message was refused: its sender may not speak for this device"
        );
    }

    pub(super) fn subscribe_refused(&self, who: &Who<'_>, filter: &str) {
        let Some(suppressed) = self.next_line() else { return };
        tracing::warn!(
            target: "audit",
            event = "subscribe_refused",
            user = ?cut(who.identity.name()),
            client_id = ?cut(who.client_id),
            address = ?who.address,
            filter = ?cut(filter),
            suppressed,
            "a subscription was refused"
        );
    }

    pub(super) fn disconnected(&self, who: &Who<'_>) {
        let Some(suppressed) = self.next_line() else { return };
        tracing::warn!(
            target: "audit",
            event = "revoked",
            user = ?cut(who.identity.name()),
            client_id = ?cut(who.client_id),
            address = ?who.address,
            suppressed,
            "a connection was ended: its credentials were changed or revoked"
        );
    }

    /// Whether one more line may be written now; with how many were not written before it.
    fn next_line(&self) -> Option<u64> {
        let second = self.started_at.elapsed().as_secs();
        let next = |written: u64| {
            let count = if written >> COUNT_BITS == second { written & ((1 << COUNT_BITS) - 1) } else { 0 };
            (count < LINES_PER_SECOND_MAX).then_some(second << COUNT_BITS | (count + 1))
        };
        if self.written.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok() {
            return Some(self.suppressed.swap(0, Ordering::Relaxed));
        }
        self.suppressed.fetch_add(1, Ordering::Relaxed);
        self.suppressed_lines.increment(1);
        None
    }
}

/// Whom a line is about.
pub(super) struct Who<'a> {
    pub(super) identity: &'a Identity,
    pub(super) client_id: &'a str,
    /// `None`: its connection is gone.
    pub(super) address: Option<IpAddr>,
}

fn cut(text: &str) -> &str {
    text.char_indices().nth(TEXT_CHARS_MAX).map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded_and_what_is_left_out_is_counted() {
        let audit = Audit::new();
        let lines = (0..1000).filter(|_| audit.next_line().is_some()).count() as u64;
        // The test may run into the next second, never into many.
        assert!((LINES_PER_SECOND_MAX..1000).contains(&lines), "{lines}");
        assert!(audit.suppressed.load(Ordering::Relaxed) > 0);
    }

    #[test]
    fn texts_are_cut_between_characters() {
        let long = "\u{6c34}".repeat(TEXT_CHARS_MAX + 5);
        assert_eq!(cut(&long).chars().count(), TEXT_CHARS_MAX);
        assert_eq!(cut("short"), "short");
    }
}
