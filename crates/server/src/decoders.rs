//! The decoder that the config asks for: its catalog of metrics and its time zone.

use std::path::PathBuf;
use std::sync::Arc;

use decode::Decoder;

use crate::config::Config;

/// Makes a decoder for one thread.
pub type DecoderFactory = Arc<dyn Fn() -> Decoder + Send + Sync>;
