//! A record of the log as its readers see it.

#![no_main]

use std::hint::black_box;

use libfuzzer_sys::fuzz_target;
use model::LogRecordView;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(LogRecordView::Telemetry(view)) = LogRecordView::parse(bytes) {
        black_box(view.source());
        for reading in view.readings() {
            black_box(view.time_of(&reading));
        }
    }
});
