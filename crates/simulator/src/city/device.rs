//! One device: when it reports, what is wrong with it, and what it therefore sends.

use super::config::CityConfig;
use super::curve::{self, Place};
use super::fault::Fault;
use super::message::{Message, MessageKind};
use super::payload::{Reading, Sample, Value, flat_json, senml};
use super::random::Random;
use super::theme::Theme;

/// Samples that a device keeps during a gap; the oldest go first.
const SAMPLES_HELD_MAX: usize = 32;
/// Devices of one neighbourhood, which a wave reaches together.
const NEIGHBOURS: u32 = 50;

/// Who a device is: what a registry would say of it.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceProfile {
    pub device_id: String,
    pub asset_id: String,
    pub theme: Theme,
    pub gateway: u32,
    /// WGS-84, degrees.
    pub latitude: f64,
    pub longitude: f64,
}

impl DeviceProfile {
    pub(super) fn new(config: &CityConfig, index: u32) -> Self {
        let theme = Theme::of(index);
        let number = index / Theme::ALL.len() as u32;
        // A place of its own stream, so that where a device stands does not change what it measures.
        let mut random = Random::of(config.seed ^ 0x6d61_7073, index);
        DeviceProfile {
            device_id: format!("{}-{number:05}", theme.prefix()),
            asset_id: format!("block-{:04}", index / NEIGHBOURS),
            theme,
            gateway: index % config.gateways.max(1),
            latitude: 30.52 + 0.12 * random.unit(),
            longitude: 114.24 + 0.16 * random.unit(),
        }
    }
}

/// A device and its state.
#[derive(Clone, Debug)]
pub(super) struct Device {
    profile: DeviceProfile,
    topic: String,
    place: Place,
    random: Random,
    /// What it suffers from, and for how many more reports.
    fault: Option<(Fault, u32)>,
    last_readings: Vec<Reading>,
    held: Vec<Sample>,
}

impl Device {
    pub(super) fn new(config: &CityConfig, index: u32) -> Self {
        let profile = DeviceProfile::new(config, index);
        let mut neighbourhood = Random::of(config.seed ^ 0x626c_6f63, index / NEIGHBOURS);
        let mut random = Random::of(config.seed, index);
        let place = Place { phase: neighbourhood.unit() + 0.05 * random.unit(), exposure: random.unit() };
        Device {
            topic: format!("urban-neuron/v1/devices/{}/telemetry", profile.device_id),
            profile,
            place,
            random,
            fault: None,
            last_readings: Vec::new(),
            held: Vec::new(),
        }
    }

    /// Devices begin spread over one interval.
    pub(super) fn first_due_us(&self, config: &CityConfig) -> i64 {
        let mut random = self.random.clone();
        config.start_us + 1 + (random.unit() * config.interval_us() as f64) as i64
    }

    /// A tenth early or late, and never twice within the millisecond that its clock shows.
    pub(super) fn next_due_us(&mut self, config: &CityConfig, due_us: i64) -> i64 {
        let step_us = config.interval_us() as f64 * (0.9 + 0.2 * self.random.unit());
        due_us + (step_us as i64).max(1_000)
    }

    /// Adds what it sends at `due_us`: nothing, one message, or a pack.
    pub(super) fn report(&mut self, config: &CityConfig, due_us: i64, messages: &mut Vec<Message>) {
        let fault = self.live_with_faults(config);
        // What is claimed is in milliseconds, and so is what the ledger will look for.
        let observed_at_us = due_us - due_us.rem_euclid(1_000);
        let mut sample = Sample {
            observed_at_us,
            readings: curve::readings(
                config,
                self.profile.theme,
                self.place,
                observed_at_us,
                &mut self.random,
            ),
        };
        if let Some(fault) = fault {
            self.spoil(fault, &mut sample);
        }
        self.last_readings.clone_from(&sample.readings);
        if fault == Some(Fault::Gap) {
            self.hold(sample);
            return;
        }
        let message = if self.held.is_empty() {
            let kind = fault.map_or(MessageKind::Reading, MessageKind::Faulty);
            self.message(kind, flat_json(&sample, self.profile.theme.domain()), vec![sample.observed_at_us])
        } else {
            self.hold(sample);
            let times = self.held.iter().map(|sample| sample.observed_at_us).collect();
            let pack = senml(&self.held);
            self.held.clear();
            self.message(MessageKind::LatePack, pack, times)
        };
        self.send(config, message, messages);
    }

    fn live_with_faults(&mut self, config: &CityConfig) -> Option<Fault> {
        match self.fault.take() {
            Some((fault, left)) if left > 1 => self.fault = Some((fault, left - 1)),
            Some(_) => {}
            None if self.random.is_one_of(config.faults_per_mille, 1_000) => {
                let fault = Fault::pick(&mut self.random);
                self.fault = Some((fault, fault.reports(&mut self.random)));
            }
            None => {}
        }
        self.fault.map(|(fault, _)| fault)
    }

    fn spoil(&mut self, fault: Fault, sample: &mut Sample) {
        let at = self.random.below(sample.readings.len() as u32) as usize;
        match fault {
            Fault::Stuck if !self.last_readings.is_empty() => sample.readings.clone_from(&self.last_readings),
            Fault::Stuck | Fault::Gap => {}
            Fault::Spike => {
                if let Value::Number(value, _) = &mut sample.readings[at].value {
                    *value = *value * 40.0 + 100.0;
                }
            }
            Fault::Sentinel => {
                let is_text = self.random.is_one_of(1, 2);
                sample.readings[at].value = if is_text { Value::Text("NaN") } else { Value::Integer(-9_999) };
            }
            // A clock that begins at zero when the battery is changed, or runs a week ahead.
            Fault::WrongClock if self.place.exposure < 0.5 => sample.observed_at_us %= 1_000_000,
            Fault::WrongClock => sample.observed_at_us += 7 * 86_400 * 1_000_000,
        }
    }

    fn hold(&mut self, sample: Sample) {
        if self.held.len() == SAMPLES_HELD_MAX {
            self.held.remove(0);
        }
        self.held.push(sample);
    }

    fn message(&self, kind: MessageKind, payload: String, observed_at_us: Vec<i64>) -> Message {
        Message {
            topic: self.topic.clone(),
            payload: payload.into_bytes(),
            gateway: self.profile.gateway,
            device_id: self.profile.device_id.clone(),
            kind,
            observed_at_us,
        }
    }

    fn send(&mut self, config: &CityConfig, mut message: Message, messages: &mut Vec<Message>) {
        if self.random.is_one_of(config.malformed_per_million, 1_000_000) {
            // Half a message, or one whose first byte is no text: both happen on a noisy serial line.
            match self.random.below(2) {
                0 => message.payload.truncate(message.payload.len() / 2),
                _ => message.payload[0] = 0xff,
            }
            message.kind = MessageKind::Malformed;
            messages.push(message);
            return;
        }
        let is_repeated = self.random.is_one_of(config.repeated_per_million, 1_000_000);
        let repeat = is_repeated.then(|| Message { kind: MessageKind::Repeat, ..message.clone() });
        messages.push(message);
        messages.extend(repeat);
    }
}
