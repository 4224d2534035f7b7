//! What the sensors of a city measure and how their messages look on the wire.
//!
//! Pure and deterministic: equal configs give equal messages in an equal order, however the time is cut into ticks.
//! Every device carries its own random stream, so adding devices changes nothing about those already there.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

mod config;
mod curve;
mod device;
mod fault;
mod message;
mod payload;
mod random;
mod theme;

pub use config::CityConfig;
pub use device::DeviceProfile;
pub use fault::Fault;
pub use message::{Message, MessageKind};
pub use theme::Theme;

use device::Device;

/// All devices and what they will say next.
#[derive(Clone, Debug)]
pub struct City {
    config: CityConfig,
    devices: Vec<Device>,
    /// When which device reports next, microseconds since 1970-01-01T00:00:00Z; the earliest first, then by index.
    due: BinaryHeap<Reverse<(i64, u32)>>,
}

impl City {
    pub fn new(config: CityConfig) -> Self {
        let devices: Vec<Device> = (0..config.devices).map(|index| Device::new(&config, index)).collect();
        let due = devices
            .iter()
            .enumerate()
            .map(|(at, device)| Reverse((device.first_due_us(&config), at as u32)))
            .collect();
        City { config, devices, due }
    }

    pub fn config(&self) -> &CityConfig {
        &self.config
    }

    /// Who the devices are, in the order of their index.
    pub fn profiles(&self) -> impl Iterator<Item = DeviceProfile> + '_ {
        (0..self.config.devices).map(|index| DeviceProfile::new(&self.config, index))
    }

    /// When the next device reports, microseconds since 1970-01-01T00:00:00Z; `None` for a city without devices.
    pub fn next_due_us(&self) -> Option<i64> {
        self.due.peek().map(|Reverse((due, _))| *due)
    }

    /// Everything that is sent up to and including `now_us`, oldest first, at most `messages_max` and a few more.
    pub fn tick(&mut self, now_us: i64, messages_max: usize) -> Vec<Message> {
        let mut messages = Vec::new();
        while messages.len() < messages_max
            && let Some(&Reverse((due_us, index))) = self.due.peek()
            && due_us <= now_us
        {
            self.due.pop();
            let device = &mut self.devices[index as usize];
            device.report(&self.config, due_us, &mut messages);
            self.due.push(Reverse((device.next_due_us(&self.config, due_us), index)));
        }
        messages
    }
}

#[cfg(test)]
mod tests;
