//! Which tickets are durable, while delivery reports come in any order over the log partitions.
//!
//! Owns the counts of records that are under way, one a ticket, in a ring. A report is O(1), whatever lies between it and
//! the oldest. Knows no Kafka and no thread.

use std::collections::VecDeque;
use std::time::Instant;

use crate::Ticket;

/// One ticket's records.
#[derive(Debug)]
struct Share {
    under_way: u64,
    since: Instant,
}

/// The tickets of one appender. Invariant: the ring holds the tickets after `durable`, the last of them perhaps not yet
/// given out.
#[derive(Debug, Default)]
pub(super) struct Tickets {
    durable: u64,
    given: u64,
    ring: VecDeque<Share>,
}

impl Tickets {
    /// The ticket that records are sent under until the next [`Tickets::give`].
    pub(super) fn next(&self) -> u64 {
        self.given + 1
    }

    /// `count` records are about to be sent under [`Tickets::next`].
    pub(super) fn sent(&mut self, count: u64, now: Instant) {
        if self.is_next_open() {
            if let Some(share) = self.ring.back_mut() {
                share.under_way += count;
            }
        } else {
            self.ring.push_back(Share { under_way: count, since: now });
        }
    }

    /// Gives out the ticket of all that was sent; the last one again when nothing was.
    pub(super) fn give(&mut self) -> Ticket {
        if self.is_next_open() {
            self.given += 1;
            self.settle();
        }
        Ticket(self.given)
    }

    /// `count` records of a ticket are durable.
    pub(super) fn delivered(&mut self, ticket: u64, count: u64) {
        let index = ticket.wrapping_sub(self.durable + 1);
        if let Some(share) = usize::try_from(index).ok().and_then(|index| self.ring.get_mut(index)) {
            share.under_way = share.under_way.saturating_sub(count);
        }
        self.settle();
    }

    pub(super) fn durable(&self) -> Ticket {
        Ticket(self.durable)
    }

    /// Since when the oldest record under way is.
    pub(super) fn waiting_since(&self) -> Option<Instant> {
        self.ring.iter().find(|share| share.under_way > 0).map(|share| share.since)
    }

    fn is_next_open(&self) -> bool {
        self.durable + self.ring.len() as u64 > self.given
    }

    fn settle(&mut self) {
        while self.durable < self.given && self.ring.front().is_some_and(|share| share.under_way == 0) {
            self.ring.pop_front();
            self.durable += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Send(u64),
        Give,
        /// Reports one of the records under way, chosen by this number.
        Deliver(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            (1..5u64).prop_map(Step::Send),
            Just(Step::Give),
            any::<usize>().prop_map(Step::Deliver),
        ];
        prop::collection::vec(step, 0..200)
    }

    proptest! {
        #[test]
        fn a_ticket_is_durable_when_nothing_up_to_it_is_under_way(steps in steps()) {
            let now = Instant::now();
            let mut tickets = Tickets::default();
            let mut under_way: Vec<u64> = Vec::new();
            let (mut given, mut is_anything_sent) = (0, false);
            for step in steps {
                match step {
                    Step::Send(count) => {
                        under_way.extend((0..count).map(|_| tickets.next()));
                        tickets.sent(count, now);
                        is_anything_sent = true;
                    }
                    Step::Give => {
                        given += u64::from(std::mem::take(&mut is_anything_sent));
                        prop_assert_eq!(tickets.give(), Ticket(given));
                    }
                    Step::Deliver(chosen) if !under_way.is_empty() => {
                        let ticket = under_way.swap_remove(chosen % under_way.len());
                        tickets.delivered(ticket, 1);
                    }
                    Step::Deliver(_) => {}
                }
                let durable = under_way.iter().min().map_or(given, |oldest| given.min(oldest - 1));
                prop_assert_eq!(tickets.durable(), Ticket(durable));
                prop_assert_eq!(tickets.waiting_since().is_some(), !under_way.is_empty());
            }
            let mut counts = BTreeMap::new();
            under_way.iter().for_each(|ticket| *counts.entry(*ticket).or_insert(0) += 1);
            counts.into_iter().for_each(|(ticket, count)| tickets.delivered(ticket, count));
            prop_assert_eq!(tickets.give(), tickets.durable());
        }
    }
}
