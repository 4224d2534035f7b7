//! Every dialect: the first byte picks it by its index, the rest is the payload.

#![no_main]

use std::cell::RefCell;
use std::sync::Arc;

use decode::{Decoder, DecoderConfig, LocalZone, Outcome};
use libfuzzer_sys::fuzz_target;
use model::catalog::Catalog;
use model::{Adapter, LogRecordView, RawMessage};

thread_local! {
    static DECODER: RefCell<Decoder> =
        RefCell::new(Decoder::new(DecoderConfig {
            catalog: Arc::new(Catalog::shipped()),
            process: 1,
            time_zone: LocalZone::UTC,
        }));
}

fuzz_target!(|bytes: &[u8]| {
    let Some((first, payload)) = bytes.split_first() else { return };
    let dialects: Vec<_> = Decoder::dialects().collect();
    let dialect = dialects[usize::from(*first) % dialects.len()];
    let topic = dialect.example_topic("d-1");
    let message = RawMessage {
        adapter: Adapter::MqttEndpoint,
        topic: &topic,
        payload,
        publisher: "gateway",
        content_type: "",
        packet_id: Some(7),
        is_redelivered: false,
        is_retained: false,
        is_will: false,
        received_at_us: 1_772_409_600_000_000,
    };
    DECODER.with_borrow_mut(|decoder| {
        check(&decoder.decode(&message));
        check(&decoder.decode_as(dialect.name, &message).expect("the name is from the list"));
    });
});

/// What goes into the log can be read from it.
fn check(outcome: &Outcome<'_>) {
    let Outcome::Decoded(decoded) = outcome else { return };
    for child in decoded.telemetry() {
        match LogRecordView::parse(child.record) {
            Ok(LogRecordView::Telemetry(view)) => assert_eq!(view.device_id, child.device_id),
            other => panic!("no telemetry: {other:?}"),
        }
    }
}
