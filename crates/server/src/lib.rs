//! The service: command line, config, the pipeline's wiring and workers, admin HTTP. The binary is a thin `main` over it.
//!
//! Only here do the parts meet: gateway, lake, log and rules know the model and nothing of each other.

pub mod cli;
pub mod config;
pub mod health;
