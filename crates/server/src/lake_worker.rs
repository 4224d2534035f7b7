//! The lake's consumer: takes the log partitions that it is given, lands their records and commits by size and age.
//!
//! One thread. A commit is decided in the lake, never in the consumer group; a rival that was faster is followed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lake::{CommitOutcome, Lake, PartitionLander};
use log::{Appender, Consumer, Log, ReadEvent, Reader, Topic};
use tracing::{error, info, warn};

use crate::clock::wall_us;
use crate::health::{Component, Health};
use crate::pipeline_stats::PipelineStats;

/// Longest wait for records, so that commits by age are on time.
const POLL_WAIT: Duration = Duration::from_millis(50);

/// Wait before a commit or a partition that failed is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);
