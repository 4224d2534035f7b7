//! Acknowledgements of one connection that wait for their flush to be durable.
//!
//! They are encoded on arrival, with a mark a flush: what is durable leaves as a prefix, in the order of arrival, however
//! many messages it answers.

use std::collections::VecDeque;

use tokio::time::Instant;

use crate::mqtt::ReasonCode;
use crate::mqtt::encode;

/// A FIFO; its bound is the connection's, which does not read beyond it.
#[derive(Default)]
pub(super) struct AckQueue {
    /// PUBACK and PUBREC, the short form of both versions.
    encoded: VecDeque<[u8; 4]>,
    marks: VecDeque<Mark>,
    refusals: usize,
}

struct Mark {
    flush: u64,
    count: usize,
    arrived_at: Instant,
    /// One answer that refuses, and waits only for those before it.
    refusal: Option<ReasonCode>,
}

impl AckQueue {
    /// Messages that wait for their answer.
    pub(super) fn len(&self) -> usize {
        self.encoded.len()
    }

    /// Those of them that were taken.
    pub(super) fn taken(&self) -> usize {
        self.encoded.len() - self.refusals
    }

    pub(super) fn is_empty(&self) -> bool {
        self.encoded.is_empty()
    }

    /// Adds the answer `kind` to a message of `flush`, which is not below that of the last.
    #[inline]
    pub(super) fn push(&mut self, kind: u8, packet_id: u16, flush: u64, arrived_at: Instant) {
        self.encoded.push_back(encode::ack(kind, packet_id));
        match self.marks.back_mut() {
            Some(mark) if mark.flush == flush && mark.refusal.is_none() => mark.count += 1,
            _ => self.marks.push_back(Mark { flush, count: 1, arrived_at, refusal: None }),
        }
    }

    /// Adds an answer of 5.0 that refuses; it leaves behind those that are there, at once where there are none.
    pub(super) fn refuse(
        &mut self,
        kind: u8,
        packet_id: u16,
        reason: ReasonCode,
        arrived_at: Instant,
        out: &mut Vec<u8>,
    ) {
        let Some(flush) = self.last_flush() else {
            out.extend_from_slice(&encode::refusal(kind, packet_id, reason));
            return;
        };
        self.encoded.push_back(encode::ack(kind, packet_id));
        self.marks.push_back(Mark { flush, count: 1, arrived_at, refusal: Some(reason) });
        self.refusals += 1;
    }

    /// Moves the answers to all flushes that are durable to `out` and gives how many say that a message was taken;
    /// `on_flush` is told when the first message of each arrived.
    pub(super) fn release(
        &mut self,
        is_durable: impl Fn(u64) -> bool,
        out: &mut Vec<u8>,
        mut on_flush: impl FnMut(Instant),
    ) -> usize {
        let (mut taken, mut run) = (0, 0);
        while let Some(mark) = self.marks.pop_front_if(|mark| is_durable(mark.flush)) {
            if let Some(reason) = mark.refusal {
                taken += self.release_run(std::mem::take(&mut run), out);
                self.release_refusal(reason, out);
            } else {
                on_flush(mark.arrived_at);
                run += mark.count;
            }
        }
        taken + self.release_run(run, out)
    }

    fn release_run(&mut self, count: usize, out: &mut Vec<u8>) -> usize {
        let (front, back) = self.encoded.as_slices();
        let split = count.min(front.len());
        out.extend_from_slice(front[..split].as_flattened());
        out.extend_from_slice(back[..count - split].as_flattened());
        self.encoded.drain(..count);
        count
    }

    fn release_refusal(&mut self, reason: ReasonCode, out: &mut Vec<u8>) {
        if let Some([first, _, high, low]) = self.encoded.pop_front() {
            out.extend_from_slice(&encode::refusal(first >> 4, u16::from_be_bytes([high, low]), reason));
            self.refusals -= 1;
        }
    }

    /// The flush of the last message.
    pub(super) fn last_flush(&self) -> Option<u64> {
        self.marks.back().map(|mark| mark.flush)
    }

    /// The packet ids that wait for an answer of `kind`, in order.
    pub(super) fn packet_ids(&self, kind: u8) -> impl Iterator<Item = u16> + '_ {
        let of_kind = self.encoded.iter().filter(move |ack| ack[0] >> 4 == kind);
        of_kind.map(|ack| u16::from_be_bytes([ack[2], ack[3]]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mqtt::frame::packet_type::{PUBACK, PUBREC};
    use proptest::prelude::*;

    proptest! {
        /// Against a list of (flush, packet id, whether it refuses), released one by one.
        #[test]
        fn leaves_as_a_prefix_in_order(steps in prop::collection::vec((0u64..3, 1u16.., 0u64..12, any::<bool>()), 0..60)) {
            let (mut queue, mut list) = (AckQueue::default(), VecDeque::<(u64, u16, bool)>::new());
            let mut flush = 0;
            for (advance, packet_id, durable, refuses) in steps {
                flush += advance;
                let (mut out, mut expected) = (Vec::new(), Vec::new());
                if refuses {
                    queue.refuse(PUBACK, packet_id, ReasonCode::NOT_AUTHORIZED, Instant::now(), &mut out);
                    match list.back() {
                        Some((last, ..)) => list.push_back((*last, packet_id, true)),
                        None => expected.extend(encode::refusal(PUBACK, packet_id, ReasonCode::NOT_AUTHORIZED)),
                    }
                } else {
                    queue.push(PUBACK, packet_id, flush, Instant::now());
                    list.push_back((flush, packet_id, false));
                }
                let mut taken = 0;
                let count = queue.release(|flush| flush < durable, &mut out, |_| ());
                while let Some((_, id, refused)) = list.pop_front_if(|(flush, ..)| *flush < durable) {
                    if refused {
                        expected.extend(encode::refusal(PUBACK, id, ReasonCode::NOT_AUTHORIZED));
                    } else {
                        expected.extend(encode::ack(PUBACK, id));
                        taken += 1;
                    }
                }
                prop_assert_eq!(&out, &expected);
                prop_assert_eq!(count, taken);
                prop_assert_eq!(queue.taken(), list.iter().filter(|(.., refused)| !refused).count());
                prop_assert_eq!(queue.len(), list.len());
                prop_assert_eq!(queue.last_flush(), list.back().map(|(flush, ..)| *flush));
            }
        }
    }

    #[test]
    fn packet_ids_by_kind() {
        let mut queue = AckQueue::default();
        for (kind, id) in [(PUBACK, 1), (PUBREC, 2), (PUBACK, 3), (PUBREC, 0xff04)] {
            queue.push(kind, id, 0, Instant::now());
        }
        assert_eq!(queue.packet_ids(PUBREC).collect::<Vec<_>>(), [2, 0xff04]);
    }
}
