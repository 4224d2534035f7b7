//! A command on an alert, from the question to the event that says it was done.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use log::{Appender, Log, ReadEvent, Reader, Topic};
use model::{Alert, AlertState};

use super::local::parse;
use super::{OperationError, TopicScan, scan};
use crate::alert_command::{AlertCommand, CommandDraft};
use crate::clock::wall_us;

/// Longest wait for the log to take a command, and then for the rules to do it.
const STEP_WAIT: Duration = Duration::from_secs(10);
const POLL_WAIT: Duration = Duration::from_millis(100);

/// Puts a command into the log partition of its alert and waits until it is done.
///
/// # Errors
/// It is no command, its alert is unknown or does not fire any more, or nobody does it in time.
pub(super) fn command<L: Log>(log: &L, mut draft: CommandDraft) -> Result<Alert, OperationError> {
    draft.id.get_or_insert_with(new_id);
    let command = draft.finish(wall_us()).map_err(|error| OperationError::Invalid(error.to_string()))?;
    let partition = match find(log, &command)? {
        Found::Done(event) => return Ok(*event),
        Found::Firing(partition) => partition,
    };
    let from = log.offsets(Topic::Alerts, partition)?.end;
    append(log, partition, &command)?;
    await_event(log, partition, from, &command)
}

enum Found {
    /// It fires, and its cause is in this log partition.
    Firing(u32),
    /// An earlier command of this id was done: its event.
    Done(Box<Alert>),
}

fn find<L: Log>(log: &L, command: &AlertCommand) -> Result<Found, OperationError> {
    if let Some((partition, alert)) = find_current(log, &command.alert_id)?
        && alert.people.iter().all(|past| past.command_id != command.id)
    {
        if alert.rule_id == rules::GATEWAY_OUTAGE {
            let words = "a gateway's outage takes no commands: give them to the alerts of its devices";
            return Err(OperationError::Refused(words.to_owned()));
        }
        return Ok(Found::Firing(partition));
    }
    // Resolved, unknown, done before, or so new that its state does not stand there yet: its events tell.
    let (mut newest, mut done) = (None, None);
    for partition in 0..log.partitions() {
        scan(log, &TopicScan::all(Topic::Alerts, partition), |record| {
            let alert = parse(Topic::Alerts, partition, record);
            if let Some(alert) = alert.filter(|alert| alert.alert_id == command.alert_id) {
                if alert.ce_id() == command.ce_id() {
                    done = Some(alert.clone());
                }
                newest = Some((partition, alert));
            }
            ControlFlow::Continue(())
        })?;
    }
    match (done, newest) {
        (Some(event), _) => Ok(Found::Done(Box::new(event))),
        (None, Some((_, alert))) if alert.state == AlertState::Resolved => Err(resolved(&alert)),
        (None, Some((partition, _))) => Ok(Found::Firing(partition)),
        (None, None) => Err(OperationError::NotFound(format!("no alert {} is known", command.alert_id))),
    }
}

/// The state of an alert that fires, and the log partition of its cause.
fn find_current<L: Log>(log: &L, alert_id: &str) -> Result<Option<(u32, Alert)>, OperationError> {
    for partition in 0..log.partitions() {
        let mut found: Option<(Vec<u8>, Alert)> = None;
        // The topic is compacted behind its end, so a key may stand there more than once.
        scan(log, &TopicScan::all(Topic::AlertsCurrent, partition), |record| {
            if found.as_ref().is_some_and(|(key, _)| key == record.key) {
                found = None;
            }
            let alert = parse(Topic::AlertsCurrent, partition, record);
            if let Some(alert) = alert.filter(|alert| alert.alert_id == alert_id) {
                found = Some((record.key.to_vec(), alert));
            }
            ControlFlow::Continue(())
        })?;
        if let Some((_, alert)) = found {
            return Ok(Some((partition, alert)));
        }
    }
    Ok(None)
}

fn resolved(alert: &Alert) -> OperationError {
    let at = alert.resolved_at.as_deref().unwrap_or("a time that is not known");
    OperationError::Refused(format!("alert {} is resolved since {at}", alert.alert_id))
}

fn append<L: Log>(log: &L, partition: u32, command: &AlertCommand) -> Result<(), OperationError> {
    let (wake, woken) = sync_channel(1);
    let wake = Arc::new(move || {
        // Full means that a wake is waiting already.
        wake.try_send(()).ok();
    });
    let mut appender = log.appender(wake)?;
    let (key, value) = (command.alert_id.as_bytes(), command.to_json());
    appender.append(Topic::AlertCommands, partition, key, Some(&value), &[])?;
    let ticket = appender.flush();
    let deadline = Instant::now() + STEP_WAIT;
    while appender.durable()? < ticket {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(OperationError::NotDone(format!(
                "the log did not take command {} within {} s",
                command.id,
                STEP_WAIT.as_secs()
            )));
        }
        // A timeout is looked at above; the channel cannot close while the appender holds its sender.
        woken.recv_timeout(left).ok();
    }
    Ok(())
}

fn await_event<L: Log>(
    log: &L,
    partition: u32,
    from: i64,
    command: &AlertCommand,
) -> Result<Alert, OperationError> {
    let mut reader = log.reader(Topic::Alerts, &[(partition, from)])?;
    let deadline = Instant::now() + STEP_WAIT;
    while Instant::now() < deadline {
        let ReadEvent::Records(batch) = reader.poll(POLL_WAIT)? else { continue };
        let events = batch.iter().filter_map(|record| parse(Topic::Alerts, partition, &record));
        for event in events.filter(|event| event.alert_id == command.alert_id) {
            if event.ce_id() == command.ce_id() {
                return Ok(event);
            }
            if event.state == AlertState::Resolved {
                return Err(resolved(&event));
            }
        }
    }
    Err(OperationError::NotDone(format!(
        "command {} is in the log and not done within {} s: it is once rules are live; with this id it is done once",
        command.id,
        STEP_WAIT.as_secs()
    )))
}

/// 32 hex digits, random.
fn new_id() -> String {
    use std::hash::{BuildHasher, Hasher};
    let random = || std::hash::RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", random(), random())
}
