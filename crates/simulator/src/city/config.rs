//! How large a city is and how often what goes wrong.

use std::time::Duration;

/// A city. Equal configs give equal messages.
#[derive(Clone, Debug, PartialEq)]
pub struct CityConfig {
    /// Number of devices, spread over all themes.
    pub devices: u32,
    /// Gateways in front of them, each a connection of its own; at least one.
    pub gateways: u32,
    pub seed: u64,
    /// When the first tick begins, microseconds since 1970-01-01T00:00:00Z.
    pub start_us: i64,
    /// How often one device reports, on average.
    pub interval: Duration,
    /// How long a day of the city takes: 24 h, or less to see its curves sooner.
    pub day: Duration,
    /// From one flood wave, fire drill or lamp failure to the next.
    pub wave: Duration,
    /// Of a thousand reports, how many begin a fault (stuck value, spike, sentinel, wrong clock, gap).
    pub faults_per_mille: u32,
    /// Of a million messages, how many are cut or garbled.
    pub malformed_per_million: u32,
    /// Of a million messages, how many are sent twice, byte for byte.
    pub repeated_per_million: u32,
}

impl Default for CityConfig {
    fn default() -> Self {
        CityConfig {
            devices: 1_000,
            gateways: 8,
            seed: 1,
            start_us: 0,
            interval: Duration::from_secs(10),
            day: Duration::from_secs(24 * 3600),
            wave: Duration::from_secs(6 * 3600),
            faults_per_mille: 10,
            malformed_per_million: 500,
            repeated_per_million: 1_000,
        }
    }
}

impl CityConfig {
    /// A city for a minute's look: a day takes two minutes, and floods and alarms rise and fall within 40 s.
    pub fn demo(seed: u64, start_us: i64) -> Self {
        CityConfig {
            seed,
            start_us,
            interval: Duration::from_secs(2),
            day: Duration::from_secs(120),
            wave: Duration::from_secs(40),
            ..CityConfig::default()
        }
    }

    /// The same city, its devices reporting `messages_per_second` together.
    #[must_use]
    pub fn with_rate(mut self, messages_per_second: f64) -> Self {
        let seconds = f64::from(self.devices) / messages_per_second.max(f64::MIN_POSITIVE);
        // A century is "never" here, and is far from where a Duration overflows.
        self.interval = Duration::from_secs_f64(seconds.clamp(1e-6, 3.2e9));
        self
    }

    pub(super) fn interval_us(&self) -> i64 {
        (self.interval.as_micros() as i64).max(1)
    }
}
