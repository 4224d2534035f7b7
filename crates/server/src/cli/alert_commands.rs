//! `alerts acknowledge`, `comment`, `silence`: what a person does with an alert that fires.

use std::collections::BTreeMap;

use clap::Args;

use super::output::OutputArgs;
use super::{ConfigArgs, Failure, alerts, deployment};
use crate::alert_command::{CommandDraft, CommandKind};

/// What every command on an alert takes.
#[derive(Args, Debug)]
pub(super) struct CommandArgs {
    /// Id of the alert, as `alerts list --format json` has it
    alert_id: String,

    /// Who does it
    #[arg(long, value_name = "WHO")]
    by: String,

    /// Id of the command: with the same id it is done once, however often it is tried
    #[arg(long, value_name = "TOKEN")]
    id: Option<String>,

    #[command(flatten)]
    config: ConfigArgs,

    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Args, Debug)]
pub(super) struct AcknowledgeArgs {
    #[command(flatten)]
    command: CommandArgs,

    /// What there is to say
    #[arg(long)]
    text: Option<String>,
}

#[derive(Args, Debug)]
pub(super) struct CommentArgs {
    #[command(flatten)]
    command: CommandArgs,

    /// What there is to say
    #[arg(long)]
    text: String,
}

#[derive(Args, Debug)]
pub(super) struct SilenceArgs {
    #[command(flatten)]
    command: CommandArgs,

    /// Why
    #[arg(long)]
    text: Option<String>,

    /// How long: 30m, 2h, 7d. A later silence takes the place of the one before, so a shorter one ends it
    #[arg(long = "for", value_name = "SPAN", required_unless_present = "until", conflicts_with = "until")]
    lasts: Option<String>,

    /// Until when, RFC 3339
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

impl AcknowledgeArgs {
    pub(super) fn run(self, environment: &BTreeMap<String, String>) -> Result<(), Failure> {
        let draft = CommandDraft { text: self.text, ..CommandDraft::default() };
        self.command.run(CommandKind::Acknowledge, draft, environment)
    }
}

impl CommentArgs {
    pub(super) fn run(self, environment: &BTreeMap<String, String>) -> Result<(), Failure> {
        let draft = CommandDraft { text: Some(self.text), ..CommandDraft::default() };
        self.command.run(CommandKind::Comment, draft, environment)
    }
}

impl SilenceArgs {
    pub(super) fn run(self, environment: &BTreeMap<String, String>) -> Result<(), Failure> {
        let SilenceArgs { command, text, lasts, until } = self;
        let draft = CommandDraft { text, until, lasts, ..CommandDraft::default() };
        command.run(CommandKind::Silence, draft, environment)
    }
}

impl CommandArgs {
    fn run(
        self,
        kind: CommandKind,
        draft: CommandDraft,
        environment: &BTreeMap<String, String>,
    ) -> Result<(), Failure> {
        let draft = CommandDraft {
            id: self.id,
            command: Some(kind),
            alert_id: Some(self.alert_id),
            by: Some(self.by),
            ..draft
        };
        let config = self.config.load(environment)?;
        let event = deployment::operations(&config)?.command(draft)?;
        alerts::print_alert(self.output, &event)
    }
}
