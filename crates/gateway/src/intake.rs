//! The seam between an adapter and what becomes of its messages.

use std::sync::Arc;

use model::proto::Session;
use model::{RawMessage, Reason};

/// Counts what one intake was given: everything up to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// Called, from any thread, when [`Intake::durable`] may have advanced or room may have come back. Must not block.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// The log failed for good for what is not durable yet: its connections are closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the log failed: {0}")]
pub struct IntakeError(pub String);

/// Takes raw messages on one thread. Made for one thread and monomorphized into the adapter.
pub trait Intake: 'static {
    /// Takes one message: it becomes telemetry, dead letters or both. Never blocks and never refuses; where nothing of it
    /// became telemetry, says why, for transports that answer with a reason.
    fn push(&mut self, message: &RawMessage<'_>) -> Option<Reason>;

    /// Says that a persistent session exists (`Some`) or no longer does (`None`), durable with the next ticket.
    fn put_session(&mut self, client_id: &str, session: Option<&Session>);

    /// Sends what was pushed; the ticket is durable once all of it is.
    fn flush(&mut self) -> Ticket;

    /// The greatest ticket up to which everything is durable.
    ///
    /// # Errors
    /// See [`IntakeError`].
    fn durable(&mut self) -> Result<Ticket, IntakeError>;

    /// False while too much is pushed and not durable: stop reading sockets.
    fn has_room(&self) -> bool;
}

/// Makes the intake of each adapter thread.
pub trait IntakeSource: Clone + Send + Sync + 'static {
    type Intake: Intake;

    /// # Errors
    /// The log is closed or cannot be reached.
    fn intake(&self, wake: Wake) -> Result<Self::Intake, IntakeError>;

    /// Now, microseconds since 1970-01-01T00:00:00Z; never steps back within a process.
    fn now_us(&self) -> i64;
}
