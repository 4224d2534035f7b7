//! An intake source whose durability the test controls.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use model::proto::Session;
use model::{RawMessage, Reason};
use parking_lot::{Condvar, Mutex};
use urban_neuron_gateway::{Intake, IntakeError, IntakeSource, Ticket, Wake};

/// How long a test waits for what must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A payload of which nothing becomes telemetry.
pub(crate) const BAD_PAYLOAD: &[u8] = b"bad";

/// One message as the intake got it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pushed {
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) publisher: String,
    pub(crate) content_type: String,
    pub(crate) packet_id: Option<u32>,
    pub(crate) is_redelivered: bool,
    pub(crate) is_retained: bool,
    pub(crate) is_will: bool,
    pub(crate) received_at_us: i64,
}

#[derive(Clone)]
pub(crate) struct FakeLog {
    shared: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Default)]
struct State {
    is_held: bool,
    is_full: bool,
    is_closed: bool,
    pushed: Vec<Pushed>,
    sessions: Vec<(String, Option<Session>)>,
    intakes: Vec<Counts>,
    wakes: Vec<Wake>,
}

/// What one intake was given.
#[derive(Clone, Copy, Default)]
struct Counts {
    pushed: u64,
    flushed: u64,
    durable: u64,
    has_failed: bool,
}

impl FakeLog {
    /// Everything is durable as soon as it is flushed.
    pub(crate) fn instant() -> Self {
        FakeLog { shared: Arc::default() }
    }

    /// Nothing is durable before [`FakeLog::release`].
    pub(crate) fn held() -> Self {
        let log = Self::instant();
        log.hold();
        log
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let wakes = {
            let mut state = self.shared.0.lock();
            change(&mut state);
            state.wakes.clone()
        };
        self.shared.1.notify_all();
        wakes.iter().for_each(|wake| wake());
    }

    pub(crate) fn hold(&self) {
        self.change(|state| state.is_held = true);
    }

    /// What is flushed, now and later, is durable.
    pub(crate) fn release(&self) {
        self.change(|state| {
            state.is_held = false;
            state.intakes.iter_mut().for_each(|intake| intake.durable = intake.flushed);
        });
    }

    /// What is flushed now is durable, and nothing later.
    pub(crate) fn release_flushed(&self) {
        self.change(|state| state.intakes.iter_mut().for_each(|intake| intake.durable = intake.flushed));
    }

    pub(crate) fn set_full(&self, is_full: bool) {
        self.change(|state| state.is_full = is_full);
    }

    /// The log fails for every intake that there is; the next ones are well.
    pub(crate) fn fail(&self) {
        self.change(|state| state.intakes.iter_mut().for_each(|intake| intake.has_failed = true));
    }

    /// Gives no more intakes.
    pub(crate) fn close(&self) {
        self.change(|state| state.is_closed = true);
    }

    pub(crate) fn pushed(&self) -> Vec<Pushed> {
        self.shared.0.lock().pushed.clone()
    }

    pub(crate) fn sessions(&self) -> Vec<(String, Option<Session>)> {
        self.shared.0.lock().sessions.clone()
    }

    /// The last record of each client id that there is one of.
    pub(crate) fn stored(&self, client_id: &str) -> Option<Session> {
        self.sessions().into_iter().rev().find(|(id, _)| id == client_id)?.1
    }

    fn wait(&self, what: &str, mut is_so: impl FnMut(&State) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.shared.0.lock();
        while !is_so(&state) {
            let timed_out = self.shared.1.wait_until(&mut state, deadline).timed_out();
            assert!(!timed_out, "{what}: {} pushed, sessions {:?}", state.pushed.len(), state.sessions);
        }
    }

    pub(crate) fn wait_pushed(&self, count: usize) -> Vec<Pushed> {
        self.wait(&format!("{count} messages pushed"), |state| state.pushed.len() >= count);
        self.pushed()
    }

    /// Everything that was pushed has been flushed.
    pub(crate) fn wait_flushed(&self) {
        self.wait("all flushed", |state| state.intakes.iter().all(|intake| intake.pushed == intake.flushed));
    }

    pub(crate) fn wait_session(&self, client_id: &str, is_so: impl Fn(Option<&Session>) -> bool) {
        self.wait(&format!("session of {client_id}"), |state| {
            let last = state.sessions.iter().rev().find(|(id, _)| id == client_id);
            last.is_some_and(|(_, session)| is_so(session.as_ref()))
        });
    }
}

pub(crate) struct FakeIntake {
    log: FakeLog,
    index: usize,
}

impl FakeIntake {
    fn add(&self, add: impl FnOnce(&mut State)) {
        let mut state = self.log.shared.0.lock();
        add(&mut state);
        state.intakes[self.index].pushed += 1;
        drop(state);
        self.log.shared.1.notify_all();
    }
}

impl Intake for FakeIntake {
    fn push(&mut self, message: &RawMessage<'_>) -> Option<Reason> {
        let pushed = Pushed {
            topic: message.topic.to_owned(),
            payload: message.payload.to_vec(),
            publisher: message.publisher.to_owned(),
            content_type: message.content_type.to_owned(),
            packet_id: message.packet_id,
            is_redelivered: message.is_redelivered,
            is_retained: message.is_retained,
            is_will: message.is_will,
            received_at_us: message.received_at_us,
        };
        let reason = (pushed.payload == BAD_PAYLOAD).then_some(Reason::MalformedJson);
        self.add(|state| state.pushed.push(pushed));
        reason
    }

    fn put_session(&mut self, client_id: &str, session: Option<&Session>) {
        self.add(|state| state.sessions.push((client_id.to_owned(), session.cloned())));
    }

    fn flush(&mut self) -> Ticket {
        let mut state = self.log.shared.0.lock();
        let is_held = state.is_held;
        let intake = &mut state.intakes[self.index];
        intake.flushed = intake.pushed;
        if !is_held {
            intake.durable = intake.flushed;
        }
        let ticket = Ticket(intake.flushed);
        drop(state);
        self.log.shared.1.notify_all();
        ticket
    }

    fn durable(&mut self) -> Result<Ticket, IntakeError> {
        let intake = self.log.shared.0.lock().intakes[self.index];
        if intake.has_failed {
            Err(IntakeError("the disk is gone".to_owned()))
        } else {
            Ok(Ticket(intake.durable))
        }
    }

    fn has_room(&self) -> bool {
        !self.log.shared.0.lock().is_full
    }
}

impl IntakeSource for FakeLog {
    type Intake = FakeIntake;

    fn intake(&self, wake: Wake) -> Result<FakeIntake, IntakeError> {
        let mut state = self.shared.0.lock();
        if state.is_closed {
            return Err(IntakeError("closed".to_owned()));
        }
        state.wakes.push(wake);
        state.intakes.push(Counts::default());
        Ok(FakeIntake { log: self.clone(), index: state.intakes.len() - 1 })
    }

    fn now_us(&self) -> i64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64)
    }
}
