//! Which messages of a thread are durable: flushes numbered in order, and who waits for them.
//!
//! A message is pushed before its ticket exists, so connections remember the number of the flush that will carry it.

use std::collections::VecDeque;

use crate::intake::Ticket;

/// Numbers the flushes of one intake. `W` is what is woken.
pub(super) struct Flushes<W> {
    /// The flush that the next push belongs to.
    open: u64,
    /// Something was pushed since the last flush.
    is_dirty: bool,
    /// Every flush below is durable, unless it is below `failed`.
    durable: u64,
    /// What is not known to be durable below this never will be.
    failed: u64,
    /// Tickets of the flushes `durable..open`.
    sealed: VecDeque<Ticket>,
    waiting: VecDeque<(u64, W)>,
}

impl<W> Flushes<W> {
    pub(super) fn new() -> Self {
        Flushes {
            open: 0,
            is_dirty: false,
            durable: 0,
            failed: 0,
            sealed: VecDeque::new(),
            waiting: VecDeque::new(),
        }
    }

    /// The flush that what is pushed now belongs to.
    pub(super) fn open(&self) -> u64 {
        self.open
    }

    pub(super) fn mark_dirty(&mut self) {
        self.is_dirty = true;
    }

    pub(super) fn is_dirty(&self) -> bool {
        self.is_dirty
    }

    /// Flushed and not durable.
    pub(super) fn is_any_sealed(&self) -> bool {
        !self.sealed.is_empty()
    }

    pub(super) fn is_durable(&self, flush: u64) -> bool {
        (self.failed..self.durable).contains(&flush)
    }

    /// The log failed before it was known to be durable.
    pub(super) fn has_failed(&self, flush: u64) -> bool {
        flush < self.failed
    }

    /// Wakes `who` once the open flush is durable.
    pub(super) fn wait(&mut self, who: W) {
        self.waiting.push_back((self.open, who));
    }

    /// The open flush went out with this ticket.
    pub(super) fn seal(&mut self, ticket: Ticket) {
        self.sealed.push_back(ticket);
        self.open += 1;
        self.is_dirty = false;
    }

    /// Everything up to `ticket` is durable: gives those who waited for it.
    pub(super) fn settle(&mut self, ticket: Ticket) -> impl Iterator<Item = W> {
        while self.sealed.front().is_some_and(|sealed| *sealed <= ticket) {
            self.sealed.pop_front();
            self.durable += 1;
        }
        let count = self.waiting.partition_point(|(flush, _)| *flush < self.durable);
        self.waiting.drain(..count).map(|(_, who)| who)
    }

    /// Nothing that is not durable ever will be. What comes next gets numbers of its own.
    pub(super) fn fail(&mut self) -> impl Iterator<Item = W> {
        self.sealed.clear();
        self.open += 1;
        self.durable = self.open;
        self.failed = self.open;
        self.is_dirty = false;
        self.waiting.drain(..).map(|(_, who)| who)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flush_is_durable_when_its_ticket_is() {
        let mut flushes = Flushes::new();
        flushes.wait("a");
        flushes.seal(Ticket(10));
        flushes.wait("b");
        flushes.wait("c");
        flushes.seal(Ticket(12));
        flushes.wait("d");
        assert_eq!(flushes.settle(Ticket(9)).count(), 0);
        assert!(!flushes.is_durable(0));
        assert_eq!(flushes.settle(Ticket(11)).collect::<Vec<_>>(), ["a"]);
        assert!(flushes.is_durable(0) && !flushes.is_durable(1));
        assert_eq!(flushes.settle(Ticket(20)).collect::<Vec<_>>(), ["b", "c"]);
        assert!(flushes.is_durable(1) && !flushes.is_durable(2));
        assert!(!flushes.is_any_sealed());
    }

    #[test]
    fn what_failed_never_becomes_durable() {
        let mut flushes = Flushes::new();
        flushes.seal(Ticket(5));
        flushes.wait("a");
        assert_eq!(flushes.fail().collect::<Vec<_>>(), ["a"]);
        let next = flushes.open();
        flushes.seal(Ticket(1));
        assert_eq!(flushes.settle(Ticket(1)).count(), 0);
        for flush in 0..next {
            assert!(flushes.has_failed(flush) && !flushes.is_durable(flush), "flush {flush}");
        }
        assert!(flushes.is_durable(next) && !flushes.has_failed(next));
    }

    #[test]
    fn a_ticket_that_stands_still_covers_an_empty_flush() {
        let mut flushes = Flushes::new();
        flushes.seal(Ticket(5));
        flushes.wait("a");
        flushes.seal(Ticket(5));
        assert_eq!(flushes.settle(Ticket(5)).collect::<Vec<_>>(), ["a"]);
    }
}
