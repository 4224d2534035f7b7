//! The lake again through the evaluator: a backtest, and a rules worker that has lost its snapshots, say what was said live.

#![allow(clippy::unwrap_used, clippy::panic)]

mod backtest;
mod demo;
mod recovery;
