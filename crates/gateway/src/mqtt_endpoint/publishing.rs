//! What a connection publishes: topic aliases, the intake, and the answers of QoS 1 and 2.
//!
//! The hot path: one call a PUBLISH, which allocates nothing but what a first topic alias or a deeper queue needs.

use model::{Adapter, RawMessage};
use tokio::time::Instant;

use super::ack_queue::AckQueue;
use super::config::EndpointConfig;
use super::counters::Meters;
use super::session::ClientSession;
use super::shard::{NotPushed, Shard};
use crate::intake::IntakeSource;
use crate::mqtt::encode;
use crate::mqtt::frame::packet_type::{PUBACK, PUBCOMP, PUBREC};
use crate::mqtt::{PacketError, Publish, Qos, ReasonCode, Version};

/// When the bytes in hand were read.
#[derive(Clone, Copy)]
pub(super) struct ReadTime {
    pub(super) at: Instant,
    /// Microseconds since 1970.
    pub(super) at_us: i64,
}

/// Why a PUBLISH was not taken.
pub(super) enum NotTaken {
    Refused(PacketError),
    /// There is no intake.
    LogFailed,
}

/// The publishing side of one connection.
pub(super) struct Publishing {
    version: Version,
    topic_bytes_max: usize,
    receive_maximum: usize,
    /// By alias - 1; empty: not set.
    aliases: Vec<String>,
    alias_max: u16,
    pub(super) acks: AckQueue,
    /// The flush that the connection is already woken for.
    woken_for: Option<u64>,
    /// Messages received since the meters were told, by QoS.
    pub(super) received: [u64; 3],
    /// What the meters were told is in flight.
    told_in_flight: usize,
}

/// Topics below these are the server's own; other `$` topics are dialects of cloud platforms.
pub(super) fn is_servers_topic(topic: &str) -> bool {
    topic.starts_with('$') && (topic.starts_with("$SYS/") || topic.starts_with("$share/"))
}

impl Publishing {
    pub(super) fn new(config: &EndpointConfig, version: Version) -> Self {
        Publishing {
            version,
            topic_bytes_max: config.topic_bytes_max,
            receive_maximum: usize::from(config.receive_maximum),
            aliases: Vec::new(),
            alias_max: config.topic_alias_max,
            acks: AckQueue::default(),
            woken_for: None,
            received: [0; 3],
            told_in_flight: 0,
        }
    }

    /// Whether a 3.1.1 client, which knows no receive maximum, has as much in flight as it may.
    pub(super) fn is_full(&self) -> bool {
        self.version == Version::V311 && self.acks.len() >= self.receive_maximum
    }

    /// Takes one PUBLISH. True where the connection must ask to be woken for the open flush.
    #[inline]
    pub(super) fn take<S: IntakeSource>(
        &mut self,
        publish: &Publish<'_>,
        session: &mut ClientSession,
        shard: &Shard<S>,
        read: ReadTime,
        out: &mut Vec<u8>,
    ) -> Result<bool, NotTaken> {
        if publish.qos == Qos::ExactlyOnce && session.unreleased.contains(&publish.packet_id) {
            self.answer_repeat(publish.packet_id, read, out);
            return Ok(false);
        }
        self.received[usize::from(publish.qos.bits())] += 1;
        self.check_receive_maximum(publish, session).map_err(NotTaken::Refused)?;
        let topic = self.resolve(publish).map_err(NotTaken::Refused)?;
        let message = RawMessage {
            adapter: Adapter::MqttEndpoint,
            topic,
            payload: publish.payload,
            publisher: &session.client_id,
            content_type: publish.content_type,
            packet_id: (publish.packet_id != 0).then_some(u32::from(publish.packet_id)),
            is_redelivered: publish.is_dup,
            is_retained: false,
            is_will: false,
            received_at_us: read.at_us,
        };
        let flush = match shard.push(&message, &session.identity) {
            Ok(flush) => flush,
            Err(NotPushed::LogFailed) => return Err(NotTaken::LogFailed),
            Err(NotPushed::NotAuthorized { device_id }) => {
                shard.common.audit.publish_refused(&session.who(), topic, device_id.as_deref());
                return self.refuse(publish, shard, read, out);
            }
        };
        match publish.qos {
            Qos::AtMostOnce => return Ok(false),
            Qos::AtLeastOnce => self.acks.push(PUBACK, publish.packet_id, flush, read.at),
            Qos::ExactlyOnce => {
                session.unreleased.insert(publish.packet_id);
                self.acks.push(PUBREC, publish.packet_id, flush, read.at);
            }
        }
        Ok(self.woken_for.replace(flush) != Some(flush))
    }

    /// Answers a message that its sender may not publish. 3.1.1 has no word for it but an end of the connection: an
    /// acknowledgement would say that it is safe [MQTT 3.1.1, MQTT-3.3.5-2].
    #[cold]
    fn refuse<S: IntakeSource>(
        &mut self,
        publish: &Publish<'_>,
        shard: &Shard<S>,
        read: ReadTime,
        out: &mut Vec<u8>,
    ) -> Result<bool, NotTaken> {
        let reason = ReasonCode::NOT_AUTHORIZED;
        let kind = match (publish.qos, self.version) {
            (Qos::AtMostOnce, _) => None,
            (_, Version::V311) => {
                let what = "the client may not publish for this device";
                return Err(NotTaken::Refused(PacketError { reason, what }));
            }
            (Qos::AtLeastOnce, Version::V5) => Some(PUBACK),
            (Qos::ExactlyOnce, Version::V5) => Some(PUBREC),
        };
        shard.meters.refused(reason.name());
        if let Some(kind) = kind {
            self.acks.refuse(kind, publish.packet_id, reason, read.at, out);
        }
        Ok(false)
    }

    /// A QoS 2 packet id that was taken and is not released: answered again, not pushed again [MQTT-4.3.3-10]. The
    /// answer waits for whatever is in flight, since the first may be among it.
    fn answer_repeat(&mut self, packet_id: u16, read: ReadTime, out: &mut Vec<u8>) {
        match self.acks.last_flush() {
            Some(flush) => self.acks.push(PUBREC, packet_id, flush, read.at),
            None => out.extend_from_slice(&encode::ack(PUBREC, packet_id)),
        }
    }

    /// What is in flight is what has no PUBACK, PUBCOMP or failing PUBREC yet [MQTT-3.3.4-7].
    fn check_receive_maximum(
        &self,
        publish: &Publish<'_>,
        session: &ClientSession,
    ) -> Result<(), PacketError> {
        // PUBRECs in the queue are counted twice, so the exact count is taken only near the limit.
        let at_most = self.acks.len() + session.unreleased.len();
        if publish.qos == Qos::AtMostOnce || self.version == Version::V311 || at_most < self.receive_maximum {
            return Ok(());
        }
        let in_flight = at_most - self.acks.packet_ids(PUBREC).count();
        if in_flight < self.receive_maximum {
            return Ok(());
        }
        let what = "more messages in flight than the server's receive maximum [MQTT-3.3.4-9]";
        Err(PacketError { reason: ReasonCode::RECEIVE_MAXIMUM_EXCEEDED, what })
    }

    /// The topic that is meant, by name or by alias.
    #[inline]
    fn resolve<'a>(&'a mut self, publish: &Publish<'a>) -> Result<&'a str, PacketError> {
        let topic_bytes_max = self.topic_bytes_max;
        let topic = match publish.topic_alias {
            None => publish.topic,
            Some(alias) => self.resolve_alias(alias, publish.topic)?,
        };
        if topic.len() > topic_bytes_max || is_servers_topic(topic) {
            let what = "a topic name that is too long or the server's own [MQTT-4.7.2-1]";
            return Err(PacketError { reason: ReasonCode::TOPIC_NAME_INVALID, what });
        }
        Ok(topic)
    }

    fn resolve_alias<'a>(&'a mut self, alias: u16, topic: &'a str) -> Result<&'a str, PacketError> {
        if alias > self.alias_max {
            let what = "a topic alias above the server's topic alias maximum [MQTT-3.3.2-9]";
            return Err(PacketError { reason: ReasonCode::TOPIC_ALIAS_INVALID, what });
        }
        // The codec lets no alias of 0 through.
        let at = usize::from(alias).saturating_sub(1);
        if !topic.is_empty() {
            if self.aliases.len() <= at {
                self.aliases.resize_with(at + 1, String::new);
            }
            let known = &mut self.aliases[at];
            known.clear();
            // A topic over the limit is refused by the caller; keeping it would be growth.
            if topic.len() <= self.topic_bytes_max {
                known.push_str(topic);
            }
            return Ok(topic);
        }
        match self.aliases.get(at) {
            Some(known) if !known.is_empty() => Ok(known),
            _ => Err(PacketError::protocol("a topic alias that stands for no topic (MQTT 5.0, 3.3.2.3.4)")),
        }
    }

    /// The client releases a QoS 2 packet id.
    pub(super) fn release(&mut self, packet_id: u16, session: &mut ClientSession, out: &mut Vec<u8>) {
        if session.unreleased.remove(&packet_id) {
            out.extend_from_slice(&encode::ack(PUBCOMP, packet_id));
        } else {
            encode::put_pubcomp_not_found(out, self.version, packet_id);
        }
    }

    /// Tells the meters of a turn.
    pub(super) fn tell(&mut self, meters: &Meters) {
        meters.received(&mut self.received);
        let in_flight = self.acks.taken();
        if in_flight != self.told_in_flight {
            meters.in_flight.increment(in_flight as f64 - self.told_in_flight as f64);
            self.told_in_flight = in_flight;
        }
    }

    /// Moves the answers that may leave to `out`.
    pub(super) fn answer<S: IntakeSource>(&mut self, shard: &Shard<S>, out: &mut Vec<u8>) {
        let now = Instant::now();
        let is_durable = |flush| shard.is_durable(flush);
        let on_flush = |arrived_at| shard.meters.ack_latency.record(now.duration_since(arrived_at));
        let count = self.acks.release(is_durable, out, on_flush);
        if count > 0 {
            shard.meters.acknowledged(count);
        }
    }
}
