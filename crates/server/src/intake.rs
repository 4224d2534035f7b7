//! From a raw message to records of the log: decode and normalize, append telemetry by device id, commands on alerts to the
//! log partition of their alert, and what was refused as a dead letter, and keep the books. Runs on the thread that read the socket; one a thread.
//!
//! Invariant: a message that was pushed is in the books as in flight until its ticket is durable or the log failed.

use std::collections::VecDeque;
use std::sync::Arc;

use decode::Outcome;
use gateway::{Intake, IntakeError, IntakeSource, Ticket, Wake};
use log::{Appender, Error as LogError, Log, Topic, partition_of};
use model::proto::Session;
use model::{RawMessage, Reason, Rejection};
use prost::Message;

use crate::alert_command::AlertCommand;
use crate::alert_stream::AlertStream;
use crate::clock::ReceiveClock;
use crate::conservation::{Account, Carried};
use crate::dead_letter::DeadLetterDraft;
use crate::decoders::{Decoders, LiveDecoder};
use crate::mqtt_command::{COMMANDS_TOPIC, command_of};

/// Makes the intake of each thread of one source.
pub struct PipelineSource<L> {
    log: L,
    account: Arc<Account>,
    decoders: Decoders,
    clock: ReceiveClock,
    /// Where alerts that fire have their commands.
    alerts: AlertStream,
}

impl<L: Log> PipelineSource<L> {
    pub fn new(
        log: L,
        account: Arc<Account>,
        decoders: Decoders,
        clock: ReceiveClock,
        alerts: AlertStream,
    ) -> Self {
        PipelineSource { log, account, decoders, clock, alerts }
    }
}

impl<L: Clone> Clone for PipelineSource<L> {
    fn clone(&self) -> Self {
        PipelineSource {
            log: self.log.clone(),
            account: self.account.clone(),
            decoders: self.decoders.clone(),
            clock: self.clock.clone(),
            alerts: self.alerts.clone(),
        }
    }
}

impl<L: Log> IntakeSource for PipelineSource<L> {
    type Intake = PipelineIntake<L::Appender>;

    fn intake(&self, wake: Wake) -> Result<Self::Intake, IntakeError> {
        let appender = self.log.appender(wake).map_err(|error| IntakeError(error.to_string()))?;
        Ok(PipelineIntake {
            decoder: self.decoders.decoder(),
            writer: LogWriter {
                appender,
                partitions: self.log.partitions(),
                dead_letter: DeadLetterDraft::default(),
                open: Carried::default(),
                failure: None,
            },
            account: self.account.clone(),
            alerts: self.alerts.clone(),
            in_flight: VecDeque::new(),
        })
    }

    fn now_us(&self) -> i64 {
        self.clock.now_us()
    }
}

/// The intake of one thread.
pub struct PipelineIntake<A> {
    decoder: LiveDecoder,
    writer: LogWriter<A>,
    account: Arc<Account>,
    alerts: AlertStream,
    /// What each flush carried, oldest first. As long as its flushes are not durable, so bounded by the appender's room.
    in_flight: VecDeque<(log::Ticket, Carried)>,
}

/// Appends records and notes what they carry until the next flush.
struct LogWriter<A> {
    appender: A,
    partitions: u32,
    dead_letter: DeadLetterDraft,
    open: Carried,
    /// The log failed for good; said at the next `durable`.
    failure: Option<String>,
}

impl<A: Appender> LogWriter<A> {
    fn telemetry(&mut self, device_id: &str, record: &[u8]) -> Result<(), Rejection> {
        let partition = partition_of(device_id.as_bytes(), self.partitions);
        match self.appender.append(Topic::Telemetry, partition, device_id.as_bytes(), Some(record), &[]) {
            Ok(()) => self.open.records += 1,
            Err(error @ LogError::RecordTooLarge { .. }) => {
                return Err(Rejection::new(Reason::PayloadTooLarge, error.to_string()));
            }
            Err(error) => self.fail(error),
        }
        Ok(())
    }

    fn command(&mut self, partition: u32, command: &AlertCommand) {
        let (key, value) = (command.alert_id.as_bytes(), command.to_json());
        match self.appender.append(Topic::AlertCommands, partition, key, Some(&value), &[]) {
            Ok(()) => self.open.records += 1,
            Err(error) => self.fail(error),
        }
    }

    fn dead_letter(
        &mut self,
        message: &RawMessage<'_>,
        whole: Option<&Rejection>,
        children: &[(u32, Rejection)],
    ) {
        let (value, headers) = self.dead_letter.encode(message, whole, children);
        let key = message.adapter.name().as_bytes();
        match self.appender.append(Topic::DeadLetter, 0, key, Some(value), headers) {
            Ok(()) => self.open.dead_letters += children.len().max(1) as u64,
            Err(error) => self.fail(error),
        }
    }

    fn fail(&mut self, error: LogError) {
        self.failure.get_or_insert_with(|| error.to_string());
    }
}

impl<A: Appender + 'static> Intake for PipelineIntake<A> {
    fn push(&mut self, message: &RawMessage<'_>) -> Option<Reason> {
        if let Some(alert_id) = message.topic.strip_prefix(COMMANDS_TOPIC) {
            return self.push_command(alert_id, message);
        }
        let writer = &mut self.writer;
        match self.decoder.current().decode(message) {
            Outcome::Rejected(rejection) => {
                writer.dead_letter(message, Some(&rejection), &[]);
                Some(rejection.reason)
            }
            Outcome::Decoded(decoded) => {
                let mut refused = Vec::new();
                let mut has_telemetry = false;
                for child in decoded.telemetry() {
                    match writer.telemetry(child.device_id, child.record) {
                        Ok(()) => has_telemetry = true,
                        Err(rejection) => refused.push((child.index, rejection)),
                    }
                }
                if decoded.rejected().is_empty() && refused.is_empty() {
                    return None;
                }
                refused.extend(decoded.rejected().iter().cloned());
                writer.dead_letter(message, None, &refused);
                refused.first().filter(|_| !has_telemetry).map(|(_, rejection)| rejection.reason)
            }
        }
    }

    fn put_session(&mut self, client_id: &str, session: Option<&Session>) {
        let value = session.map(Session::encode_to_vec);
        let appended =
            self.writer.appender.append(Topic::Sessions, 0, client_id.as_bytes(), value.as_deref(), &[]);
        if let Err(error) = appended {
            self.writer.fail(error);
        }
    }

    fn flush(&mut self) -> Ticket {
        let ticket = self.writer.appender.flush();
        let carried = std::mem::take(&mut self.writer.open);
        if !carried.is_nothing() {
            self.account.take(carried);
            self.in_flight.push_back((ticket, carried));
        }
        Ticket(ticket.0)
    }

    fn durable(&mut self) -> Result<Ticket, IntakeError> {
        let durable = self.writer.appender.durable();
        if let (Err(error), None) = (&durable, &self.writer.failure) {
            self.writer.failure = Some(error.to_string());
        }
        let ticket = durable.unwrap_or_default();
        while let Some((_, carried)) = self.in_flight.pop_front_if(|(flushed, _)| *flushed <= ticket) {
            self.account.land(carried);
        }
        match &self.writer.failure {
            None => Ok(Ticket(ticket.0)),
            Some(cause) => Err(IntakeError(cause.clone())),
        }
    }

    fn has_room(&self) -> bool {
        self.writer.failure.is_none() && self.writer.appender.has_room()
    }
}

impl<A: Appender> PipelineIntake<A> {
    fn push_command(&mut self, alert_id: &str, message: &RawMessage<'_>) -> Option<Reason> {
        let home = || {
            let words = || format!("no alert {alert_id:?} fires");
            let home = self.alerts.partition_of(alert_id);
            home.ok_or_else(|| Rejection::new(Reason::AlertNotFiring, words()))
        };
        match command_of(alert_id, message).and_then(|command| Ok((home()?, command))) {
            Ok((home, command)) => {
                self.writer.command(home, &command);
                None
            }
            Err(rejection) => {
                self.writer.dead_letter(message, Some(&rejection), &[]);
                Some(rejection.reason)
            }
        }
    }
}

impl<A> Drop for PipelineIntake<A> {
    fn drop(&mut self) {
        // What was pushed and not flushed was never sent: it is in no state yet, so it enters the books here.
        let open = std::mem::take(&mut self.writer.open);
        if !open.is_nothing() {
            self.account.take(open);
            self.account.abandon(open);
        }
        for (_, carried) in self.in_flight.drain(..) {
            self.account.abandon(carried);
        }
    }
}
