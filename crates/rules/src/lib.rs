//! Threshold rules: their language, the rule sets that are records of the log, and the evaluator that turns readings
//! into alerts. What a rule means is fixed by `docs/rules.md`.
//!
//! Pure: records in, alerts out. No runtime, file, socket or clock; the only time is that of the records (I4).

mod compiled;
mod condition;
mod condition_syntax;
mod condition_text;
mod dead_man;
mod devices;
mod diagnostic;
mod duration;
mod evaluation;
mod evaluator;
mod exact_sum;
mod firing;
mod in_place;
mod inhibition;
mod inspect;
mod intervals;
mod known_registry;
mod lexer;
mod life;
mod limit;
mod matching;
mod meaning_reader;
mod metrics;
mod placing;
mod plan;
mod prepared;
mod quiet;
mod reading;
mod resolve;
mod resolve_calls;
mod rule;
mod rule_change;
mod rule_explanation;
mod rule_file;
mod rule_reader;
mod rule_set;
mod running_window;
mod said;
mod satisfiable;
mod schedule;
mod schedule_syntax;
mod selector;
mod series;
mod snapshot;
mod snapshot_bytes;
mod snapshot_parts;
mod speaking;
mod states;
mod taking;
mod tree;
mod warming;
mod watching;
mod window_function;
mod windows;
mod zone;

pub use condition_syntax::IN_VALUES_MAX;
pub use diagnostic::Diagnostic;
pub use duration::SPAN_DAYS_MAX;
pub use evaluator::{Counts, Evaluator, Limits, NumberReading};
pub use inhibition::{GATEWAY_OUTAGE, INHIBITION_RULES_MAX, INHIBITIONS_MAX, Inhibition, Targets};
pub use resolve::{KnownMetric, MetricCatalog, MetricKind, RULE_METRICS_MAX};
pub use rule::{HITS_MAX, Meaning, QualityFilter, Rule};
pub use rule_explanation::{
    ConditionTruth, DeadManClock, HitsSoFar, KeptReading, ReadingInPlace, RuleExplanation, RulePhase,
    ScheduleNow, ThresholdInForce, Unexplained, Waiting,
};
pub use rule_file::{LoadOptions, Loaded, RULE_FILE_BYTES_MAX, RuleSource};
pub use rule_reader::{CONDITION_BYTES_MAX, LABELS_MAX, RULE_KEYS, RULE_TEXT_BYTES_MAX};
pub use rule_set::{RULE_SET_FORMAT, RuleSet, RuleSetError, digest_of};
pub use said::{EvaluatorConfig, Said, Sink};
pub use schedule_syntax::ACTIVE_SPANS_MAX;
pub use snapshot::{SNAPSHOT_VERSION, SnapshotError};
pub use tree::CONDITION_DEPTH_MAX;
