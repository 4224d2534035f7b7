//! Who a connection belongs to, and what it may do.

use std::sync::atomic::{AtomicBool, Ordering};

use model::DeviceRights;

use super::subscriptions::ALERTS_ROOT;
use crate::mqtt::topic;

/// Somebody who was let in. All connections of one identity share it.
#[derive(Debug)]
pub struct Identity {
    name: Box<str>,
    devices: DeviceRights,
    /// Valid topic filters.
    subscribe: Vec<Box<str>>,
    is_revoked: AtomicBool,
}

impl Identity {
    /// `name` is empty for somebody who gave none; `subscribe` are the topic filters below which it may subscribe.
    pub fn new(name: &str, devices: DeviceRights, subscribe: Vec<Box<str>>) -> Self {
        Identity { name: name.into(), devices, subscribe, is_revoked: AtomicBool::new(false) }
    }

    /// Somebody who may publish for every device and subscribe to all that there is.
    pub fn unrestricted(name: &str) -> Self {
        Identity::new(name, DeviceRights::All, vec![format!("{ALERTS_ROOT}/#").into()])
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn devices(&self) -> &DeviceRights {
        &self.devices
    }

    /// Whether it may subscribe to `filter`, which is valid.
    pub fn may_subscribe(&self, filter: &str) -> bool {
        self.subscribe.iter().any(|allowed| topic::covers(allowed, filter))
    }

    /// Its connections end: each sees it when it is next woken, see
    /// [`ConnectionsWaker`](super::ConnectionsWaker).
    pub fn revoke(&self) {
        self.is_revoked.store(true, Ordering::Release);
    }

    #[inline]
    pub fn is_revoked(&self) -> bool {
        self.is_revoked.load(Ordering::Acquire)
    }
}
