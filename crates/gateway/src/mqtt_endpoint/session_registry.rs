//! Who is connected and which sessions persist, over all threads of the endpoint.
//!
//! Owns the state that a session keeps between connections; knows no packet and writes nothing to the log. Invariants: a
//! client id has one owner at a time, and the next one begins only when the last is done with its log records; the number
//! of persistent sessions is bounded.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use metrics::Gauge;
use model::proto::{Session, SessionFilter};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::identity::Identity;
use super::mailbox::Mailbox;
use crate::mqtt::Will;

/// A session expiry interval that never ends [MQTT 5.0, 3.1.2.11.2].
pub(super) const NEVER_SECONDS: u32 = u32::MAX;

/// A will that outlives its packet.
#[derive(Clone, Debug)]
pub(super) struct OwnedWill {
    /// Who left it.
    pub(super) identity: Arc<Identity>,
    pub(super) mqtt_topic: String,
    pub(super) payload: Vec<u8>,
    pub(super) content_type: String,
    pub(super) delay: Duration,
}

impl OwnedWill {
    pub(super) fn new(identity: Arc<Identity>, will: Will<'_>) -> Self {
        OwnedWill {
            identity,
            mqtt_topic: will.topic.to_owned(),
            payload: will.payload.to_vec(),
            content_type: will.content_type.to_owned(),
            delay: Duration::from_secs(u64::from(will.delay_seconds)),
        }
    }
}

/// What a persistent session keeps while its client is away.
#[derive(Default)]
pub(super) struct Kept {
    /// Whose it is; `None`: of before the process started, anybody's.
    pub(super) user: Option<Box<str>>,
    pub(super) filters: Vec<SessionFilter>,
    /// QoS 2 packet ids that were taken and not released; they do not survive the process.
    pub(super) unreleased: HashSet<u16>,
    /// `None`: never.
    pub(super) expires_at: Option<Instant>,
    /// A will whose delay runs, and when it ends.
    pub(super) will: Option<(Instant, OwnedWill)>,
}

impl Kept {
    pub(super) fn is_expired(&self, now: Instant) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }

    fn due_at(&self) -> Option<Instant> {
        [self.expires_at, self.will.as_ref().map(|(at, _)| *at)].into_iter().flatten().min()
    }
}

/// The answer to a newcomer.
pub(super) enum Claim {
    /// The client id is the newcomer's, with what its last session left.
    Granted(Option<Box<Kept>>),
    /// Another has it: kick it, wait until it is gone, ask again.
    Taken(Arc<Mailbox>),
    /// Another user has it.
    Foreign,
    /// One persistent session too many.
    Full,
}

/// What the time has brought.
pub(super) struct Due {
    pub(super) client_id: Box<str>,
    pub(super) will: Option<OwnedWill>,
    /// The session ended; its entry belongs to the caller until [`SessionRegistry::release`].
    pub(super) is_expired: bool,
}

pub(super) struct SessionRegistry {
    sessions_max: usize,
    state: Mutex<State>,
    sessions: Gauge,
}

#[derive(Default)]
struct State {
    entries: HashMap<Box<str>, Entry>,
    /// When something happens to a session without an owner.
    due: BTreeSet<(Instant, Box<str>)>,
    persistent: usize,
}

#[derive(Default)]
struct Entry {
    owner: Option<Arc<Mailbox>>,
    /// Of the owner; the janitor is nobody.
    user: Option<Box<str>>,
    kept: Option<Kept>,
    is_persistent: bool,
}

impl SessionRegistry {
    /// A registry with the sessions that the log holds. `now_us` is now in microseconds since 1970; a session that was
    /// connected when the process ended counts from now on.
    pub(super) fn new(
        sessions_max: usize,
        stored: Vec<(String, Session)>,
        now: Instant,
        now_us: i64,
    ) -> Self {
        metrics::gauge!("urban_neuron_mqtt_endpoint_sessions_limit").set(sessions_max as f64);
        let registry = SessionRegistry {
            sessions_max,
            state: Mutex::default(),
            sessions: metrics::gauge!("urban_neuron_mqtt_endpoint_sessions"),
        };
        for (client_id, session) in stored {
            let gone_us = match session.disconnected_at_us {
                0 => 0,
                at => u64::try_from(now_us.saturating_sub(at)).unwrap_or(0),
            };
            let lifetime = Duration::from_secs(u64::from(session.expiry_seconds));
            let left = lifetime.saturating_sub(Duration::from_micros(gone_us));
            let expires_at = (session.expiry_seconds != NEVER_SECONDS).then(|| now + left);
            registry
                .release(&client_id, Some(Kept { filters: session.filters, expires_at, ..Kept::default() }));
        }
        registry
    }

    /// Asks for a client id on behalf of `mailbox`, a connection of `user`. `is_persistent`: the new session will outlive its
    /// connection.
    pub(super) fn claim(
        &self,
        client_id: &str,
        user: &str,
        mailbox: &Arc<Mailbox>,
        is_persistent: bool,
    ) -> Claim {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let entry = state.entries.get(client_id);
        if let Some((owner, owned_by)) = entry.and_then(|entry| Some((entry.owner.as_ref()?, &entry.user))) {
            let is_foreign = owned_by.as_deref().is_some_and(|owned_by| owned_by != user);
            return if is_foreign { Claim::Foreign } else { Claim::Taken(owner.clone()) };
        }
        let was_persistent = entry.is_some_and(|entry| entry.is_persistent);
        if is_persistent && !was_persistent && state.persistent >= self.sessions_max {
            return Claim::Full;
        }
        state.persistent = state.persistent - usize::from(was_persistent) + usize::from(is_persistent);
        self.sessions.set(state.persistent as f64);
        let entry = state.entries.entry(client_id.into()).or_default();
        entry.owner = Some(mailbox.clone());
        entry.user = Some(user.into());
        entry.is_persistent = is_persistent;
        let kept = entry.kept.take();
        if let Some(at) = kept.as_ref().and_then(Kept::due_at) {
            state.due.remove(&(at, client_id.into()));
        }
        Claim::Granted(kept.map(Box::new))
    }

    /// Gives a client id back; with `kept` its session persists.
    pub(super) fn release(&self, client_id: &str, kept: Option<Kept>) {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let entry = state.entries.entry(client_id.into()).or_default();
        state.persistent = state.persistent - usize::from(entry.is_persistent) + usize::from(kept.is_some());
        self.sessions.set(state.persistent as f64);
        match kept {
            Some(kept) => {
                if let Some(at) = kept.due_at() {
                    state.due.insert((at, client_id.into()));
                }
                *entry = Entry { kept: Some(kept), is_persistent: true, ..Entry::default() };
            }
            None => {
                state.entries.remove(client_id);
            }
        }
    }

    /// Wakes every connection.
    pub(super) fn wake_all(&self) {
        let owners: Vec<_> =
            self.state.lock().entries.values().filter_map(|entry| entry.owner.clone()).collect();
        owners.iter().for_each(|owner| owner.wake());
    }

    /// Takes what is due: wills whose delay has passed, and sessions that ended, which `janitor` owns from here on.
    pub(super) fn take_due(&self, now: Instant, janitor: &Arc<Mailbox>, count_max: usize) -> Vec<Due> {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let mut found = Vec::new();
        while found.len() < count_max && state.due.first().is_some_and(|(at, _)| *at <= now) {
            let Some((_, client_id)) = state.due.pop_first() else { break };
            let Some(entry) = state.entries.get_mut(&client_id) else { continue };
            let Some(mut kept) = entry.kept.take() else { continue };
            let is_expired = kept.is_expired(now);
            let will = kept.will.take().map(|(_, will)| will);
            if is_expired {
                entry.owner = Some(janitor.clone());
            } else {
                if let Some(at) = kept.due_at() {
                    state.due.insert((at, client_id.clone()));
                }
                entry.kept = Some(kept);
            }
            found.push(Due { client_id, will, is_expired });
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(expires_at: Option<Instant>) -> Kept {
        Kept { expires_at, ..Kept::default() }
    }

    fn is_granted(registry: &SessionRegistry, id: &str, is_persistent: bool) -> Option<bool> {
        match registry.claim(id, "user", &Mailbox::new(), is_persistent) {
            Claim::Granted(kept) => Some(kept.is_some()),
            Claim::Taken(_) | Claim::Foreign | Claim::Full => None,
        }
    }

    #[test]
    fn one_owner_at_a_time() {
        let registry = SessionRegistry::new(10, Vec::new(), Instant::now(), 0);
        assert_eq!(is_granted(&registry, "a", true), Some(false));
        assert_eq!(is_granted(&registry, "a", true), None);
        registry.release("a", Some(kept(None)));
        assert_eq!(is_granted(&registry, "a", false), Some(true));
        registry.release("a", None);
        assert_eq!(is_granted(&registry, "a", false), Some(false));
    }

    #[test]
    fn a_client_id_that_another_user_has_is_not_taken_over() {
        let registry = SessionRegistry::new(10, Vec::new(), Instant::now(), 0);
        let claim = |user| registry.claim("a", user, &Mailbox::new(), true);
        assert!(matches!(claim("one"), Claim::Granted(None)));
        assert!(matches!(claim("two"), Claim::Foreign));
        assert!(matches!(claim("one"), Claim::Taken(_)));
        registry.release("a", Some(Kept { user: Some("one".into()), ..kept(None) }));
        assert!(matches!(claim("two"), Claim::Granted(Some(kept)) if kept.user.as_deref() == Some("one")));
    }

    #[test]
    fn persistent_sessions_are_counted_and_bounded() {
        let registry = SessionRegistry::new(2, Vec::new(), Instant::now(), 0);
        assert_eq!(is_granted(&registry, "a", true), Some(false));
        assert_eq!(is_granted(&registry, "b", true), Some(false));
        assert_eq!(is_granted(&registry, "c", true), None);
        assert_eq!(is_granted(&registry, "c", false), Some(false));
        registry.release("a", Some(kept(None)));
        assert_eq!(is_granted(&registry, "d", true), None, "a is away but persists");
        registry.release("b", None);
        assert_eq!(is_granted(&registry, "d", true), Some(false));
        assert_eq!(registry.state.lock().persistent, 2);
    }

    #[test]
    fn what_is_due_is_taken_once() {
        let now = Instant::now();
        let registry = SessionRegistry::new(10, Vec::new(), now, 0);
        let will = OwnedWill {
            identity: Arc::new(Identity::unrestricted("user")),
            mqtt_topic: "t".into(),
            payload: Vec::new(),
            content_type: String::new(),
            delay: Duration::from_secs(1),
        };
        let soon = now + Duration::from_secs(1);
        let with_will = Kept { will: Some((soon, will)), ..kept(Some(now + Duration::from_secs(5))) };
        registry.release("a", Some(with_will));
        registry.release("b", Some(kept(Some(now + Duration::from_secs(2)))));
        registry.release("c", Some(kept(None)));
        let mut seen = Vec::new();
        for second in 0..7 {
            for due in registry.take_due(now + Duration::from_secs(second), &Mailbox::new(), 100) {
                seen.push((second, due.client_id.to_string(), due.will.is_some(), due.is_expired));
            }
        }
        let expected = [
            (1, "a".to_owned(), true, false),
            (2, "b".to_owned(), false, true),
            (5, "a".to_owned(), false, true),
        ];
        assert_eq!(seen, expected);
        assert_eq!(is_granted(&registry, "a", true), None, "the janitor has it");
        registry.release("a", None);
        assert_eq!(is_granted(&registry, "a", true), Some(false));
    }

    #[test]
    fn a_claim_stops_the_clock() {
        let now = Instant::now();
        let registry = SessionRegistry::new(10, Vec::new(), now, 0);
        registry.release("a", Some(kept(Some(now + Duration::from_secs(1)))));
        assert_eq!(is_granted(&registry, "a", true), Some(true));
        assert_eq!(registry.take_due(now + Duration::from_secs(9), &Mailbox::new(), 100).len(), 0);
    }

    #[test]
    fn stored_sessions_go_on_from_where_they_were() {
        let now = Instant::now();
        let stored = |expiry_seconds, disconnected_at_us| Session {
            expiry_seconds,
            disconnected_at_us,
            filters: Vec::new(),
        };
        let sessions = vec![
            ("connected".to_owned(), stored(10, 0)),
            ("away".to_owned(), stored(10, 95_000_000)),
            ("ended".to_owned(), stored(10, 80_000_000)),
            ("never".to_owned(), stored(NEVER_SECONDS, 1)),
        ];
        let registry = SessionRegistry::new(10, sessions, now, 100_000_000);
        let expired_by = |seconds| {
            let due = registry.take_due(now + Duration::from_secs(seconds), &Mailbox::new(), 100);
            due.into_iter().map(|due| due.client_id.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(expired_by(0), ["ended"]);
        assert_eq!(expired_by(5), ["away"]);
        assert_eq!(expired_by(10), ["connected"]);
        assert_eq!(expired_by(1_000_000), Vec::<String>::new());
    }
}
