//! The messages of one connection that are not acknowledged, in the order of their arrival.
//!
//! It belongs to its connection and dies with it: a packet id means nothing in the next one.

use std::collections::VecDeque;

use crate::intake::Ticket;

/// Packet ids in order of arrival, cut into flushes.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    packet_ids: VecDeque<u16>,
    /// For each flush that is not durable, its ticket and how many packet ids it carries; QoS 0 makes it carry none.
    flushes: VecDeque<(Ticket, usize)>,
    unflushed_ids: usize,
    unflushed: usize,
}

impl InFlight {
    /// Taken and not acknowledged.
    pub(super) fn len(&self) -> usize {
        self.packet_ids.len()
    }

    /// Messages since the last flush, those of QoS 0 too.
    pub(super) fn unflushed(&self) -> usize {
        self.unflushed
    }

    /// Something was flushed and is not durable.
    pub(super) fn is_any_sealed(&self) -> bool {
        !self.flushes.is_empty()
    }

    /// Nothing is waited for.
    pub(super) fn is_settled(&self) -> bool {
        self.unflushed == 0 && self.flushes.is_empty()
    }

    /// A message was pushed; `packet_id` of one that is to be acknowledged.
    pub(super) fn push(&mut self, packet_id: Option<u16>) {
        self.unflushed += 1;
        if let Some(packet_id) = packet_id {
            self.unflushed_ids += 1;
            self.packet_ids.push_back(packet_id);
        }
    }

    /// What was pushed since the last call is durable with `ticket`.
    pub(super) fn seal(&mut self, ticket: Ticket) {
        self.flushes.push_back((ticket, self.unflushed_ids));
        self.unflushed_ids = 0;
        self.unflushed = 0;
    }

    /// Everything up to `durable` is durable: gives the packet ids to acknowledge, oldest first.
    pub(super) fn settle(&mut self, durable: Ticket) -> impl Iterator<Item = u16> {
        let mut count = 0;
        while let Some((_, ids)) = self.flushes.pop_front_if(|(ticket, _)| *ticket <= durable) {
            count += ids;
        }
        self.packet_ids.drain(..count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledgements_leave_in_order_and_only_when_durable() {
        let mut in_flight = InFlight::default();
        [7, 9].into_iter().for_each(|id| in_flight.push(Some(id)));
        in_flight.push(None);
        assert_eq!((in_flight.len(), in_flight.unflushed(), in_flight.is_settled()), (2, 3, false));
        in_flight.seal(Ticket(3));
        in_flight.push(Some(8));
        assert_eq!(in_flight.settle(Ticket(2)).count(), 0);
        assert_eq!(in_flight.settle(Ticket(3)).collect::<Vec<_>>(), [7, 9]);
        // Not flushed: no ticket covers it.
        assert_eq!(in_flight.settle(Ticket(99)).count(), 0);
        in_flight.seal(Ticket(4));
        assert!(in_flight.is_any_sealed());
        assert_eq!(in_flight.settle(Ticket(99)).collect::<Vec<_>>(), [8]);
        assert!(in_flight.is_settled());
    }

    #[test]
    fn a_flush_of_qos_0_alone_is_waited_for_too() {
        let mut in_flight = InFlight::default();
        in_flight.push(None);
        in_flight.seal(Ticket(1));
        assert_eq!((in_flight.len(), in_flight.is_settled()), (0, false));
        assert_eq!(in_flight.settle(Ticket(1)).count(), 0);
        assert!(in_flight.is_settled());
    }
}
