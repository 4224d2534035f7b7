use std::collections::{HashMap, HashSet};
use std::time::Duration;

use serde_json::Value;

use super::*;

const START_US: i64 = 1_790_000_000_000_000;
const SECOND_US: i64 = 1_000_000;

fn config() -> CityConfig {
    CityConfig {
        devices: 700,
        malformed_per_million: 5_000,
        repeated_per_million: 5_000,
        ..CityConfig::demo(7, START_US)
    }
}

/// All messages of a time, asked for in ticks of `step_us`.
fn messages(config: CityConfig, seconds: i64, step_us: i64, at_once: usize) -> Vec<Message> {
    let end_us = config.start_us + seconds * SECOND_US;
    let mut city = City::new(config);
    let mut all = Vec::new();
    let mut now_us = START_US;
    while now_us < end_us {
        now_us = (now_us + step_us).min(end_us);
        loop {
            let some = city.tick(now_us, at_once);
            let is_all = some.len() < at_once;
            all.extend(some);
            if is_all {
                break;
            }
        }
    }
    all
}

#[test]
fn the_same_city_says_the_same_however_it_is_asked() {
    let whole = messages(config(), 30, 30 * SECOND_US, usize::MAX);
    assert!(whole.len() > 9_000, "{}", whole.len());
    assert_eq!(whole, messages(config(), 30, 7_001, 10));
    assert_ne!(whole, messages(CityConfig { seed: 8, ..config() }, 30, 30 * SECOND_US, usize::MAX));
}

#[test]
fn a_larger_city_holds_the_smaller_one() {
    let of = |messages: Vec<Message>, device: &str| -> Vec<Message> {
        messages.into_iter().filter(|message| message.device_id == device).collect()
    };
    let small = of(messages(config(), 20, SECOND_US, usize::MAX), "manhole-00003");
    let large =
        of(messages(CityConfig { devices: 1_400, ..config() }, 20, SECOND_US, usize::MAX), "manhole-00003");
    assert!(!small.is_empty());
    assert_eq!(small, large);
}

#[test]
fn every_theme_and_everything_that_goes_wrong_occurs() {
    let city = City::new(config());
    let themes: HashSet<Theme> = city.profiles().map(|profile| profile.theme).collect();
    assert_eq!(themes.len(), Theme::ALL.len());
    let domains: HashSet<&str> = Theme::ALL.iter().map(|theme| theme.domain()).collect();
    assert!(domains.len() >= 6);
    let said = messages(config(), 60, SECOND_US, usize::MAX);
    let kinds: HashSet<MessageKind> = said.iter().map(|message| message.kind).collect();
    let mut expected: HashSet<MessageKind> =
        [MessageKind::Reading, MessageKind::LatePack, MessageKind::Malformed, MessageKind::Repeat].into();
    // A gap is heard only in the pack that ends it.
    let heard = Fault::ALL.into_iter().filter(|fault| *fault != Fault::Gap);
    expected.extend(heard.map(MessageKind::Faulty));
    assert_eq!(kinds, expected);
}

#[test]
fn device_ids_are_unique_and_allowed() {
    let profiles: Vec<_> = City::new(config()).profiles().collect();
    let ids: HashSet<&str> = profiles.iter().map(|profile| profile.device_id.as_str()).collect();
    assert_eq!(ids.len(), profiles.len());
    for profile in &profiles {
        assert_eq!(model::device_id::check(&profile.device_id), Ok(()));
        assert!(profile.gateway < config().gateways);
    }
}

#[test]
fn payloads_are_json_and_claim_the_times_of_the_message() {
    for message in messages(config(), 60, SECOND_US, usize::MAX) {
        let parsed = serde_json::from_slice::<Value>(&message.payload);
        if message.kind == MessageKind::Malformed {
            assert!(parsed.is_err());
            continue;
        }
        let parsed = parsed.unwrap_or_else(|error| panic!("{error}: {message:?}"));
        let times = match &parsed {
            Value::Object(flat) => vec![flat["ts"].as_i64().expect("milliseconds") * 1_000],
            Value::Array(pack) => times_of(pack),
            other => panic!("neither flat nor a pack: {other}"),
        };
        assert_eq!(times, message.observed_at_us, "{message:?}");
        assert_eq!(parsed.is_array(), message.kind == MessageKind::LatePack || is_repeated_pack(&message));
    }
}

fn is_repeated_pack(message: &Message) -> bool {
    message.kind == MessageKind::Repeat && message.observed_at_us.len() > 1
}

/// The times of a SenML pack, each once, in microseconds.
fn times_of(pack: &[Value]) -> Vec<i64> {
    let base = pack[0]["bt"].as_f64().expect("the first record has the base time");
    let mut times = Vec::new();
    for record in pack {
        let seconds = base + record["t"].as_f64().unwrap_or(0.0);
        let us = (seconds * 1e3).round() as i64 * 1_000;
        if times.last() != Some(&us) {
            times.push(us);
        }
    }
    times
}

#[test]
fn late_packs_tell_of_the_gap() {
    let said = messages(config(), 60, SECOND_US, usize::MAX);
    let packs: Vec<_> = said.iter().filter(|message| message.kind == MessageKind::LatePack).collect();
    assert!(packs.iter().any(|pack| pack.observed_at_us.len() >= 4));
    for pack in packs {
        assert!(pack.observed_at_us.len() >= 2);
        assert!(pack.observed_at_us.is_sorted());
    }
}

#[test]
fn a_repeat_is_the_message_before_it() {
    let said = messages(config(), 60, SECOND_US, usize::MAX);
    let mut before: HashMap<&str, &Message> = HashMap::new();
    for message in &said {
        if message.kind == MessageKind::Repeat {
            let first = before[message.device_id.as_str()];
            assert_eq!((&first.topic, &first.payload), (&message.topic, &message.payload));
        }
        before.insert(&message.device_id, message);
    }
}

/// What the demo's rules live on: floods come and go within a minute, by a whole neighbourhood.
#[test]
fn manholes_flood_and_drain_within_a_minute() {
    let quiet =
        CityConfig { faults_per_mille: 0, malformed_per_million: 0, repeated_per_million: 0, ..config() };
    let mut flooded: HashMap<String, (usize, usize)> = HashMap::new();
    for message in messages(quiet, 60, SECOND_US, usize::MAX) {
        let json: Value = serde_json::from_slice(&message.payload).expect("faultless");
        let Some(level) = json["water_level"].as_f64() else { continue };
        let (high, low_after) = flooded.entry(message.device_id).or_default();
        *high += usize::from(level > 2.5);
        *low_after += usize::from(level < 2.2 && *high > 0);
    }
    let come_and_gone = flooded.values().filter(|(high, low_after)| *high >= 2 && *low_after >= 2).count();
    assert_eq!(flooded.len(), 100);
    assert!((8..40).contains(&come_and_gone), "{come_and_gone} of 100 manholes flooded and drained");
}

#[test]
fn the_rate_is_what_was_asked_for() {
    let config = CityConfig { devices: 1_000, start_us: START_US, ..CityConfig::default() }.with_rate(500.0);
    assert_eq!(config.interval, Duration::from_secs(2));
    let said = messages(config, 60, SECOND_US, usize::MAX).len();
    // Gaps cost a few per cent of the messages.
    assert!((27_500..30_500).contains(&said), "{said}");
}
