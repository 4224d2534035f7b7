//! Names of events: a hash over what was sent, so that a redelivery has the same (ADR 1).
//!
//! `xxh3-128/1`: XXH3-128 of the parts, each preceded by its length as u32 little-endian, the tag first; the result little-endian.

use xxhash_rust::xxh3::xxh3_128;

use crate::EventId;

const TAG: &[u8] = b"xxh3-128/1";

/// What a message says about which event it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity<'a> {
    /// Nothing: each message is an event.
    None,
    /// The dialect's message id.
    Id(&'a [u8]),
    /// The message has its own time or sequence: the bytes as sent, without nonce, signature or push time.
    Content(&'a [u8]),
    /// The same over two parts, as a retained message is named by topic and payload.
    Content2(&'a [u8], &'a [u8]),
}

/// Computes event ids and redelivery keys in a buffer of its own. One a thread.
#[derive(Debug)]
pub struct EventIds {
    buffer: Vec<u8>,
    /// Tells the processes apart in the ids of messages without identity.
    process: u64,
    counter: u64,
}

impl EventIds {
    /// `process` is random for each process and thread.
    pub fn new(process: u64) -> Self {
        EventIds { buffer: Vec::with_capacity(512), process, counter: 0 }
    }

    /// The id of a message's child; new in each call where there is no identity.
    pub fn event_id(
        &mut self,
        publisher: &str,
        device_id: &str,
        dialect: &str,
        identity: Identity<'_>,
        child: u32,
    ) -> EventId {
        let (kind, first, second): (u8, &[u8], &[u8]) = match identity {
            Identity::None => return self.new_id(),
            Identity::Id(id) => (1, id, &[]),
            Identity::Content(content) => (2, content, &[]),
            Identity::Content2(first, second) => (3, first, second),
        };
        let child = child.to_le_bytes();
        let publisher = publisher.as_bytes();
        self.begin();
        self.parts([publisher, device_id.as_bytes(), dialect.as_bytes(), &[kind], first, second, &child]);
        self.hash()
    }

    /// What a resend that its transport marks has in common with the first try: client or peer, packet or message id, topic,
    /// payload; and the child, since the children of one message are not repeats of each other.
    pub fn redelivery_key(
        &mut self,
        peer: &str,
        packet_id: u32,
        topic: &str,
        payload: &[u8],
        child: u32,
    ) -> EventId {
        let (packet_id, child) = (packet_id.to_le_bytes(), child.to_le_bytes());
        self.begin();
        self.parts([b"redelivery", peer.as_bytes(), &packet_id, topic.as_bytes(), payload, &child]);
        self.hash()
    }

    fn new_id(&mut self) -> EventId {
        self.counter += 1;
        let (process, counter) = (self.process.to_le_bytes(), self.counter.to_le_bytes());
        self.begin();
        self.parts([b"new", &process, &counter]);
        self.hash()
    }

    fn begin(&mut self) {
        self.buffer.clear();
        self.parts([TAG]);
    }

    /// Inlined, so that what is of a known length is a store or two.
    #[inline(always)]
    fn parts<const N: usize>(&mut self, parts: [&[u8]; N]) {
        for part in parts {
            // A part is bounded by the largest message, far below 4 GiB.
            self.buffer.extend_from_slice(&(part.len() as u32).to_le_bytes());
            self.buffer.extend_from_slice(part);
        }
    }

    fn hash(&self) -> EventId {
        xxh3_128(&self.buffer).to_le_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_function_of_all_of_its_parts() {
        let mut ids = EventIds::new(1);
        let mut id = |publisher, device, dialect, identity, child| {
            ids.event_id(publisher, device, dialect, identity, child)
        };
        let first = id("p", "d", "json", Identity::Content(b"abc"), 0);
        assert_eq!(first, id("p", "d", "json", Identity::Content(b"abc"), 0));
        let others = [
            id("pd", "", "json", Identity::Content(b"abc"), 0),
            id("p", "e", "json", Identity::Content(b"abc"), 0),
            id("p", "d", "json", Identity::Id(b"abc"), 0),
            id("p", "d", "json", Identity::Content(b"abc"), 1),
            id("p", "d", "json", Identity::Content2(b"ab", b"c"), 0),
            id("p", "d", "json", Identity::None, 0),
        ];
        assert!(others.iter().all(|other| *other != first));
        assert_ne!(ids.new_id(), ids.new_id());
        assert_ne!(EventIds::new(1).new_id(), EventIds::new(2).new_id());
    }

    #[test]
    fn the_hash_never_changes() {
        let id = EventIds::new(0).event_id("p", "d", "flat-json", Identity::Content(b"x"), 0);
        let text: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(text, PINNED);
    }

    /// Ids in lakes depend on it.
    const PINNED: &str = "ba951006920c7c7abe59a1b86d0f2f67";
}
