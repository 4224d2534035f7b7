//! What the evaluator says, on its way into the log: events to `alerts.v1`, and once those are durable the newest state of
//! each key to `alerts.current.v1`; events of shadow rules to `alerts.shadow.v1` and nowhere else. One a rules worker.
//!
//! Invariant: `current` never says what `alerts` does not hold yet.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use log::{Appender, Error, Ticket, Topic};
use model::record::put_header;
use model::{Alert, AlertState};

use crate::alert_command::AlertCommand;
use crate::alert_stream::{alert_headers, alert_json};
use crate::dead_letter::DeadLetterDraft;
use crate::rules_partition::{PASSED_ON, RefusedCommand};

/// Appends the alerts of all log partitions of one worker.
pub struct AlertOutbox<A> {
    appender: A,
    /// Said and not durable, oldest first; bounded by the appender's room, which the worker heeds.
    waiting: VecDeque<(Ticket, CurrentState)>,
    open: Vec<CurrentState>,
    dead_letter: DeadLetterDraft,
}

/// The newest state of one alert key; no value when it is resolved.
#[derive(Clone, Debug)]
pub struct CurrentState {
    pub partition: u32,
    pub key: String,
    pub firing: Option<Alert>,
}

impl CurrentState {
    pub fn of(partition: u32, alert: &Alert) -> Self {
        let firing = (alert.state == AlertState::Firing).then(|| alert.clone());
        CurrentState { partition, key: alert.key(), firing }
    }
}

impl<A: Appender> AlertOutbox<A> {
    pub fn new(appender: A) -> Self {
        AlertOutbox {
            appender,
            waiting: VecDeque::new(),
            open: Vec::new(),
            dead_letter: DeadLetterDraft::default(),
        }
    }

    /// Appends an event; the current state of a live rule follows when it is durable.
    ///
    /// # Errors
    /// The log failed.
    pub fn say(&mut self, partition: u32, alert: &Alert) -> Result<(), Error> {
        let json = alert_json(alert);
        let key = alert.key();
        let topic = if alert.shadow { Topic::AlertsShadow } else { Topic::Alerts };
        self.appender.append(
            topic,
            partition,
            key.as_bytes(),
            Some(json.as_bytes()),
            &alert_headers(alert),
        )?;
        if !alert.shadow {
            self.open.push(CurrentState::of(partition, alert));
        }
        Ok(())
    }

    /// Appends a control record to `telemetry.v1`.
    ///
    /// # Errors
    /// The log failed.
    pub fn control(&mut self, partition: u32, value: &[u8]) -> Result<(), Error> {
        self.appender.append(Topic::Telemetry, partition, &[], Some(value), &[])
    }

    /// Appends a command once more, in the log partition of its alert.
    ///
    /// # Errors
    /// The log failed.
    pub fn pass_on(&mut self, home: u32, command: &AlertCommand) -> Result<(), Error> {
        let mut headers = Vec::new();
        put_header(&mut headers, PASSED_ON, b"1");
        let (key, value) = (command.alert_id.as_bytes(), command.to_json());
        self.appender.append(Topic::AlertCommands, home, key, Some(&value), &headers)
    }

    /// Appends a command that is not done to the dead letters.
    ///
    /// # Errors
    /// The log failed.
    pub fn refuse(&mut self, command: &RefusedCommand) -> Result<(), Error> {
        let (value, headers) = self.dead_letter.encode_command(command);
        self.appender.append(Topic::DeadLetter, 0, b"alert_command", Some(value), headers)
    }

    /// Appends a current state again: its event is durable already.
    ///
    /// # Errors
    /// The log failed.
    pub fn current(&mut self, state: &CurrentState) -> Result<(), Error> {
        let json = state.firing.as_ref().map(alert_json);
        let headers = state.firing.as_ref().map(alert_headers).unwrap_or_default();
        let value = json.as_deref().map(str::as_bytes);
        self.appender.append(Topic::AlertsCurrent, state.partition, state.key.as_bytes(), value, &headers)
    }

    /// Sends what was said.
    pub fn flush(&mut self) {
        let ticket = self.appender.flush();
        self.waiting.extend(self.open.drain(..).map(|state| (ticket, state)));
    }

    /// Appends the current states whose events have become durable; true when nothing waits any more.
    ///
    /// # Errors
    /// The log failed.
    pub fn settle(&mut self) -> Result<bool, Error> {
        let durable = self.appender.durable()?;
        let mut has_moved = false;
        while let Some((_, state)) = self.waiting.pop_front_if(|(ticket, _)| *ticket <= durable) {
            self.current(&state)?;
            has_moved = true;
        }
        if has_moved {
            self.appender.flush();
        }
        Ok(self.waiting.is_empty() && self.open.is_empty())
    }

    /// Waits until all that was said, and the states after it, are durable; false at the deadline.
    ///
    /// # Errors
    /// The log failed.
    pub fn drain(&mut self, deadline: Instant) -> Result<bool, Error> {
        const POLL_EVERY: Duration = Duration::from_micros(200);
        self.flush();
        while !self.settle()? {
            if Instant::now() >= deadline {
                return Ok(false);
            }
            std::thread::park_timeout(POLL_EVERY);
        }
        let last = self.appender.flush();
        while self.appender.durable()? < last {
            if Instant::now() >= deadline {
                return Ok(false);
            }
            std::thread::park_timeout(POLL_EVERY);
        }
        Ok(true)
    }

    pub fn has_room(&self) -> bool {
        self.appender.has_room()
    }
}
