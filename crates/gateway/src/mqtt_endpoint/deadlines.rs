//! What a client must have done by when: a packet within its keep-alive, the rest of a packet, a read of its answers.

use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use crate::mqtt::{PacketError, ReasonCode};

/// Who must have done something by when.
pub(super) struct Deadlines {
    keep_alive: Duration,
    packet_timeout: Duration,
    /// The last packet, or the end of a pause of ours.
    pub(super) heard_at: Instant,
    /// Since when a packet is unfinished.
    pub(super) partial_since: Option<Instant>,
    /// Since when the client takes no byte.
    pub(super) stalled_since: Option<Instant>,
    /// Since when we do not read.
    pub(super) is_paused: bool,
    timer: Pin<Box<Sleep>>,
}

impl Deadlines {
    pub(super) fn new(keep_alive: Duration, packet_timeout: Duration) -> Self {
        let now = Instant::now();
        Deadlines {
            // One and a half times the keep-alive [MQTT-3.1.2-22].
            keep_alive: keep_alive * 3 / 2,
            packet_timeout,
            heard_at: now,
            partial_since: None,
            stalled_since: None,
            is_paused: false,
            timer: Box::pin(sleep_until(now)),
        }
    }

    /// The first that will pass, and what is said then.
    fn next(&self) -> Option<(Instant, PacketError)> {
        let timeout = |reason, what| PacketError { reason, what };
        let is_read = !self.is_paused;
        let keep_alive = (is_read && !self.keep_alive.is_zero()).then(|| {
            let what = "no packet within one and a half times the keep-alive [MQTT-3.1.2-22]";
            (self.heard_at + self.keep_alive, timeout(ReasonCode::KEEP_ALIVE_TIMEOUT, what))
        });
        let partial = self.partial_since.filter(|_| is_read).map(|since| {
            let what = "a packet was begun and not finished in time";
            (since + self.packet_timeout, timeout(ReasonCode::UNSPECIFIED_ERROR, what))
        });
        let stalled = self.stalled_since.map(|since| {
            let what = "the client does not read";
            (since + self.packet_timeout, timeout(ReasonCode::UNSPECIFIED_ERROR, what))
        });
        [keep_alive, partial, stalled].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// Wakes the task in time for the next deadline.
    ///
    /// # Errors
    /// What to say when one has passed.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Result<(), PacketError> {
        while let Some((at, error)) = self.next() {
            if at <= Instant::now() {
                return Err(error);
            }
            // An armed timer that is early only costs a turn; deadlines move with every packet.
            let is_armed = !self.timer.is_elapsed() && self.timer.deadline() <= at;
            if !is_armed {
                self.timer.as_mut().reset(at);
            }
            if self.timer.as_mut().poll(cx).is_pending() {
                break;
            }
        }
        Ok(())
    }
}
