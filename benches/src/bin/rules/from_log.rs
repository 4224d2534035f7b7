//! From the bytes of the log to the decision: parse, repeat window, device and series by their names, evaluation. Every
//! message is read once, and none of its bytes is in the cache.

use std::hint::black_box;

use model::repeat::{RepeatWindow, WARM_RECORDS};
use model::{LogRecordView, RecordBatch, RecordBatchBuilder};

use crate::workload::{Random, START_US, assets_of, load_text, message, rule_file, warm};
use crate::{allocations, cpu_seconds};

const DEVICES: usize = 10_000;
const RULES: usize = 1_000;
const MESSAGES: usize = 1_000_000;
const BATCH_MESSAGES: usize = 1_000;

pub fn run() -> anyhow::Result<()> {
    let batches = batches();
    time("parsed", &batches, |batch| {
        for record in batch.iter() {
            black_box(LogRecordView::parse(record.value)?);
        }
        Ok(())
    })?;
    let mut window = filled_window()?;
    time("and repeats looked up", &batches, |batch| {
        for (at, record) in batch.iter().enumerate() {
            if at.is_multiple_of(WARM_RECORDS) {
                window.warm(batch.iter().skip(at));
            }
            if let LogRecordView::Telemetry(telemetry) = &LogRecordView::parse(record.value)? {
                black_box(window.check_and_insert(record.offset, record.log_time_us, telemetry));
            }
        }
        Ok(())
    })?;
    let mut window = filled_window()?;
    let mut evaluator = warm(DEVICES, assets_of(RULES), load_text(rule_file(RULES))?)?;
    let (mut out, before) = (Vec::new(), evaluator.counts());
    time("and evaluated", &batches, |batch| {
        for (at, record) in batch.iter().enumerate() {
            if at.is_multiple_of(WARM_RECORDS) {
                window.warm(batch.iter().skip(at));
                evaluator.warm(batch.iter().skip(at));
            }
            let view = LogRecordView::parse(record.value)?;
            let is_repeat = matches!(&view, LogRecordView::Telemetry(telemetry) if
                window.check_and_insert(record.offset, record.log_time_us, telemetry));
            if !is_repeat {
                evaluator.apply(&record, &view, &mut out);
                out.clear();
            }
        }
        Ok(())
    })?;
    let counts = evaluator.counts();
    println!(
        "log: {:.1} % of readings changed state, {} alerts",
        100.0 * (counts.state_changes - before.state_changes) as f64
            / (counts.readings - before.readings) as f64,
        counts.raised + counts.resolved - before.raised - before.resolved,
    );
    Ok(())
}

/// Times one step over all batches.
fn time(
    step: &str,
    batches: &[RecordBatch],
    mut take: impl FnMut(&RecordBatch) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (start, allocated) = (cpu_seconds(), allocations());
    batches.iter().try_for_each(&mut take)?;
    let (elapsed, allocated) = (cpu_seconds() - start, allocations() - allocated);
    println!(
        "log: {RULES} rules, {DEVICES} devices, two readings a message, {step}: {:.2} M messages/s, {:.0} ns each, {:.4} allocations",
        MESSAGES as f64 / elapsed / 1e6,
        elapsed * 1e9 / MESSAGES as f64,
        allocated as f64 / MESSAGES as f64,
    );
    Ok(())
}

/// Messages of devices at random; one of a hundred values crosses a threshold.
fn batches() -> Vec<RecordBatch> {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let mut builder = RecordBatchBuilder::default();
    let batch = |first: usize| {
        for at in first..first + BATCH_MESSAGES {
            let device = random.below(DEVICES as u64) as usize;
            let observed_at_us = START_US + (at as i64 + 1) * 1_000;
            let values = [0.1 + 0.91 * random.unit(), 0.1 + 0.91 * random.unit()];
            let event = (2 * DEVICES + at) as u128;
            let bytes = message(device, assets_of(RULES), event, observed_at_us, &values);
            builder.push((MESSAGES + at) as i64, observed_at_us, b"", Some(&bytes), &[]);
        }
        builder.finish(0, (MESSAGES + first + BATCH_MESSAGES) as i64)
    };
    (0..MESSAGES).step_by(BATCH_MESSAGES).map(batch).collect()
}

/// As full as it is after an hour, with ids that none of the messages has.
fn filled_window() -> anyhow::Result<RepeatWindow> {
    let mut window = RepeatWindow::new();
    for offset in MESSAGES / 2..MESSAGES {
        let bytes = message(0, 1, (10 * MESSAGES + offset) as u128, START_US, &[0.5]);
        if let LogRecordView::Telemetry(telemetry) = &LogRecordView::parse(&bytes)? {
            window.check_and_insert(offset as i64, START_US, telemetry);
        }
    }
    Ok(window)
}
