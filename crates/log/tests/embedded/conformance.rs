//! The suite that both logs pass, on the embedded one.

use std::time::Duration;

use crate::suite::Suite;
use urban_neuron_log::embedded::{EmbeddedConfig, EmbeddedLog};

use crate::{config, memory_dir};

fn run(change: impl Fn(&mut EmbeddedConfig) + Sync) {
    let dir = memory_dir();
    let record_bytes_max = 256 << 10;
    let open = |name: &str, partitions| {
        let mut config = config(&dir.path().join(name));
        config.partitions = partitions;
        config.record_bytes_max = record_bytes_max;
        change(&mut config);
        EmbeddedLog::open(config)
    };
    Suite { open, record_bytes_max, patience: Duration::from_secs(20) }.run();
}

#[test]
fn passes_with_the_defaults() {
    run(|_| {});
}

/// Segments roll and readers fall behind all the time.
#[test]
fn passes_with_tiny_segments_and_no_memory() {
    run(|config| {
        config.batch_bytes_max = 400;
        config.segment_bytes = 3000;
        config.tail_bytes_max = 0;
    });
}
