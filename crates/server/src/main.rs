//! The binary `urban-neuron`.

use std::process::ExitCode;

use clap::Parser;
use urban_neuron_server::cli::Cli;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Here alone the environment is read; everything below is given it.
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    Cli::parse().run(&environment)
}
