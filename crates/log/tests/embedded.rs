//! The embedded log as its callers see it.

use std::time::Duration;

use urban_neuron_log::conformance::Suite;
use urban_neuron_log::embedded::{EmbeddedConfig, EmbeddedLog};

fn no_fatal(error: &urban_neuron_log::Error) {
    panic!("{error}");
}

#[test]
fn passes_the_conformance_suite() {
    let dir = tempfile::tempdir().unwrap();
    let record_bytes_max = 256 << 10;
    let suite = Suite {
        open: |name: &str, partitions| {
            EmbeddedLog::open(EmbeddedConfig {
                partitions,
                record_bytes_max,
                ..EmbeddedConfig::new(dir.path().join(name), no_fatal)
            })
        },
        record_bytes_max,
        patience: Duration::from_secs(20),
    };
    suite.run();
}

/// The same with limits so small that segments roll and readers fall behind all the time.
#[test]
fn passes_the_conformance_suite_with_tiny_segments_and_no_memory() {
    let dir = tempfile::tempdir().unwrap();
    let record_bytes_max = 64 << 10;
    let suite = Suite {
        open: |name: &str, partitions| {
            EmbeddedLog::open(EmbeddedConfig {
                partitions,
                record_bytes_max,
                batch_bytes_max: 400,
                segment_bytes: 3000,
                tail_bytes_max: 0,
                ..EmbeddedConfig::new(dir.path().join(name), no_fatal)
            })
        },
        record_bytes_max,
        patience: Duration::from_secs(20),
    };
    suite.run();
}
