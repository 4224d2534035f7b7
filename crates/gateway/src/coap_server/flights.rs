//! Requests whose records are on their way to durability, in the order of arrival: what is durable is a prefix.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::exchanges::ExchangeKey;
use super::reply::Reply;
use crate::intake::Ticket;

/// One request that is answered once it is durable.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flight {
    pub(super) key: ExchangeKey,
    pub(super) is_confirmable: bool,
    pub(super) reply: Reply,
    /// The client does not want to hear it: an acknowledgement is all that leaves.
    pub(super) is_unwanted: bool,
    /// It was told that the answer comes apart.
    pub(super) is_separate: bool,
    pub(super) arrived_at: Instant,
}

/// A FIFO; its bound is the server's, which refuses beyond it.
#[derive(Default)]
pub(super) struct Flights {
    queue: VecDeque<Flight>,
    /// How many have left since the start: the number of the first in the queue.
    settled: u64,
    /// Tickets, each with the number of the first that it does not cover.
    sealed: VecDeque<(Ticket, u64)>,
    /// Those below this number have been looked at for a separate answer.
    looked_at: u64,
}

impl Flights {
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    fn end(&self) -> u64 {
        self.settled + self.queue.len() as u64
    }

    pub(super) fn push(&mut self, flight: Flight) {
        self.queue.push_back(flight);
    }

    /// Whether some are in no flush yet.
    pub(super) fn is_dirty(&self) -> bool {
        self.sealed.back().map_or(self.settled, |(_, end)| *end) < self.end()
    }

    /// Whether a flush is not durable yet.
    pub(super) fn is_any_sealed(&self) -> bool {
        !self.sealed.is_empty()
    }

    /// All that were pushed are in the flush of `ticket`.
    pub(super) fn seal(&mut self, ticket: Ticket) {
        self.sealed.push_back((ticket, self.end()));
    }

    /// Takes those that are durable.
    pub(super) fn settle(&mut self, durable: Ticket) -> impl Iterator<Item = Flight> + '_ {
        let mut end = self.settled;
        while let Some((_, sealed_end)) = self.sealed.pop_front_if(|(ticket, _)| *ticket <= durable) {
            end = sealed_end;
        }
        let count = (end - self.settled) as usize;
        self.settled = end;
        self.looked_at = self.looked_at.max(end);
        self.queue.drain(..count)
    }

    /// Takes all: they will not be durable.
    pub(super) fn fail(&mut self) -> impl Iterator<Item = Flight> + '_ {
        self.settled = self.end();
        self.looked_at = self.settled;
        self.sealed.clear();
        self.queue.drain(..)
    }

    /// Those that have waited for `patience`, each once.
    pub(super) fn overdue(&mut self, patience: Duration, now: Instant) -> impl Iterator<Item = &mut Flight> {
        let start = (self.looked_at - self.settled) as usize;
        let late = self.queue.range(start..).take_while(|flight| now >= flight.arrived_at + patience).count();
        self.looked_at += late as u64;
        self.queue.range_mut(start..start + late)
    }

    /// When the next will have waited for `patience`.
    pub(super) fn next_overdue(&self, patience: Duration) -> Option<Instant> {
        let next = self.queue.get((self.looked_at - self.settled) as usize)?;
        Some(next.arrived_at + patience)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::coap_server::remote::Remote;

    fn flight(message_id: u16, arrived_at: Instant) -> Flight {
        let remote = Remote { address: ([127, 0, 0, 1], 1).into(), socket: 0 };
        Flight {
            key: ExchangeKey { remote, message_id },
            is_confirmable: true,
            reply: Reply::empty(),
            is_unwanted: false,
            is_separate: false,
            arrived_at,
        }
    }

    proptest! {
        /// Against a list of (ticket or none, message id, whether it was late).
        #[test]
        fn what_is_durable_leaves_in_order_and_what_is_late_is_said_once(
            steps in prop::collection::vec((0u8..4, 0u64..8), 0..80),
        ) {
            const PATIENCE: Duration = Duration::from_secs(3);
            let mut now = Instant::now();
            let (mut flights, mut list) = (Flights::default(), Vec::<(Option<u64>, u16, Instant, bool)>::new());
            let (mut id, mut ticket) = (0, 0);
            for (step, value) in steps {
                match step {
                    0 => {
                        id += 1;
                        flights.push(flight(id, now));
                        list.push((None, id, now, false));
                    }
                    1 => {
                        ticket += 1;
                        flights.seal(Ticket(ticket));
                        list.iter_mut().filter(|item| item.0.is_none()).for_each(|item| item.0 = Some(ticket));
                    }
                    2 => {
                        now += Duration::from_secs(value);
                        let late: Vec<_> = flights.overdue(PATIENCE, now).map(|flight| flight.key.message_id).collect();
                        let is_late = |item: &&mut (Option<u64>, u16, Instant, bool)| !item.3 && now >= item.2 + PATIENCE;
                        let expected: Vec<_> = list.iter_mut().filter(is_late).map(|item| { item.3 = true; item.1 }).collect();
                        prop_assert_eq!(late, expected);
                        let next = list.iter().find(|item| !item.3).map(|item| item.2 + PATIENCE);
                        prop_assert_eq!(flights.next_overdue(PATIENCE), next);
                    }
                    _ => {
                        let durable = ticket.saturating_sub(value);
                        let left: Vec<_> = flights.settle(Ticket(durable)).map(|flight| flight.key.message_id).collect();
                        let is_durable = |item: &(Option<u64>, u16, Instant, bool)| item.0.is_some_and(|at| at <= durable);
                        let expected: Vec<_> = list.iter().filter(|item| is_durable(item)).map(|item| item.1).collect();
                        list.retain(|item| !is_durable(item));
                        prop_assert_eq!(left, expected);
                    }
                }
                prop_assert_eq!(flights.len(), list.len());
                prop_assert_eq!(flights.is_dirty(), list.iter().any(|item| item.0.is_none()));
            }
        }
    }
}
