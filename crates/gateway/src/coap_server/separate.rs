//! Answers that come apart from the acknowledgement of their request: confirmable messages of our own, sent again until
//! they are acknowledged (RFC 7252 sections 4.2 and 5.2.2).

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use tokio::time::Instant;

use super::exchanges::ExchangeKey;
use super::reply::Reply;

/// To the first repeat; section 4.8 asks for 2 s to 3 s, and it doubles with each.
const ACK_TIMEOUT: Duration = Duration::from_millis(2_500);
const MAX_RETRANSMIT: u32 = 4;

struct Separate {
    reply: Reply,
    retransmits: u32,
    place: Place,
}

/// When an answer is due; the number only tells apart what is due at once.
type Place = (Instant, u64);

/// Those of one thread that wait for their acknowledgement. The key's message id is ours.
pub(super) struct Separates {
    waiting: HashMap<ExchangeKey, Separate>,
    schedule: BTreeMap<Place, ExchangeKey>,
    next: u64,
    max: usize,
}

impl Separates {
    pub(super) fn new(max: usize) -> Self {
        Separates { waiting: HashMap::new(), schedule: BTreeMap::new(), next: 0, max }
    }

    /// Notes an answer that was sent; false where there are too many, and it will not be sent again.
    pub(super) fn sent(&mut self, key: ExchangeKey, reply: Reply, now: Instant) -> bool {
        if self.waiting.len() >= self.max {
            return false;
        }
        let place = self.schedule(key, now + ACK_TIMEOUT);
        if let Some(earlier) = self.waiting.insert(key, Separate { reply, retransmits: 0, place }) {
            self.schedule.remove(&earlier.place);
        }
        true
    }

    fn schedule(&mut self, key: ExchangeKey, due_at: Instant) -> Place {
        self.next += 1;
        self.schedule.insert((due_at, self.next), key);
        (due_at, self.next)
    }

    /// The peer has it, or does not want it.
    pub(super) fn acknowledged(&mut self, key: &ExchangeKey) {
        if let Some(separate) = self.waiting.remove(key) {
            self.schedule.remove(&separate.place);
        }
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.schedule.first_key_value().map(|((at, _), _)| *at)
    }

    /// The next answer that is to be sent again now.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<(ExchangeKey, Reply)> {
        while let Some(first) = self.schedule.first_entry().filter(|first| first.key().0 <= now) {
            let key = first.remove();
            let Some(mut separate) = self.waiting.remove(&key) else { continue };
            if separate.retransmits == MAX_RETRANSMIT {
                continue;
            }
            separate.retransmits += 1;
            separate.place = self.schedule(key, now + ACK_TIMEOUT * (1 << separate.retransmits));
            let reply = separate.reply;
            self.waiting.insert(key, separate);
            return Some((key, reply));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coap_server::remote::Remote;

    #[test]
    fn an_answer_is_sent_four_times_more_with_doubling_waits_unless_it_is_acknowledged() {
        let start = Instant::now();
        let remote = Remote { address: ([127, 0, 0, 1], 1).into(), socket: 0 };
        let key = |message_id| ExchangeKey { remote, message_id };
        let mut separates = Separates::new(2);
        assert!(separates.sent(key(1), Reply::empty(), start));
        assert!(separates.sent(key(2), Reply::empty(), start));
        assert!(!separates.sent(key(3), Reply::empty(), start), "at the limit");
        separates.acknowledged(&key(2));
        let (mut now, mut waits) = (start, Vec::new());
        while let Some(due) = separates.next_due() {
            if separates.pop_due(due).is_some() {
                waits.push((due - now).as_millis());
                now = due;
            }
        }
        assert_eq!(waits, [2_500, 5_000, 10_000, 20_000]);
        assert!(separates.waiting.is_empty() && separates.schedule.is_empty());
    }
}
