//! The decoder that the config asks for: its catalog of metrics, one decoder a thread.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;

use decode::{Decoder, DecoderConfig};

use crate::config::Config;
use crate::metric_catalog;

/// Makes a decoder for one thread.
pub type DecoderFactory = Arc<dyn Fn() -> Decoder + Send + Sync>;

/// # Errors
/// The catalog of the config cannot be used.
pub fn factory(config: &Config) -> anyhow::Result<DecoderFactory> {
    let catalog = metric_catalog::load(config)?.0.clone();
    Ok(Arc::new(move || {
        // Random for each call: ids of messages without identity must differ over threads and processes.
        let process = RandomState::new().build_hasher().finish();
        Decoder::new(DecoderConfig { catalog: catalog.clone(), process })
    }))
}
