//! The service: command line, config, the pipeline's wiring and workers, admin HTTP. The binary is a thin `main` over it.
//!
//! Only here do the parts meet: gateway, lake, log and rules know the model and nothing of each other. [`pipeline`] shows
//! the whole path; what people ask of it is in [`operations`].

pub mod admin;
pub mod alert_command;
pub mod alert_follower;
pub mod alert_marks;
pub mod alert_outbox;
pub mod alert_stream;
pub mod backtest;
pub mod cli;
pub mod clock;
pub mod config;
pub mod conservation;
pub mod dead_letter;
pub mod dead_letters;
pub mod decoders;
pub mod engine_configs;
pub mod explanation;
pub mod failpoints;
pub mod file_watch;
pub mod health;
pub mod heartbeat;
pub mod identity;
pub mod intake;
pub mod lake_description;
pub mod lake_worker;
pub mod latency;
pub mod listening;
pub mod metric_catalog;
pub mod metrics;
pub mod mqtt_command;
pub mod operations;
pub mod pilot_authority;
pub mod pipeline;
pub mod pipeline_stats;
pub mod registry_files;
pub mod registry_watch;
pub mod rule_cases;
pub mod rule_files;
pub mod rule_loader;
pub mod rule_operations;
pub mod rule_proposer;
pub mod rule_questions;
pub mod rule_sets;
pub mod rules_partition;
pub mod rules_recovery;
pub mod rules_snapshot;
pub mod rules_worker;
pub mod sessions;
pub mod settled_files;
pub mod state_store;
pub mod suppression;
pub mod suppression_stage;
pub mod telemetry_json;
pub mod tls_watch;
