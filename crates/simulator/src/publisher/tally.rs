//! The counts of all connections of one run.

use std::time::Instant;

use super::ledger::Ledger;
use crate::{BrokerAddress, Error, Latencies, Message, Progress, Summary};

/// Shared by the connections, which live on one thread.
pub(super) struct Tally {
    started: Instant,
    sent: u64,
    acknowledged: u64,
    resent: u64,
    reconnects: u64,
    connected: u32,
    was_connected: bool,
    last_trouble: String,
    latencies: Latencies,
    ledger: Option<Ledger>,
}

impl Tally {
    pub(super) fn new(ledger: Option<Ledger>) -> Self {
        Tally {
            started: Instant::now(),
            sent: 0,
            acknowledged: 0,
            resent: 0,
            reconnects: 0,
            connected: 0,
            was_connected: false,
            last_trouble: "no connection was opened in time".to_owned(),
            latencies: Latencies::default(),
            ledger,
        }
    }

    pub(super) fn connect(&mut self) {
        self.connected += 1;
        self.was_connected = true;
    }

    pub(super) fn disconnect(&mut self) {
        self.connected -= 1;
    }

    /// A connection was lost, or could not be opened.
    pub(super) fn trouble(&mut self, was_open: bool, cause: String) {
        self.reconnects += u64::from(was_open);
        self.last_trouble = cause;
    }

    pub(super) fn send(&mut self) {
        self.sent += 1;
    }

    pub(super) fn resend(&mut self) {
        self.resent += 1;
    }

    pub(super) fn acknowledge(&mut self, message: &Message, sent_at: Instant) -> Result<(), Error> {
        self.acknowledged += 1;
        self.latencies.record(sent_at.elapsed());
        self.ledger.as_mut().map_or(Ok(()), |ledger| ledger.write(message))
    }

    pub(super) fn progress(&self) -> Progress {
        Progress {
            elapsed: self.started.elapsed(),
            sent: self.sent,
            acknowledged: self.acknowledged,
            resent: self.resent,
            connected: self.connected,
            reconnects: self.reconnects,
        }
    }

    pub(super) fn finish(&mut self, broker: &BrokerAddress) -> Result<Summary, Error> {
        if !self.was_connected {
            return Err(Error::Unreachable { broker: broker.to_string(), cause: self.last_trouble.clone() });
        }
        self.ledger.as_mut().map_or(Ok(()), Ledger::finish)?;
        Ok(Summary {
            elapsed: self.started.elapsed(),
            sent: self.sent,
            acknowledged: self.acknowledged,
            resent: self.resent,
            reconnects: self.reconnects,
            latencies: self.latencies.clone(),
        })
    }
}
