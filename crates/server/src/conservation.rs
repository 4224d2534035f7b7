//! The books of invariant I2: every received message is logged, dead-lettered, refused, in flight or abandoned, counted
//! in children. One account a source; the sums are kept by those who move a message from one state to the next, so
//! that a message which nobody moved shows as a difference.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many children of messages stand in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Balance {
    pub received: u64,
    pub logged: u64,
    pub dead_lettered: u64,
    /// Turned away visibly, before decode.
    pub refused: u64,
    /// Appended and not durable yet.
    pub in_flight: u64,
    /// The log failed for good, or closed, before they were durable; nobody was told otherwise.
    pub abandoned: u64,
}

impl Balance {
    /// What the other states do not explain; zero whenever nobody is in the middle of moving a message.
    pub fn unexplained(&self) -> i128 {
        let explained = [self.logged, self.dead_lettered, self.refused, self.in_flight, self.abandoned];
        i128::from(self.received) - explained.into_iter().map(i128::from).sum::<i128>()
    }

    pub fn plus(&self, other: &Balance) -> Balance {
        Balance {
            received: self.received + other.received,
            logged: self.logged + other.logged,
            dead_lettered: self.dead_lettered + other.dead_lettered,
            refused: self.refused + other.refused,
            in_flight: self.in_flight + other.in_flight,
            abandoned: self.abandoned + other.abandoned,
        }
    }
}

/// What one flush carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// Telemetry, and commands on alerts.
    pub records: u64,
    pub dead_letters: u64,
}

impl Carried {
    pub fn is_nothing(&self) -> bool {
        *self == Carried::default()
    }
}

/// One source's books, shared by its threads.
#[derive(Debug)]
pub struct Account {
    source: &'static str,
    received: AtomicU64,
    logged: AtomicU64,
    dead_lettered: AtomicU64,
    refused: AtomicU64,
    in_flight: AtomicU64,
    abandoned: AtomicU64,
    exported: Exported,
}

#[derive(Debug)]
struct Exported {
    received: metrics::Counter,
    logged: metrics::Counter,
    dead_lettered: metrics::Counter,
    refused: metrics::Counter,
    in_flight: metrics::Gauge,
    abandoned: metrics::Counter,
}

impl Account {
    pub fn new(source: &'static str) -> Arc<Self> {
        let exported = Exported {
            received: metrics::counter!("urban_neuron_received_messages_total", "source" => source),
            logged: metrics::counter!("urban_neuron_logged_messages_total", "source" => source),
            dead_lettered: metrics::counter!("urban_neuron_dead_lettered_messages_total", "source" => source),
            refused: metrics::counter!("urban_neuron_refused_messages_total", "source" => source),
            in_flight: metrics::gauge!("urban_neuron_in_flight_messages", "source" => source),
            abandoned: metrics::counter!("urban_neuron_abandoned_messages_total", "source" => source),
        };
        Arc::new(Account {
            source,
            received: AtomicU64::new(0),
            logged: AtomicU64::new(0),
            dead_lettered: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            in_flight: AtomicU64::new(0),
            abandoned: AtomicU64::new(0),
            exported,
        })
    }

    pub fn source(&self) -> &'static str {
        self.source
    }

    /// Messages were appended; they are in flight.
    pub fn take(&self, carried: Carried) {
        let count = carried.records + carried.dead_letters;
        self.received.fetch_add(count, Ordering::Relaxed);
        self.in_flight.fetch_add(count, Ordering::Relaxed);
        self.exported.received.increment(count);
        self.exported.in_flight.increment(count as f64);
    }

    /// What was in flight is durable.
    pub fn land(&self, carried: Carried) {
        self.logged.fetch_add(carried.records, Ordering::Relaxed);
        self.dead_lettered.fetch_add(carried.dead_letters, Ordering::Relaxed);
        self.exported.logged.increment(carried.records);
        self.exported.dead_lettered.increment(carried.dead_letters);
        self.leave_flight(carried);
    }

    /// What was in flight will never be durable.
    pub fn abandon(&self, carried: Carried) {
        let count = carried.records + carried.dead_letters;
        self.abandoned.fetch_add(count, Ordering::Relaxed);
        self.exported.abandoned.increment(count);
        self.leave_flight(carried);
    }

    /// A message was turned away before decode.
    pub fn refuse(&self, count: u64) {
        self.received.fetch_add(count, Ordering::Relaxed);
        self.refused.fetch_add(count, Ordering::Relaxed);
        self.exported.received.increment(count);
        self.exported.refused.increment(count);
    }

    fn leave_flight(&self, carried: Carried) {
        let count = carried.records + carried.dead_letters;
        self.in_flight.fetch_sub(count, Ordering::Relaxed);
        self.exported.in_flight.decrement(count as f64);
    }

    pub fn balance(&self) -> Balance {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Balance {
            received: read(&self.received),
            logged: read(&self.logged),
            dead_lettered: read(&self.dead_lettered),
            refused: read(&self.refused),
            in_flight: read(&self.in_flight),
            abandoned: read(&self.abandoned),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_books_balance_whatever_becomes_of_a_message() {
        let account = Account::new("test");
        let carried = Carried { records: 5, dead_letters: 2 };
        account.take(carried);
        account.take(Carried { records: 1, dead_letters: 0 });
        account.refuse(3);
        assert_eq!(account.balance().unexplained(), 0);
        account.land(carried);
        account.abandon(Carried { records: 1, dead_letters: 0 });
        let expected =
            Balance { received: 11, logged: 5, dead_lettered: 2, refused: 3, in_flight: 0, abandoned: 1 };
        assert_eq!((account.balance(), account.balance().unexplained()), (expected, 0));
    }
}
