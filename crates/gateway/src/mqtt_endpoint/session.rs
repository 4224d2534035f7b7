//! The session of one connection: from its claim to what it leaves behind.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use model::proto::{Session, SessionFilter};
use model::{Adapter, RawMessage};
use tokio::time::Instant;

use super::audit::Who;
use super::end::End;
use super::identity::Identity;
use super::mailbox::Kick;
use super::session_registry::{Kept, NEVER_SECONDS, OwnedWill};
use super::shard::{NotPushed, Shard};
use crate::intake::IntakeSource;
use crate::mqtt::ReasonCode;

/// A client's session while it is connected.
pub(super) struct ClientSession {
    pub(super) client_id: Box<str>,
    pub(super) identity: Arc<Identity>,
    pub(super) address: IpAddr,
    /// Seconds that it outlives the connection; 0: it ends with it.
    pub(super) expiry_seconds: u32,
    /// The log holds a record of it.
    pub(super) is_stored: bool,
    pub(super) filters: Vec<SessionFilter>,
    /// QoS 2 packet ids that were taken and not released.
    pub(super) unreleased: HashSet<u16>,
    pub(super) will: Option<OwnedWill>,
}

impl ClientSession {
    pub(super) fn is_persistent(&self) -> bool {
        self.expiry_seconds > 0
    }

    /// Whom the audit trail is told of.
    pub(super) fn who(&self) -> Who<'_> {
        Who { identity: &self.identity, client_id: &self.client_id, address: Some(self.address) }
    }

    /// The record of it in the log; `disconnected_at_us` is 0 while connected.
    pub(super) fn record(&self, disconnected_at_us: i64) -> Session {
        Session { expiry_seconds: self.expiry_seconds, disconnected_at_us, filters: self.filters.clone() }
    }

    /// What stays of it after the connection ended at `now`; `None`: nothing.
    pub(super) fn into_kept(self, now: Instant) -> Option<Kept> {
        if !self.is_persistent() {
            return None;
        }
        let lifetime = Duration::from_secs(u64::from(self.expiry_seconds));
        Some(Kept {
            user: Some(self.identity.name().into()),
            filters: self.filters,
            unreleased: self.unreleased,
            expires_at: (self.expiry_seconds != NEVER_SECONDS).then(|| now + lifetime),
            will: self.will.map(|will| (now + will.delay, will)),
        })
    }

    /// Decides the will: published now, kept until its delay has passed, or dropped.
    pub(super) fn settle_will<S: IntakeSource>(&mut self, end: &End, shard: &Shard<S>) {
        let Some(will) = self.will.take_if(|_| end.publishes_will()) else {
            self.will = None;
            return;
        };
        // It is published when its delay has passed or the session ends, whichever comes first [MQTT-3.1.3-9].
        if will.delay.is_zero() || !self.is_persistent() {
            publish_will(shard, &self.client_id, &will);
        } else {
            self.will = Some(will);
        }
    }

    /// Hands what the connection leaves to the log. `None`: nothing to wait for.
    pub(super) fn store<S: IntakeSource>(&self, end: &End, shard: &Shard<S>) -> Option<u64> {
        match end {
            // The newer connection writes its own; the log would not take ours.
            End::Kicked(Kick::TakenOver | Kick::LogFailed) => None,
            _ if self.is_persistent() => {
                shard.put_session(&self.client_id, Some(&self.record(shard.now_us())))
            }
            _ if self.is_stored => shard.put_session(&self.client_id, None),
            _ => None,
        }
    }
}

/// Hands a will to the intake, where who left it may still speak for its device. Nobody waits for it.
pub(super) fn publish_will<S: IntakeSource>(shard: &Shard<S>, client_id: &str, will: &OwnedWill) {
    let message = RawMessage {
        adapter: Adapter::MqttEndpoint,
        topic: &will.mqtt_topic,
        payload: &will.payload,
        publisher: client_id,
        content_type: &will.content_type,
        packet_id: None,
        is_redelivered: false,
        is_retained: false,
        is_will: true,
        received_at_us: shard.now_us(),
    };
    shard.meters.received(&mut [1, 0, 0]);
    let identity = &will.identity;
    match shard.push(&message, identity) {
        Ok(_) => {}
        Err(NotPushed::LogFailed) => shard.meters.refused("log_failed"),
        Err(NotPushed::NotAuthorized { device_id }) => {
            shard.meters.refused(ReasonCode::NOT_AUTHORIZED.name());
            let who = Who { identity, client_id, address: None };
            shard.common.audit.publish_refused(&who, &will.mqtt_topic, device_id.as_deref());
        }
    }
}
