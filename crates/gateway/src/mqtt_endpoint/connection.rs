//! One connection after its CONNACK: a state machine with one *turn*, run whenever anything may have happened.
//!
//! A turn releases what has become durable, reads what is there, hands every message to the intake, and writes all answers
//! at once. Invariants: nothing is read while the intake has no room, while the client does not read its answers, or
//! (3.1.1) while it has as much in flight as it may; keep-alive is enforced only while the connection is read; buffers
//! are bounded by the packet size and a constant.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, timeout};

use super::deadlines::Deadlines;
use super::end::End;
use super::farewell::{LINGER, leave, linger};
use super::handshake::Agreed;
use super::mailbox::{Kick, Mailbox};
use super::publishing::{NotTaken, Publishing, ReadTime};
use super::session::ClientSession;
use super::shard::Shard;
use super::subscriptions::{self, Subscriptions};
use super::transport::Transport;
use crate::intake::IntakeSource;
use crate::mqtt::frame::{self, Frame, packet_type};
use crate::mqtt::{Packet, PacketError, ReasonCode, Subscribe, Unsubscribe, Version, encode};

/// Bytes of one read.
const READ_BYTES: usize = 64 << 10;
/// What is left of a packet up to this size is put before the next read, instead of the read behind it.
const HEADROOM_BYTES: usize = 4 << 10;
/// Reads of one turn, so that one busy connection does not keep the others waiting.
const READS_PER_TURN: usize = 4;
/// Answers that wait to be written before the client is not read any more.
const OUT_BYTES_MAX: usize = 64 << 10;

/// One connection.
pub(super) struct Connection<S: IntakeSource> {
    shard: Rc<Shard<S>>,
    mailbox: Arc<Mailbox>,
    transport: Transport,
    version: Version,
    packet_bytes_max: u32,
    session: ClientSession,
    publishing: Publishing,
    subscriptions: Subscriptions,
    /// Bytes that were read and not used.
    unread: Vec<u8>,
    /// What the shard was told of `unread`.
    held_bytes: usize,
    /// `unread` may hold whole packets: it was put aside, not found too short.
    has_packets: bool,
    out: Vec<u8>,
    written: usize,
    /// See [`Shard::wake_when_room`].
    blocked_in: Option<u64>,
    /// It answers what is in flight and then ends.
    is_draining: bool,
    deadlines: Deadlines,
}

/// What reading came to.
enum Step {
    Progress,
    Idle,
}

impl<S: IntakeSource> Connection<S> {
    pub(super) fn new(
        shard: Rc<Shard<S>>,
        mailbox: Arc<Mailbox>,
        transport: Transport,
        agreed: Agreed,
    ) -> Self {
        let config = shard.config();
        let mut subscriptions = Subscriptions::new(
            config,
            shard.common.board.clone(),
            agreed.version,
            agreed.receive_maximum,
            agreed.packet_bytes_max,
        );
        if agreed.is_session_present {
            let waker = mailbox.clone();
            subscriptions.resume(&agreed.session.filters, move || waker.wake());
        }
        Connection {
            publishing: Publishing::new(config, agreed.version),
            subscriptions,
            version: agreed.version,
            packet_bytes_max: agreed.packet_bytes_max,
            session: agreed.session,
            has_packets: !agreed.unread.is_empty(),
            unread: agreed.unread,
            held_bytes: 0,
            out: agreed.connack,
            written: 0,
            blocked_in: None,
            is_draining: false,
            deadlines: Deadlines::new(agreed.keep_alive, config.packet_timeout),
            shard,
            mailbox,
            transport,
        }
    }

    /// Serves the client until the connection ends, and leaves its session behind.
    pub(super) async fn run(mut self) {
        let end = std::future::poll_fn(|cx| self.turn(cx)).await;
        self.count_end(&end);
        self.say_last_words(&end).await;
        let Connection { shard, mailbox, transport, session, publishing, .. } = self;
        leave(&shard, &mailbox, session, &publishing, &end).await;
        mailbox.set_gone();
        linger(transport, &end).await;
    }

    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        match self.try_turn(cx) {
            Ok(poll) => poll,
            Err(end) => Poll::Ready(end),
        }
    }

    fn try_turn(&mut self, cx: &mut Context<'_>) -> Result<Poll<End>, End> {
        self.mailbox.register(cx.waker());
        self.obey()?;
        self.publishing.answer(&self.shard, &mut self.out);
        let mut reads = 0;
        while let Step::Progress = self.read(cx)? {
            reads += 1;
            if reads == READS_PER_TURN {
                cx.waker().wake_by_ref();
                break;
            }
        }
        self.publishing.tell(&self.shard.meters);
        self.subscriptions
            .advance(|flush| self.shard.is_durable(flush), &mut self.out)
            .map_err(End::Refused)?;
        self.write(cx)?;
        if self.is_draining && self.publishing.acks.is_empty() && self.out.is_empty() {
            return Err(End::Kicked(Kick::ShuttingDown));
        }
        self.deadlines.poll(cx).map_err(End::Refused)?;
        Ok(Poll::Pending)
    }

    fn obey(&mut self) -> Result<(), End> {
        match self.mailbox.kicked() {
            None => {}
            Some(Kick::ShuttingDown) => self.is_draining = true,
            Some(kick) => return Err(End::Kicked(kick)),
        }
        if self.session.identity.is_revoked() {
            self.shard.common.audit.disconnected(&self.session.who());
            return Err(End::Revoked);
        }
        Ok(())
    }

    fn read(&mut self, cx: &mut Context<'_>) -> Result<Step, End> {
        if !self.may_read() {
            self.deadlines.is_paused = true;
            return Ok(Step::Idle);
        }
        if std::mem::take(&mut self.deadlines.is_paused) {
            self.deadlines.heard_at = Instant::now();
        }
        if self.has_packets {
            let unread = std::mem::take(&mut self.unread);
            return self.consume_owned(unread, self.read_time());
        }
        let mut scratch = self.shard.scratch.take();
        scratch.resize(HEADROOM_BYTES + READ_BYTES, 0);
        let result = self.read_into(&mut scratch, cx);
        self.shard.scratch.set(scratch);
        result
    }

    fn may_read(&mut self) -> bool {
        if self.is_draining || self.publishing.is_full() || self.out.len() - self.written >= OUT_BYTES_MAX {
            return false;
        }
        if self.shard.has_room() {
            return true;
        }
        self.blocked_in = Some(self.shard.wake_when_room(&self.mailbox, self.blocked_in));
        false
    }

    fn read_time(&self) -> ReadTime {
        ReadTime { at: Instant::now(), at_us: self.shard.now_us() }
    }

    fn read_into(&mut self, scratch: &mut [u8], cx: &mut Context<'_>) -> Result<Step, End> {
        let mut buffer = ReadBuf::new(&mut scratch[HEADROOM_BYTES..]);
        match Pin::new(&mut self.transport).poll_read(cx, &mut buffer) {
            Poll::Pending => return Ok(Step::Idle),
            Poll::Ready(Err(error)) => return Err(End::Lost(Some(error))),
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => return Err(End::Lost(None)),
            Poll::Ready(Ok(())) => {}
        }
        let end = HEADROOM_BYTES + buffer.filled().len();
        let time = self.read_time();
        if self.unread.len() > HEADROOM_BYTES {
            let mut unread = std::mem::take(&mut self.unread);
            unread.extend_from_slice(&scratch[HEADROOM_BYTES..end]);
            return self.consume_owned(unread, time);
        }
        let start = HEADROOM_BYTES - self.unread.len();
        scratch[start..HEADROOM_BYTES].copy_from_slice(&self.unread);
        let used = self.consume(&scratch[start..end], time)?;
        self.unread.clear();
        self.unread.extend_from_slice(&scratch[start + used..end]);
        self.hold_unread(time, used > 0)?;
        Ok(Step::Progress)
    }

    fn consume_owned(&mut self, mut unread: Vec<u8>, time: ReadTime) -> Result<Step, End> {
        let used = self.consume(&unread, time)?;
        unread.drain(..used);
        if unread.len() <= HEADROOM_BYTES {
            unread.shrink_to(HEADROOM_BYTES);
        }
        self.unread = unread;
        self.hold_unread(time, used > 0)?;
        Ok(Step::Progress)
    }

    /// Counts what is kept for later against the limit of the thread and starts the clock of an unfinished packet.
    fn hold_unread(&mut self, time: ReadTime, has_advanced: bool) -> Result<(), End> {
        let held_bytes = self.unread.len();
        let fits = self.shard.hold_partial(self.held_bytes, held_bytes);
        self.held_bytes = held_bytes;
        if !fits {
            let what = "the server holds too many bytes of unfinished packets";
            return Err(End::Refused(PacketError { reason: ReasonCode::QUOTA_EXCEEDED, what }));
        }
        if held_bytes == 0 || self.has_packets {
            self.deadlines.partial_since = None;
        } else if has_advanced || self.deadlines.partial_since.is_none() {
            self.deadlines.partial_since = Some(time.at);
        }
        Ok(())
    }

    /// Takes the whole packets at the front of `buffer`, as many as may be taken now, and gives their length.
    fn consume(&mut self, buffer: &[u8], time: ReadTime) -> Result<usize, End> {
        let packet_bytes_max = self.shard.config().packet_bytes_max;
        let mut rest = buffer;
        self.has_packets = false;
        loop {
            if self.publishing.is_full() || self.out.len() >= OUT_BYTES_MAX + self.written {
                self.has_packets = !rest.is_empty();
                break;
            }
            let Some((frame, after)) = frame::split(rest, packet_bytes_max).map_err(End::Refused)? else {
                break;
            };
            rest = after;
            self.take(frame, time)?;
        }
        let used = buffer.len() - rest.len();
        if used > 0 {
            self.deadlines.heard_at = time.at;
        }
        Ok(used)
    }

    #[inline]
    fn take(&mut self, frame: Frame<'_>, time: ReadTime) -> Result<(), End> {
        let packet = match Packet::parse(self.version, frame) {
            Ok(packet) => packet,
            Err(error) => return Err(self.refuse(frame, error)),
        };
        match packet {
            Packet::Publish(publish) => {
                let out = &mut self.out;
                match self.publishing.take(&publish, &mut self.session, &self.shard, time, out) {
                    Ok(true) => self.shard.wake_when_durable(&self.mailbox),
                    Ok(false) => {}
                    Err(NotTaken::LogFailed) => return Err(End::Kicked(Kick::LogFailed)),
                    Err(NotTaken::Refused(error)) => {
                        self.shard.meters.refused(error.reason.name());
                        return Err(End::Refused(error));
                    }
                }
            }
            Packet::Puback { packet_id } => self.subscriptions.acknowledge(packet_id),
            Packet::Pubrel { packet_id } => {
                self.publishing.release(packet_id, &mut self.session, &mut self.out)
            }
            Packet::Pingreq => encode::put_pingresp(&mut self.out),
            Packet::Subscribe(subscribe) => self.subscribe(&subscribe)?,
            Packet::Unsubscribe(unsubscribe) => self.unsubscribe(&unsubscribe)?,
            Packet::Pubrec { .. } | Packet::Pubcomp { .. } => {
                return Err(End::Refused(PacketError::protocol(
                    "an answer to QoS 2, which nothing was sent at",
                )));
            }
            Packet::Disconnect { reason, session_expiry_seconds } => {
                return Err(self.disconnect(reason, session_expiry_seconds));
            }
        }
        Ok(())
    }

    /// A packet that breaks the standard. A PUBLISH counts as a message all the same.
    fn refuse(&mut self, frame: Frame<'_>, error: PacketError) -> End {
        if frame.packet_type() == packet_type::PUBLISH {
            self.publishing.received[usize::from(frame.flags() >> 1 & 3).min(2)] += 1;
            self.shard.meters.refused(error.reason.name());
        }
        End::Refused(error)
    }

    fn subscribe(&mut self, subscribe: &Subscribe<'_>) -> Result<(), End> {
        let granted = subscriptions::grant(self.shard.config(), &mut self.session, subscribe);
        if let Some(filter) = granted.first_not_authorized(subscribe) {
            self.shard.common.audit.subscribe_refused(&self.session.who(), filter);
        }
        let flush = if granted.has_changes() { self.put_filters()? } else { None };
        let mailbox = self.mailbox.clone();
        let wake = move || mailbox.wake();
        self.subscriptions.subscribe(subscribe.packet_id, granted, flush, wake).map_err(End::Refused)
    }

    fn unsubscribe(&mut self, unsubscribe: &Unsubscribe<'_>) -> Result<(), End> {
        let before = self.session.filters.len();
        let mut codes = Vec::with_capacity(unsubscribe.filters.len());
        for filter in &unsubscribe.filters {
            let at = self.session.filters.iter().position(|known| known.filter == **filter);
            codes.push(if at.is_some() { ReasonCode::SUCCESS } else { ReasonCode::NO_SUBSCRIPTION_EXISTED });
            at.map(|at| self.session.filters.remove(at));
        }
        let has_changes = self.session.filters.len() < before;
        let flush = if has_changes { self.put_filters()? } else { None };
        let (packet_id, filters) = (unsubscribe.packet_id, &unsubscribe.filters);
        self.subscriptions.unsubscribe(packet_id, filters, &codes, flush).map_err(End::Refused)
    }

    /// Writes a persistent session with its filters to the log.
    fn put_filters(&mut self) -> Result<Option<u64>, End> {
        if !self.session.is_persistent() {
            return Ok(None);
        }
        let flush = self.shard.put_session(&self.session.client_id, Some(&self.session.record(0)));
        self.shard.wake_when_durable(&self.mailbox);
        flush.map(Some).ok_or(End::Kicked(Kick::LogFailed))
    }

    fn disconnect(&mut self, reason: ReasonCode, session_expiry_seconds: Option<u32>) -> End {
        if let Some(seconds) = session_expiry_seconds {
            if self.session.expiry_seconds == 0 && seconds > 0 {
                let what = "a DISCONNECT makes a session persistent (MQTT 5.0, 3.14.2.2.2)";
                return End::Refused(PacketError::protocol(what));
            }
            let longest = u32::try_from(self.shard.config().session_expiry_max.as_secs()).unwrap_or(u32::MAX);
            self.session.expiry_seconds = seconds.min(longest);
        }
        End::Disconnected { with_will: reason != ReasonCode::SUCCESS }
    }

    fn write(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        while self.written < self.out.len() {
            match Pin::new(&mut self.transport).poll_write(cx, &self.out[self.written..]) {
                Poll::Ready(Ok(0)) => return Err(End::Lost(Some(io::ErrorKind::WriteZero.into()))),
                Poll::Ready(Ok(count)) => {
                    self.written += count;
                    self.deadlines.stalled_since = None;
                }
                Poll::Ready(Err(error)) => return Err(End::Lost(Some(error))),
                Poll::Pending => {
                    self.deadlines.stalled_since.get_or_insert_with(Instant::now);
                    return Ok(());
                }
            }
        }
        if self.written > 0 {
            self.out.clear();
            self.out.shrink_to(OUT_BYTES_MAX);
            self.written = 0;
            // A read that was refused for what waited to be written can go on.
            if self.deadlines.is_paused {
                cx.waker().wake_by_ref();
            }
        }
        match Pin::new(&mut self.transport).poll_flush(cx) {
            Poll::Ready(Err(error)) => Err(End::Lost(Some(error))),
            Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
        }
    }

    fn count_end(&mut self, end: &End) {
        self.publishing.tell(&self.shard.meters);
        self.shard.meters.in_flight.decrement(self.publishing.acks.taken() as f64);
        self.shard.meters.abandoned(self.publishing.acks.taken());
        self.shard.meters.closed(end.name());
        self.shard.hold_partial(self.held_bytes, 0);
        self.unread = Vec::new();
        tracing::debug!(client_id = ?self.session.client_id, ?end, "mqtt connection ended");
    }

    /// Writes what was released, and in 5.0 why the connection ends.
    async fn say_last_words(&mut self, end: &End) {
        if let End::Lost(_) = end {
            return;
        }
        let mut last = self.out.split_off(self.written);
        if let (Version::V5, Some((reason, what))) = (self.version, end.said()) {
            encode::put_disconnect(&mut last, reason, what, self.packet_bytes_max);
        }
        let transport = &mut self.transport;
        let say = async {
            transport.write_all(&last).await?;
            transport.shutdown().await
        };
        // The connection is closed either way; that the peer did not hear why changes nothing.
        timeout(LINGER, say).await.ok();
    }
}
