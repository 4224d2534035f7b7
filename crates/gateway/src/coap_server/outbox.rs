//! Datagrams of one turn on their way out, in one buffer.

use std::ops::Range;

use super::remote::Remote;
use super::reply::Reply;
use crate::coap::MessageType;

#[derive(Default)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    datagrams: Vec<(Remote, Range<usize>)>,
}

impl Outbox {
    pub(super) fn put(&mut self, remote: Remote, message_type: MessageType, message_id: u16, reply: &Reply) {
        let start = self.bytes.len();
        reply.write(message_type, message_id, &mut self.bytes);
        self.datagrams.push((remote, start..self.bytes.len()));
    }

    pub(super) fn datagrams(&self) -> impl Iterator<Item = (Remote, &[u8])> {
        self.datagrams.iter().map(|(remote, range)| (*remote, &self.bytes[range.clone()]))
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.datagrams.clear();
    }
}
