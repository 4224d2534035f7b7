//! What is measured where and when, without faults: a daily curve, a wave that comes and goes, and noise.

use std::f64::consts::TAU;

use super::config::CityConfig;
use super::payload::{Reading, Value};
use super::random::Random;
use super::theme::Theme;

/// Where a device stands in the city's rhythms.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// How far the wave has come there, as a part of its period.
    pub(super) phase: f64,
    /// In [0, 1): what is near 1 lies low, burns easily, or is busy.
    pub(super) exposure: f64,
}

/// Above this exposure a wave is felt in full: about one device in five.
const EXPOSED: f64 = 0.8;

pub(super) fn readings(
    config: &CityConfig,
    theme: Theme,
    place: Place,
    at_us: i64,
    random: &mut Random,
) -> Vec<Reading> {
    let moment = Moment::new(config, place, at_us);
    match theme {
        Theme::AirStation => air(&moment, random),
        Theme::Manhole => manhole(&moment, random),
        Theme::WaterMain => water_main(&moment, random),
        Theme::TrafficCounter => traffic(&moment, random),
        Theme::StreetLamp => lamp(&moment, random),
        Theme::SmokeDetector => smoke(&moment, random),
        Theme::Room => room(&moment, random),
    }
}

/// The city's rhythms at one place and time.
struct Moment {
    /// -1 at the coldest of the night, 1 in the early afternoon.
    warmth: f64,
    /// 0 outside the two rush hours, 1 in the middle of one.
    rush: f64,
    is_dark: bool,
    /// 0 while nothing happens, 1 at the crest of a wave.
    wave: f64,
    is_exposed: bool,
    exposure: f64,
}

impl Moment {
    fn new(config: &CityConfig, place: Place, at_us: i64) -> Self {
        let hour = 24.0 * part_of(at_us, config.day.as_micros());
        let bump = |middle: f64| (-((hour - middle) / 1.5).powi(2)).exp();
        let wave = (TAU * (part_of(at_us, config.wave.as_micros()) + place.phase)).sin().max(0.0);
        Moment {
            warmth: -(TAU * (hour - 2.0) / 24.0).cos(),
            rush: bump(8.0).max(bump(18.0)),
            is_dark: !(6.5..18.5).contains(&hour),
            wave: wave * wave,
            is_exposed: place.exposure >= EXPOSED,
            exposure: place.exposure,
        }
    }

    /// Something rises with the wave: in full where the device is exposed, hardly elsewhere.
    fn crest(&self) -> f64 {
        self.wave * if self.is_exposed { 1.0 } else { 0.3 * self.exposure }
    }
}

/// How much of the current period has gone, in [0, 1).
fn part_of(at_us: i64, period_us: u128) -> f64 {
    let period_us = i64::try_from(period_us).unwrap_or(i64::MAX).max(1);
    at_us.rem_euclid(period_us) as f64 / period_us as f64
}

fn number(metric: &'static str, unit: &'static str, value: f64, decimals: u8) -> Reading {
    Reading { metric, unit, value: Value::Number(value, decimals) }
}

fn not_below_zero(value: f64) -> f64 {
    value.max(0.0)
}

fn air(moment: &Moment, random: &mut Random) -> Vec<Reading> {
    let dust = 18.0 + 30.0 * moment.rush + 90.0 * moment.crest();
    vec![
        number("pm2_5", "ug/m3", not_below_zero(dust + 2.0 * random.noise()), 1),
        number("pm10", "ug/m3", not_below_zero(1.6 * dust + 3.0 * random.noise()), 1),
        number("temperature", "Cel", 21.0 + 6.0 * moment.warmth + 0.2 * random.noise(), 2),
        number("humidity", "%RH", (62.0 - 18.0 * moment.warmth + random.noise()).clamp(5.0, 100.0), 1),
    ]
}

fn manhole(moment: &Moment, random: &mut Random) -> Vec<Reading> {
    vec![
        number("water_level", "m", not_below_zero(0.4 + 2.9 * moment.crest() + 0.02 * random.noise()), 3),
        Reading { metric: "cover_open", unit: "", value: Value::Boolean(random.is_one_of(1, 5_000)) },
        number("battery_level", "%", 97.0 - 20.0 * moment.exposure, 0),
    ]
}

fn water_main(moment: &Moment, random: &mut Random) -> Vec<Reading> {
    let demand = 0.3 + 0.5 * moment.rush;
    vec![
        number("flow_rate", "m3/h", not_below_zero(42.0 * demand + 0.8 * random.noise()), 2),
        number(
            "pressure",
            "kPa",
            not_below_zero(390.0 - 90.0 * demand - 160.0 * moment.crest() + 2.0 * random.noise()),
            1,
        ),
    ]
}

fn traffic(moment: &Moment, random: &mut Random) -> Vec<Reading> {
    let load = 4.0 + 40.0 * moment.exposure * (0.2 + moment.rush);
    vec![
        Reading {
            metric: "vehicle_count",
            unit: "",
            value: Value::Integer((load + load.sqrt() * random.noise()).max(0.0) as i64),
        },
        number("vehicle_speed", "km/h", not_below_zero(48.0 - 22.0 * moment.rush + 3.0 * random.noise()), 1),
    ]
}

fn lamp(moment: &Moment, random: &mut Random) -> Vec<Reading> {
    let is_broken = moment.is_exposed && moment.wave > 0.7;
    let power =
        if moment.is_dark && !is_broken { 92.0 + random.noise() } else { 0.6 + 0.05 * random.noise() };
    vec![
        number("power", "W", not_below_zero(power), 2),
        number("voltage", "V", 229.0 + 1.5 * random.noise(), 1),
        Reading { metric: "lamp_on", unit: "", value: Value::Boolean(moment.is_dark && !is_broken) },
    ]
}

fn smoke(moment: &Moment, random: &mut Random) -> Vec<Reading> {
    let is_alarm = moment.is_exposed && moment.wave > 0.7;
    vec![
        Reading { metric: "smoke_alarm", unit: "", value: Value::Boolean(is_alarm) },
        number(
            "temperature",
            "Cel",
            23.0 + 2.0 * moment.warmth + 30.0 * moment.crest() + 0.1 * random.noise(),
            1,
        ),
        Reading { metric: "status", unit: "", value: Value::Text(if is_alarm { "alarm" } else { "normal" }) },
    ]
}

fn room(moment: &Moment, random: &mut Random) -> Vec<Reading> {
    vec![
        number(
            "co2",
            "ppm",
            430.0 + 350.0 * (1.0 + moment.warmth) / 2.0 + 900.0 * moment.crest() + 8.0 * random.noise(),
            0,
        ),
        number("temperature", "Cel", 22.5 + 1.5 * moment.warmth + 0.1 * random.noise(), 2),
        number("humidity", "%RH", 45.0 - 5.0 * moment.warmth + 0.5 * random.noise(), 1),
    ]
}
