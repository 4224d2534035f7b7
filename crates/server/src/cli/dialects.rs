//! `dialects`: which payloads are understood, on which topics, and how well each is known.

use clap::Args;
use decode::Decoder;
use serde_json::json;

use super::Failure;
use super::output::{OutputArgs, print_json, print_line};

#[derive(Args, Debug)]
pub(super) struct DialectsArgs {
    #[command(flatten)]
    output: OutputArgs,
}

impl DialectsArgs {
    pub(super) fn run(self) -> Result<(), Failure> {
        for dialect in Decoder::dialects() {
            if self.output.is_json() {
                print_json(&json!({
                    "name": dialect.name,
                    "version": dialect.version,
                    "topics": dialect.topics,
                    "standard": dialect.standard,
                    "certainty": dialect.certainty.name(),
                }))?;
            } else {
                print_line(&format!(
                    "{} (version {}, {})",
                    dialect.name,
                    dialect.version,
                    dialect.certainty.name()
                ))?;
                print_line(&format!("    on    {}", dialect.topics))?;
                print_line(&format!("    from  {}", dialect.standard))?;
            }
        }
        Ok(())
    }
}
