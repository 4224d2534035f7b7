//! People's commands, read beside the telemetry by the thread that evaluates it, so that no mark on an alert can race its
//! resolve. They are few, and never take more than a small part of its time.

use std::time::{Duration, Instant};

use log::{Disposition, Log, ReadEvent, Reader, Topic};
use metrics::counter;
use tracing::{info, warn};

use super::RulesWorker;
use crate::rules_partition::Commanded;

/// Between two looks at the commands.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A look takes no further batch of commands after this long.
const LOOK_MAX: Duration = Duration::from_millis(2);

/// A look that finds commands is followed by a pause so many times as long.
const PAUSE_FACTOR: u32 = 10;

impl<L: Log> RulesWorker<L> {
    /// Begins with the commands of a partition that became live.
    pub(super) fn start_commands(&mut self, partition: u32) -> Result<(), log::Error> {
        let Some(state) = self.partitions.get(&partition) else { return Ok(()) };
        let held = self.log.offsets(Topic::AlertCommands, partition)?;
        self.commands.start(partition, state.commands_from(&held))
    }

    pub(super) fn take_commands(&mut self, now: Instant) -> Result<(), log::Error> {
        if now < self.commands_due || !self.outbox.has_room() {
            return Ok(());
        }
        let mut done = now;
        while done < now + LOOK_MAX && self.look_at_commands()? {
            done = Instant::now();
        }
        self.commands_due = done + LOOK_EVERY.max((done - now) * PAUSE_FACTOR);
        Ok(())
    }

    /// False when there is nothing more to take now.
    fn look_at_commands(&mut self) -> Result<bool, log::Error> {
        match self.commands.poll(Duration::ZERO) {
            Ok(ReadEvent::Records(batch)) => self.command(&batch).map(|()| true),
            Ok(_) => Ok(false),
            Err(log::Error::OutOfRange { partition, offset, first, .. }) => {
                warn!(partition, offset, first, "commands on alerts went by retention before they were read");
                self.commands.start(partition, first).map(|()| false)
            }
            Err(error) if error.disposition() == Disposition::Retry => {
                warn!(%error, "reading commands on alerts");
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn command(&mut self, batch: &model::RecordBatch) -> Result<(), log::Error> {
        let partition = batch.log_partition;
        let Some(state) = self.partitions.get_mut(&partition).filter(|state| state.is_live()) else {
            return Ok(());
        };
        let stream = &self.parts.stream;
        let Commanded { said, passed_on, refused, repeats } =
            state.take_commands(batch, |alert_id| stream.partition_of(alert_id));
        let count = |outcome: &'static str, count: u64| {
            counter!("urban_neuron_alert_commands_total", "outcome" => outcome).increment(count);
        };
        count("done", said.alerts.len() as u64);
        count("repeat", repeats);
        count("passed_on", passed_on.len() as u64);
        count("refused", refused.len() as u64);
        for (home, command) in &passed_on {
            info!(id = command.id, alert_id = command.alert_id, partition, home, "a command is passed on");
            self.outbox.pass_on(*home, command)?;
        }
        for command in &refused {
            warn!(partition, rejection = %command.rejection, "a command on an alert is refused");
            self.outbox.refuse(command)?;
        }
        if said.alerts.is_empty() {
            self.outbox.flush();
        }
        self.say(partition, &said)
    }
}
