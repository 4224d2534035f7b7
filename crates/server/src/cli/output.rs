//! How a command writes its answer.

use std::io::{IsTerminal, Write};

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::Failure;

/// How the answer is written.
#[derive(Args, Debug, Clone, Copy)]
pub(super) struct OutputArgs {
    /// Text for people, or JSON with one object a line; auto is text on a terminal
    #[arg(long, value_enum, default_value_t = Format::Auto)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Auto,
    Text,
    Json,
}

impl OutputArgs {
    pub(super) fn is_json(self) -> bool {
        match self.format {
            Format::Auto => !std::io::stdout().is_terminal(),
            Format::Text => false,
            Format::Json => true,
        }
    }
}

/// One line on stdout. A reader that has gone ends the command well.
pub(super) fn print_line(line: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    // A watcher's line is wanted now, also through a pipe.
    out.flush()?;
    Ok(())
}

/// One object on a line of stdout.
pub(super) fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let line = serde_json::to_string(value).map_err(anyhow::Error::from)?;
    print_line(&line)
}
