//! Bodies that come in blocks (RFC 7959 section 2.5): one upload is a peer, a path and its request tags (RFC 9175), not a
//! token, which libcoap changes from block to block.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::remote::Remote;
use super::reply::Extra;
use crate::coap::{Block, Code, Options, number};

/// Which upload a block belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct UploadKey {
    remote: Remote,
    /// Path segments and request tags, each with its number and length before it.
    options: Vec<u8>,
}

impl UploadKey {
    pub(super) fn new(remote: Remote, options: Options<'_>) -> Self {
        let mut key = Vec::with_capacity(64);
        for (number, value) in options {
            if matches!(number, number::URI_PATH | number::REQUEST_TAG) {
                // Values end with their datagram, far below 4 GiB.
                key.extend_from_slice(&number.to_be_bytes());
                key.extend_from_slice(&(value.len() as u32).to_be_bytes());
                key.extend_from_slice(value);
            }
        }
        UploadKey { remote, options: key }
    }
}

/// Limits of the uploads of one thread.
#[derive(Clone, Copy, Debug)]
pub(super) struct UploadLimits {
    pub(super) body_bytes_max: usize,
    pub(super) uploads_max: usize,
    pub(super) uploads_of_peer_max: usize,
    pub(super) bytes_max: usize,
    pub(super) timeout: Duration,
}

/// What a block of a body said beside its bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct BlockPart<'a> {
    pub(super) block: Block,
    /// The size of the whole body, where the client said it.
    pub(super) body_bytes: Option<u32>,
    pub(super) content_format: Option<u32>,
    pub(super) payload: &'a [u8],
}

/// What became of a block.
#[derive(Debug, PartialEq)]
pub(super) enum Progress {
    /// It was the last: the whole body.
    Whole(Vec<u8>),
    /// Another one is wanted.
    Continue,
    /// There is no place for another upload now.
    NoRoom,
    Refused(Code, Extra),
}

struct Upload {
    body: Vec<u8>,
    content_format: Option<u32>,
    heard_at: Instant,
}

pub(super) struct Uploads {
    uploads: HashMap<UploadKey, Upload>,
    of_peer: HashMap<Remote, usize>,
    bytes: usize,
    limits: UploadLimits,
    /// When expired ones are looked for next.
    sweep_at: Option<Instant>,
}

impl Uploads {
    pub(super) fn new(limits: UploadLimits) -> Self {
        Uploads { uploads: HashMap::new(), of_peer: HashMap::new(), bytes: 0, limits, sweep_at: None }
    }

    /// Bytes of unfinished bodies.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes a block.
    pub(super) fn take(&mut self, key: UploadKey, part: BlockPart<'_>, now: Instant) -> Progress {
        self.sweep(now);
        let block = part.block;
        let (Some(size), Some(offset)) = (block.size(), block.offset()) else {
            return Progress::Refused(Code::BAD_REQUEST, Extra::None);
        };
        if part.payload.len() > size || (block.has_more && part.payload.len() != size) {
            return Progress::Refused(Code::BAD_REQUEST, Extra::None);
        }
        let said = part.body_bytes.map_or(0, |bytes| bytes as usize);
        if said.max(offset + part.payload.len()) > self.limits.body_bytes_max {
            self.drop_upload(&key);
            return Progress::Refused(Code::REQUEST_ENTITY_TOO_LARGE, self.size_max());
        }
        let mut upload = if block.number == 0 {
            self.drop_upload(&key);
            Upload { body: Vec::new(), content_format: part.content_format, heard_at: now }
        } else {
            match self.remove(&key) {
                Some(upload) => upload,
                None => return Progress::Refused(Code::REQUEST_ENTITY_INCOMPLETE, Extra::Block1(block)),
            }
        };
        if upload.body.len() != offset || upload.content_format != part.content_format {
            return Progress::Refused(Code::REQUEST_ENTITY_INCOMPLETE, Extra::Block1(block));
        }
        upload.body.extend_from_slice(part.payload);
        if !block.has_more {
            return Progress::Whole(upload.body);
        }
        upload.heard_at = now;
        self.keep(key, upload, now)
    }

    fn keep(&mut self, key: UploadKey, upload: Upload, now: Instant) -> Progress {
        let of_peer = self.of_peer.get(&key.remote).copied().unwrap_or(0);
        let is_full = self.uploads.len() >= self.limits.uploads_max
            || of_peer >= self.limits.uploads_of_peer_max
            || self.bytes + upload.body.len() > self.limits.bytes_max;
        if is_full {
            return Progress::NoRoom;
        }
        self.bytes += upload.body.len();
        self.of_peer.insert(key.remote, of_peer + 1);
        self.uploads.insert(key, upload);
        self.sweep_at.get_or_insert(now + self.limits.timeout);
        Progress::Continue
    }

    fn remove(&mut self, key: &UploadKey) -> Option<Upload> {
        let upload = self.uploads.remove(key)?;
        self.bytes -= upload.body.len();
        match self.of_peer.get_mut(&key.remote) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(self.of_peer.remove(&key.remote)),
        }
        Some(upload)
    }

    fn drop_upload(&mut self, key: &UploadKey) {
        drop(self.remove(key));
    }

    /// The largest body, as a client is told it.
    pub(super) fn size_max(&self) -> Extra {
        Extra::Size1(u32::try_from(self.limits.body_bytes_max).unwrap_or(u32::MAX))
    }

    /// Drops those whose next block did not come, at most once a timeout.
    fn sweep(&mut self, now: Instant) {
        if self.sweep_at.is_none_or(|at| now < at) {
            return;
        }
        let timeout = self.limits.timeout;
        let is_over = |upload: &Upload| now >= upload.heard_at + timeout;
        let over: Vec<_> =
            self.uploads.iter().filter(|(_, upload)| is_over(upload)).map(|(key, _)| key.clone()).collect();
        over.iter().for_each(|key| self.drop_upload(key));
        self.sweep_at = (!self.uploads.is_empty()).then(|| now + timeout / 2);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: UploadLimits = UploadLimits {
        body_bytes_max: 100,
        uploads_max: 3,
        uploads_of_peer_max: 2,
        bytes_max: 150,
        timeout: Duration::from_secs(10),
    };

    fn key(port: u16, tag: u8) -> UploadKey {
        let remote = Remote { address: ([127, 0, 0, 1], port).into(), socket: 0 };
        UploadKey { remote, options: vec![tag] }
    }

    fn part(number: u32, has_more: bool, payload: &[u8]) -> BlockPart<'_> {
        let block = Block { number, has_more, size_exponent: 0 };
        BlockPart { block, body_bytes: None, content_format: Some(50), payload }
    }

    fn refused(code: Code) -> impl Fn(Progress) {
        move |progress| match progress {
            Progress::Refused(found, _) => assert_eq!(found, code),
            other => panic!("{other:?}"),
        }
    }

    const FULL: [u8; 16] = [7; 16];

    #[test]
    fn blocks_in_order_are_a_body_and_any_other_order_is_refused() {
        let now = Instant::now();
        let mut uploads = Uploads::new(LIMITS);
        let incomplete = refused(Code::REQUEST_ENTITY_INCOMPLETE);
        incomplete(uploads.take(key(1, 0), part(1, true, &FULL), now));
        assert_eq!(uploads.take(key(1, 0), part(0, true, &FULL), now), Progress::Continue);
        assert_eq!(uploads.take(key(1, 1), part(0, true, &FULL), now), Progress::Continue);
        assert_eq!(uploads.take(key(1, 0), part(1, true, &FULL), now), Progress::Continue);
        let whole = Progress::Whole([&FULL[..], &FULL, b"end"].concat());
        assert_eq!(uploads.take(key(1, 0), part(2, false, b"end"), now), whole);
        // Again, out of order, of another format.
        incomplete(uploads.take(key(1, 0), part(2, false, b"end"), now));
        incomplete(uploads.take(key(1, 1), part(2, false, b"end"), now));
        uploads.take(key(1, 1), part(0, true, &FULL), now);
        let other_format = BlockPart { content_format: None, ..part(1, false, b"end") };
        incomplete(uploads.take(key(1, 1), other_format, now));
        assert_eq!((uploads.bytes(), uploads.of_peer.len()), (0, 0));
    }

    #[test]
    fn limits_are_kept() {
        let now = Instant::now();
        let mut uploads = Uploads::new(LIMITS);
        let bad = refused(Code::BAD_REQUEST);
        bad(uploads.take(key(1, 0), part(0, true, b"short"), now));
        bad(uploads.take(key(1, 0), part(0, false, &[0; 17]), now));
        let mut reserved = part(0, true, &FULL);
        reserved.block.size_exponent = 7;
        bad(uploads.take(key(1, 0), reserved, now));
        let too_large = Progress::Refused(Code::REQUEST_ENTITY_TOO_LARGE, Extra::Size1(100));
        let said = BlockPart { body_bytes: Some(101), ..part(0, true, &FULL) };
        assert_eq!(uploads.take(key(1, 0), said, now), too_large);
        assert_eq!(uploads.take(key(1, 0), part(6, true, &FULL), now), too_large);
        let huge = part((1 << 20) - 1, true, &FULL);
        assert_eq!(uploads.take(key(1, 0), huge, now), too_large);
        assert_eq!(uploads.take(key(1, 0), part(0, true, &FULL), now), Progress::Continue);
        assert_eq!(uploads.take(key(1, 1), part(0, true, &FULL), now), Progress::Continue);
        assert_eq!(uploads.take(key(1, 2), part(0, true, &FULL), now), Progress::NoRoom);
        assert_eq!(uploads.take(key(2, 0), part(0, true, &FULL), now), Progress::Continue);
        assert_eq!(uploads.take(key(3, 0), part(0, true, &FULL), now), Progress::NoRoom);
        // What nobody goes on with makes room.
        let later = now + LIMITS.timeout;
        assert_eq!(uploads.take(key(3, 0), part(0, true, &FULL), later), Progress::Continue);
        assert_eq!((uploads.bytes(), uploads.uploads.len()), (16, 1));
    }

    proptest! {
        /// Whatever comes, the sums are those of what is held, and within the limits.
        #[test]
        fn sums_are_kept(steps in prop::collection::vec((1u16..4, 0u8..3, 0u32..4, any::<bool>(), 0u64..6), 0..60)) {
            let mut now = Instant::now();
            let mut uploads = Uploads::new(LIMITS);
            for (port, tag, number, has_more, wait) in steps {
                now += Duration::from_secs(wait);
                uploads.take(key(port, tag), part(number, has_more, &FULL), now);
                prop_assert_eq!(uploads.bytes, uploads.uploads.values().map(|upload| upload.body.len()).sum::<usize>());
                prop_assert_eq!(uploads.of_peer.values().sum::<usize>(), uploads.uploads.len());
                prop_assert!(uploads.of_peer.values().all(|count| (1..=2).contains(count)));
                prop_assert!(uploads.bytes <= LIMITS.bytes_max && uploads.uploads.len() <= LIMITS.uploads_max);
            }
        }
    }
}
