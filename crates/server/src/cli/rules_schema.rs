//! `rules schema`: the JSON Schemas, for editors and consumers beside an installed binary.

use clap::{Args, ValueEnum};

use super::Failure;
use super::output::print_line;

#[derive(Args, Debug)]
pub(super) struct RulesSchemaArgs {
    /// Of what
    #[arg(value_enum, default_value_t = Shape::Rules)]
    shape: Shape,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Shape {
    /// Rule files
    Rules,
    /// Files of `rules test`; refers to that of rule files as rules.schema.json
    Cases,
    /// Alert events
    Alert,
}

impl RulesSchemaArgs {
    pub(super) fn run(self) -> Result<(), Failure> {
        let schema = match self.shape {
            Shape::Rules => include_str!("../../../../docs/schemas/rules.schema.json"),
            Shape::Cases => include_str!("../../../../docs/schemas/rule-cases.schema.json"),
            Shape::Alert => include_str!("../../../../docs/schemas/alert.schema.json"),
        };
        print_line(schema.trim_end())
    }
}
