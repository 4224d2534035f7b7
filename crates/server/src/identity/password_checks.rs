//! Slow checks of passwords, on threads of their own and one after the other: guessing takes these threads and no others.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use metrics::Gauge;
use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use super::users::User;

/// Checks that wait for a thread; one more is refused.
pub const WAITING_MAX: usize = 256;
/// Those of them that come from one address, so that one cannot keep all others waiting.
pub const WAITING_PER_ADDRESS_MAX: usize = 64;

/// Too many checks wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many passwords wait for their check")]
pub struct Busy;

/// The threads and their queue. Dropping it ends the threads; what waits is not answered.
pub struct PasswordChecks {
    queue: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Check>,
    by_address: HashMap<IpAddr, usize>,
    is_closed: bool,
    gauge: Option<Gauge>,
}

struct Check {
    user: Arc<User>,
    password: Vec<u8>,
    address: IpAddr,
    answer: oneshot::Sender<bool>,
}

impl PasswordChecks {
    /// # Errors
    /// A thread cannot be started.
    pub fn start(threads: u32) -> std::io::Result<Self> {
        metrics::gauge!("urban_neuron_mqtt_endpoint_password_checks_limit").set(WAITING_MAX as f64);
        let queue = Arc::new(Queue::default());
        queue.state.lock().gauge = Some(metrics::gauge!("urban_neuron_mqtt_endpoint_password_checks"));
        let mut checks = PasswordChecks { queue, threads: Vec::new() };
        for index in 0..threads.max(1) {
            let queue = checks.queue.clone();
            let thread = std::thread::Builder::new().name(format!("password-{index}"));
            checks.threads.push(thread.spawn(move || queue.work())?);
        }
        Ok(checks)
    }

    /// Whether `password` is the user's. Dropping the future gives the check up, where it has not begun.
    ///
    /// # Errors
    /// Too many wait already.
    pub async fn is_password(&self, user: Arc<User>, password: &[u8], address: IpAddr) -> Result<bool, Busy> {
        let (answer, answered) = oneshot::channel();
        self.queue.put(Check { user, password: password.to_vec(), address, answer })?;
        // No answer: the threads have ended.
        answered.await.map_err(|_| Busy)
    }
}

impl Queue {
    fn put(&self, check: Check) -> Result<(), Busy> {
        let mut state = self.state.lock();
        if state.is_full(check.address) {
            // Who went away in the meantime makes room.
            state.forget_the_gone();
        }
        if state.is_closed || state.is_full(check.address) {
            return Err(Busy);
        }
        *state.by_address.entry(check.address).or_default() += 1;
        state.waiting.push_back(check);
        state.tell();
        self.changed.notify_one();
        Ok(())
    }

    fn work(&self) {
        while let Some(check) = self.next() {
            if check.answer.is_closed() {
                continue;
            }
            let is_it = check.user.password().is_some_and(|stored| stored.is(&check.password));
            // Whoever asked may have gone meanwhile.
            check.answer.send(is_it).ok();
        }
    }

    /// The next check; `None` when there will be none.
    fn next(&self) -> Option<Check> {
        let mut state = self.state.lock();
        loop {
            if state.is_closed {
                return None;
            }
            if let Some(check) = state.waiting.pop_front() {
                state.leave(check.address);
                state.tell();
                return Some(check);
            }
            self.changed.wait(&mut state);
        }
    }
}

impl State {
    fn is_full(&self, address: IpAddr) -> bool {
        let of_address = self.by_address.get(&address).copied().unwrap_or(0);
        self.waiting.len() >= WAITING_MAX || of_address >= WAITING_PER_ADDRESS_MAX
    }

    fn forget_the_gone(&mut self) {
        let (gone, waiting): (VecDeque<_>, _) =
            std::mem::take(&mut self.waiting).into_iter().partition(|check| check.answer.is_closed());
        self.waiting = waiting;
        gone.iter().for_each(|check| self.leave(check.address));
    }

    fn leave(&mut self, address: IpAddr) {
        if let Some(count) = self.by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&address);
            }
        }
    }

    fn tell(&self) {
        if let Some(gauge) = &self.gauge {
            gauge.set(self.waiting.len() as f64);
        }
    }
}

impl Drop for PasswordChecks {
    fn drop(&mut self) {
        let mut state = self.queue.state.lock();
        state.is_closed = true;
        state.waiting.clear();
        drop(state);
        self.queue.changed.notify_all();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread that checks passwords ended in a panic");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::password::{StoredPassword, hash};
    use crate::identity::users::{UserSpec, Users};
    use futures_util::future::join_all;
    use model::DeviceRights;
    use std::net::Ipv4Addr;

    fn user() -> Arc<User> {
        let spec = UserSpec {
            name: "u".to_owned(),
            password: Some(StoredPassword::parse(&hash(b"right").unwrap()).unwrap()),
            certificate: None,
            devices: DeviceRights::All,
            subscribe: Vec::new(),
        };
        Users::new(vec![spec]).find("u").unwrap().clone()
    }

    fn address(last: u8) -> IpAddr {
        Ipv4Addr::new(10, 0, 0, last).into()
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    #[test]
    fn passwords_are_checked_and_one_address_cannot_take_every_place() {
        let checks = PasswordChecks::start(1).unwrap();
        let user = user();
        let ask = |password: &'static [u8], last| checks.is_password(user.clone(), password, address(last));
        assert_eq!(block_on(ask(b"right", 1)), Ok(true));
        assert_eq!(block_on(ask(b"wrong", 1)), Ok(false));
        // All are asked before the first is answered: one is with the thread, and the rest wait.
        let greedy = (0..WAITING_PER_ADDRESS_MAX + 40).map(|_| ask(b"wrong", 1));
        let (greedy, other) = block_on(async { tokio::join!(join_all(greedy), ask(b"right", 2)) });
        let refused = greedy.iter().filter(|answer| **answer == Err(Busy)).count();
        assert!((1..=40).contains(&refused), "{refused}");
        assert_eq!(other, Ok(true));
    }

    #[test]
    fn who_goes_away_gives_the_place_back() {
        // No thread takes anything out of this queue.
        let queue = Queue::default();
        let user = user();
        let put = || {
            let (answer, answered) = oneshot::channel();
            let check = Check { user: user.clone(), password: Vec::new(), address: address(1), answer };
            queue.put(check).map(|()| answered)
        };
        let mut asking: Vec<_> = (0..WAITING_PER_ADDRESS_MAX).map(|_| put().unwrap()).collect();
        assert_eq!(put().err(), Some(Busy));
        asking.truncate(10);
        asking.push(put().unwrap());
        assert_eq!(queue.state.lock().waiting.len(), 11);
        assert_eq!(queue.state.lock().by_address[&address(1)], 11);
    }
}
