//! Which messages were seen before, and what they were answered (RFC 7252 section 4.5).
//!
//! Bounded: beyond the limit the oldest is forgotten though it may still be repeated. While that is so, and for one
//! lifetime after a start, [`Exchanges::may_have_forgotten`] says so, and the log's repeat window decides in its place.

use std::collections::{HashMap, VecDeque};

use tokio::time::Instant;

use super::remote::Remote;
use super::reply::Reply;
use super::{EXCHANGE_LIFETIME, NON_LIFETIME};

/// Repeats of one message that are counted while it waits: as many as a client sends.
const COPIES_MAX: u8 = 4;

/// One message of one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ExchangeKey {
    pub(super) remote: Remote,
    pub(super) message_id: u16,
}

#[derive(Clone, Copy, Debug)]
struct Exchange {
    began_at: Instant,
    is_confirmable: bool,
    /// `None` while the answer is on its way, and for what is answered by silence.
    reply: Option<Reply>,
    /// Repeats that came before the answer.
    copies: u8,
}

/// What is known of a message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Seen {
    New,
    /// A repeat that is answered once the first is, or not at all.
    Waiting,
    /// A repeat, and what the first was answered.
    Answered(Reply),
}

pub(super) struct Exchanges {
    exchanges: HashMap<ExchangeKey, Exchange>,
    /// By age. One that was forgotten and came anew stands here twice; the times tell.
    order: VecDeque<(ExchangeKey, Instant)>,
    max: usize,
    complete_from: Instant,
}

impl Exchanges {
    pub(super) fn new(max: usize, now: Instant) -> Self {
        Exchanges {
            exchanges: HashMap::new(),
            order: VecDeque::new(),
            max,
            // What an earlier process took may be repeated to this one.
            complete_from: now + EXCHANGE_LIFETIME,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.exchanges.len()
    }

    /// Whether a message that is new here may have been seen all the same.
    pub(super) fn may_have_forgotten(&self, now: Instant) -> bool {
        now < self.complete_from
    }

    /// Notes a message, unless it is a repeat.
    pub(super) fn admit(&mut self, key: ExchangeKey, is_confirmable: bool, now: Instant) -> Seen {
        if let Some(exchange) = self.exchanges.get_mut(&key) {
            let lifetime = if exchange.is_confirmable { EXCHANGE_LIFETIME } else { NON_LIFETIME };
            if now < exchange.began_at + lifetime {
                return match exchange.reply {
                    Some(reply) if exchange.is_confirmable => Seen::Answered(reply),
                    _ => {
                        exchange.copies = (exchange.copies + 1).min(COPIES_MAX);
                        Seen::Waiting
                    }
                };
            }
        }
        self.make_room(now);
        self.exchanges.insert(key, Exchange { began_at: now, is_confirmable, reply: None, copies: 0 });
        self.order.push_back((key, now));
        Seen::New
    }

    /// Notes what a message was answered, and gives how many repeats of it wait for that.
    pub(super) fn answer(&mut self, key: &ExchangeKey, reply: Reply) -> u8 {
        match self.exchanges.get_mut(key) {
            Some(exchange) => {
                exchange.reply = Some(reply);
                std::mem::take(&mut exchange.copies)
            }
            None => 0,
        }
    }

    /// A message of which nothing was kept: its repeat is taken as the first, and marked as a possible repeat.
    pub(super) fn forget(&mut self, key: &ExchangeKey) {
        if let Some(exchange) = self.exchanges.remove(key) {
            self.complete_from = self.complete_from.max(exchange.began_at + EXCHANGE_LIFETIME);
        }
    }

    fn make_room(&mut self, now: Instant) {
        while let Some(&(key, began_at)) = self.order.front() {
            let is_over = now >= began_at + EXCHANGE_LIFETIME;
            if !is_over && self.order.len() < self.max {
                break;
            }
            self.order.pop_front();
            if self.exchanges.get(&key).is_some_and(|exchange| exchange.began_at == began_at) {
                self.exchanges.remove(&key);
                if !is_over {
                    self.complete_from = self.complete_from.max(began_at + EXCHANGE_LIFETIME);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::coap::Code;

    fn key(message_id: u16) -> ExchangeKey {
        let remote = Remote { address: ([127, 0, 0, 1], 5683).into(), socket: 0 };
        ExchangeKey { remote, message_id }
    }

    fn seconds(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn a_confirmable_message_is_known_for_its_lifetime_and_a_non_confirmable_for_a_shorter_one() {
        let start = Instant::now();
        let mut exchanges = Exchanges::new(100, start);
        assert_eq!(exchanges.admit(key(1), true, start), Seen::New);
        assert_eq!(exchanges.admit(key(2), false, start), Seen::New);
        assert_eq!(exchanges.admit(key(1), true, seconds(start, 1)), Seen::Waiting);
        let reply = Reply { code: Code::CHANGED, ..Reply::empty() };
        assert_eq!(exchanges.answer(&key(1), reply), 1);
        exchanges.answer(&key(2), reply);
        assert_eq!(exchanges.admit(key(1), true, seconds(start, 246)), Seen::Answered(reply));
        assert_eq!(exchanges.admit(key(2), false, seconds(start, 144)), Seen::Waiting);
        assert_eq!(exchanges.admit(key(2), false, seconds(start, 146)), Seen::New);
        assert_eq!(exchanges.admit(key(1), true, seconds(start, 248)), Seen::New);
        // The older place of 2 in the order does not take the newer 2 with it.
        assert_eq!(exchanges.admit(key(2), false, seconds(start, 249)), Seen::Waiting);
    }

    #[test]
    fn at_its_limit_it_forgets_the_oldest_and_says_so() {
        let start = Instant::now();
        let mut exchanges = Exchanges::new(2, start);
        let later = seconds(start, 300);
        assert!(exchanges.may_have_forgotten(seconds(start, 246)), "a start is a time of forgetting");
        assert!(!exchanges.may_have_forgotten(later));
        for id in 1..=3 {
            assert_eq!(exchanges.admit(key(id), true, later), Seen::New);
        }
        assert_eq!(exchanges.len(), 2);
        assert!(exchanges.may_have_forgotten(seconds(later, 246)));
        assert!(!exchanges.may_have_forgotten(seconds(later, 247)));
        assert_eq!(exchanges.admit(key(3), true, later), Seen::Waiting);
        assert_eq!(exchanges.admit(key(1), true, later), Seen::New);
    }
}
