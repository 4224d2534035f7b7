//! What a replay gives is what the log held, without repeats and what does not parse.

use std::collections::HashSet;
use std::ops::ControlFlow;

use model::{LogRecordView, TelemetryView, ValueView};
use proptest::prelude::*;
use urban_neuron_lake::{DeviceFilter, Lake, LakeConfig, ReplaySpan, Source, replay, sources};

use crate::city::{self, CityRecord, LOG_ID, PARTITION};
use crate::log::{commit, folder, push_all};

const SOURCE: Source = Source { log_id: LOG_ID, log_partition: PARTITION };

/// Offset, clock and what the record says, all that a replay must give back.
type Told = (i64, i64, String);

fn land(root: &std::path::Path, records: &[CityRecord], batch: usize, roll_rows: u64) {
    let lake = Lake::open(LakeConfig { roll_rows, ..LakeConfig::new(root) }).unwrap();
    let mut lander = lake.partition(LOG_ID, PARTITION, 0).unwrap();
    for batch in city::batches(records, batch) {
        push_all(&mut lander, &batch);
        commit(&mut lander);
    }
}

fn replayed(root: &std::path::Path, span: &ReplaySpan, devices: Option<DeviceFilter<'_>>) -> Vec<Told> {
    let mut told = Vec::new();
    replay(root, SOURCE, span, devices, &mut |record, view| {
        told.push((record.offset, record.log_time_us, text_of(view)));
        ControlFlow::Continue(())
    })
    .unwrap();
    told
}

/// The same from the records themselves.
fn expected(records: &[CityRecord]) -> Vec<Told> {
    let (mut clock_us, mut ids, mut told) = (0, HashSet::new(), Vec::new());
    for record in records {
        clock_us = clock_us.max(record.log_time_us);
        let Ok(view) = LogRecordView::parse(&record.value) else { continue };
        match &view {
            LogRecordView::Telemetry(telemetry) if !ids.insert(telemetry.event_id) => {}
            _ => told.push((record.offset, clock_us, text_of(&view))),
        }
    }
    told
}

fn text_of(view: &LogRecordView<'_>) -> String {
    match view {
        LogRecordView::Telemetry(telemetry) => text_of_telemetry(telemetry),
        LogRecordView::Tick { .. } => "tick".to_owned(),
        LogRecordView::Heartbeat { .. } => "heartbeat".to_owned(),
        LogRecordView::RuleSet { digest, .. } => format!("rule set {digest}"),
        LogRecordView::UnknownControl => "unknown".to_owned(),
    }
}

fn text_of_telemetry(view: &TelemetryView<'_>) -> String {
    let domain = if view.domain.is_empty() { "unknown" } else { view.domain };
    let place = view.location.map(|at| (at.latitude, at.longitude));
    let place = place.filter(|(latitude, longitude)| latitude.is_finite() && longitude.is_finite());
    let (protocol, gateway) = (view.source().protocol, view.source().gateway_id);
    let mut text = format!(
        "{} {:x?} {} {:?} {} {domain} {} {place:?} {:?} {protocol} {gateway}",
        view.device_id,
        view.event_id,
        view.received_at_us,
        view.kind,
        view.flags,
        view.asset_id,
        view.sequence
    );
    for reading in view.readings() {
        let value = match reading.value {
            ValueView::Number(number) if !number.is_finite() => ValueView::None,
            // An integer that a double holds is a number in the lake.
            ValueView::Integer(integer) if integer as f64 as i128 == i128::from(integer) => {
                ValueView::Number(integer as f64)
            }
            value => value,
        };
        let time = view.time_of(&reading);
        let (metric, unit, raw_unit) = (reading.metric, reading.unit, reading.raw_unit);
        text += &format!(" | {metric} {value:?} {unit} {raw_unit} {:?} {time:?}", reading.quality);
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_replay_is_the_log(
        seed: u64,
        count in 1usize..400,
        batch in 1usize..200,
        roll_rows in 1u64..2000,
        from in 0i64..400,
        len in 0i64..400,
    ) {
        let folder = folder();
        let records = city::records(seed, 0, count);
        land(folder.path(), &records, batch, roll_rows);
        prop_assert_eq!(sources(folder.path()).unwrap(), [SOURCE]);
        let all = expected(&records);
        prop_assert_eq!(&replayed(folder.path(), &ReplaySpan::ALL, None), &all);

        let by_offset = ReplaySpan { offsets: from..from + len, ..ReplaySpan::ALL };
        let within = |told: &&Told| by_offset.offsets.contains(&told.0);
        prop_assert_eq!(replayed(folder.path(), &by_offset, None), all.iter().filter(within).cloned().collect::<Vec<_>>());

        let middle_us = all.get(all.len() / 2).map_or(0, |told| told.1);
        let late = ReplaySpan { clock_us: middle_us..i64::MAX, ..ReplaySpan::ALL };
        let early = ReplaySpan { clock_us: i64::MIN..middle_us, ..ReplaySpan::ALL };
        let both = [replayed(folder.path(), &early, None), replayed(folder.path(), &late, None)].concat();
        prop_assert_eq!(&both, &all);

        let control = ReplaySpan { is_control_only: true, ..ReplaySpan::ALL };
        let is_control = |told: &&Told| !told.2.starts_with('井');
        prop_assert_eq!(
            replayed(folder.path(), &control, None),
            all.iter().filter(is_control).cloned().collect::<Vec<_>>()
        );

        let is_wanted = |device: &str| device.ends_with('1');
        let filtered = all.into_iter().map(|(offset, clock_us, text)| {
            let is_other = text.starts_with("井") && !is_wanted(text.split(' ').next().unwrap());
            (offset, clock_us, if is_other { "heartbeat".to_owned() } else { text })
        });
        let given = replayed(folder.path(), &ReplaySpan::ALL, Some(&is_wanted));
        prop_assert_eq!(given, filtered.collect::<Vec<_>>());
    }
}
