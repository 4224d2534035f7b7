//! Messages looked at together before their turn. One alone waits for memory several times in a row - the table of device
//! ids, the device, its texts and series, their entries -, each time for longer than the work in between; of many messages
//! the same waits pass side by side.

use std::hint::black_box;

use model::repeat::WARM_RECORDS;
use model::{LogRecordView, Record};

use crate::devices::DeviceId;
use crate::evaluator::Evaluator;

impl Evaluator {
    /// Touches what [`Evaluator::apply`] of the next [`WARM_RECORDS`] records will touch, so that their cache misses overlap
    /// instead of each being waited for. Changes nothing.
    pub fn warm<'r>(&self, next: impl Iterator<Item = Record<'r>>) {
        let devices = &self.core.devices;
        let mut guesses = [None::<DeviceId>; WARM_RECORDS];
        for (guess, record) in guesses.iter_mut().zip(next) {
            *guess = LogRecordView::peek_device_id(record.value).and_then(|id| devices.guess(id));
        }
        // Step by step: the loads of one step wait for those of the step before, not for each other.
        let known = || guesses.iter().flatten().map(|device| devices.get(*device));
        known().for_each(|device| {
            black_box(device.profile);
        });
        known().for_each(|device| {
            let first = |text: &str| text.as_bytes().first().copied();
            black_box((first(&device.id), first(device.place.domain()), device.series.first().copied()));
        });
        for (_, series) in known().filter_map(|device| device.series.first()) {
            black_box(self.core.entries[*series as usize].newest_us);
        }
    }
}
