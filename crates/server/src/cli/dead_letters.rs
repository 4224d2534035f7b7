//! `dead-letters`: what was refused, and a second try of it.

use std::collections::BTreeMap;
use std::str::FromStr;

use clap::{Args, Subcommand};

use super::output::{OutputArgs, print_json, print_line};
use super::{ConfigArgs, Failure, deployment};
use crate::dead_letters::{DeadLetterFilter, DeadLetterSummary, LISTED_MAX, RedriveOutcome, RejectedChild};
use crate::operations::Operations;

#[derive(Subcommand, Debug)]
pub(super) enum DeadLettersCommand {
    /// The newest dead letters, oldest first
    List(ListArgs),
    /// One dead letter with its original bytes
    Show(ShowArgs),
    /// Decode dead letters again and append what comes of them; what was redriven before is left alone
    Redrive(RedriveArgs),
}

#[derive(Args, Debug)]
pub(super) struct ListArgs {
    #[command(flatten)]
    config: ConfigArgs,

    #[command(flatten)]
    filter: FilterArgs,

    /// Only those that were not redriven
    #[arg(long)]
    open: bool,

    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Args, Debug)]
struct FilterArgs {
    /// At most so many, the newest
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=LISTED_MAX as u64))]
    limit: u64,

    /// Only those refused for this reason, such as malformed_json
    #[arg(long, value_name = "CODE")]
    reason: Option<String>,
}

#[derive(Args, Debug)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    config: ConfigArgs,

    /// Its offset, or partition/offset, as `list` prints it
    position: LetterPosition,

    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Args, Debug)]
pub(super) struct RedriveArgs {
    #[command(flatten)]
    config: ConfigArgs,

    /// Their offsets, or partition/offset, as `list` prints them
    #[arg(required_unless_present = "all")]
    positions: Vec<LetterPosition>,

    /// All that `list --open` gives with the same --limit and --reason
    #[arg(long, conflicts_with = "positions")]
    all: bool,

    #[command(flatten)]
    filter: FilterArgs,

    #[command(flatten)]
    output: OutputArgs,
}

/// Where a dead letter stands.
#[derive(Clone, Copy, Debug)]
struct LetterPosition {
    partition: u32,
    offset: i64,
}

impl FromStr for LetterPosition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (partition, offset) = text.split_once('/').unwrap_or(("0", text));
        let parsed = partition.parse().ok().zip(offset.parse().ok().filter(|offset| *offset >= 0));
        let (partition, offset) =
            parsed.ok_or_else(|| format!("offset or partition/offset is wanted, found {text:?}"))?;
        Ok(LetterPosition { partition, offset })
    }
}

impl FilterArgs {
    fn filter(&self, is_open_only: bool) -> DeadLetterFilter {
        let limit = usize::try_from(self.limit).unwrap_or(LISTED_MAX);
        DeadLetterFilter { limit, reason: self.reason.clone(), is_open_only }
    }
}

impl DeadLettersCommand {
    pub(super) fn run(self, environment: &BTreeMap<String, String>) -> Result<(), Failure> {
        match self {
            DeadLettersCommand::List(args) => list(&args, environment),
            DeadLettersCommand::Show(args) => show(&args, environment),
            DeadLettersCommand::Redrive(args) => redrive(&args, environment),
        }
    }
}

fn list(args: &ListArgs, environment: &BTreeMap<String, String>) -> Result<(), Failure> {
    let config = args.config.load(environment)?;
    let letters = deployment::operations(&config)?.dead_letters(&args.filter.filter(args.open))?;
    for letter in &letters {
        if args.output.is_json() {
            print_json(letter)?;
        } else {
            print_line(&summary_line(letter))?;
        }
    }
    Ok(())
}

fn summary_line(letter: &DeadLetterSummary) -> String {
    let DeadLetterSummary { log_partition, log_offset, log_time, topic, payload_bytes, .. } = letter;
    let reasons: Vec<&str> = letter.reasons().collect();
    let detail = letter.children.first().map_or(&letter.detail, |child| &child.detail);
    let redriven =
        letter.redriven_records.map(|records| format!("  redriven: {records}")).unwrap_or_default();
    format!(
        "{log_partition}/{log_offset}  {log_time}  {}  {topic}  {payload_bytes} B  {detail}{redriven}",
        reasons.join(",")
    )
}

fn show(args: &ShowArgs, environment: &BTreeMap<String, String>) -> Result<(), Failure> {
    let config = args.config.load(environment)?;
    let LetterPosition { partition, offset } = args.position;
    let letter = deployment::operations(&config)?.dead_letter(partition, offset)?;
    if args.output.is_json() {
        return print_json(&letter);
    }
    print_line(&summary_line(&letter.summary))?;
    print_line(&format!(
        "adapter {}, publisher {}, received {}",
        letter.summary.adapter, letter.summary.publisher, letter.summary.received_at
    ))?;
    for RejectedChild { index, reason, detail } in &letter.summary.children {
        print_line(&format!("child {index}: {reason}: {detail}"))?;
    }
    if let Some(position) = &letter.copied_from {
        print_line(&format!("copied from the log at {position}"))?;
    }
    match &letter.payload_text {
        Some(text) => print_line(&format!("payload (text): {text:?}")),
        None => print_line(&format!("payload (base64): {}", letter.payload_base64)),
    }
}

fn redrive(args: &RedriveArgs, environment: &BTreeMap<String, String>) -> Result<(), Failure> {
    let config = args.config.load(environment)?;
    let operations = deployment::operations(&config)?;
    let mut positions = args.positions.clone();
    if args.all {
        let open = operations.dead_letters(&args.filter.filter(true))?;
        positions.extend(
            open.iter()
                .map(|letter| LetterPosition { partition: letter.log_partition, offset: letter.log_offset }),
        );
    }
    let mut is_all_well = true;
    for position in positions {
        is_all_well &= redrive_one(args, operations.as_ref(), position)?;
    }
    if is_all_well { Ok(()) } else { Err(Failure::Negative) }
}

/// True when nothing of it is refused any more.
fn redrive_one(
    args: &RedriveArgs,
    operations: &dyn Operations,
    position: LetterPosition,
) -> Result<bool, Failure> {
    let LetterPosition { partition, offset } = position;
    let outcome = operations.redrive(partition, offset)?;
    let words = match &outcome {
        RedriveOutcome::Redriven { records, still_rejected } if still_rejected.is_empty() => {
            format!("{records} records")
        }
        RedriveOutcome::Redriven { records, still_rejected } => {
            format!("{records} records, refused again as a new dead letter: {}", reasons(still_rejected))
        }
        RedriveOutcome::AlreadyRedriven { records } => format!("was redriven before: {records} records"),
        RedriveOutcome::StillRejected { rejected } => format!("refused again: {}", reasons(rejected)),
    };
    if args.output.is_json() {
        let mut line = serde_json::to_value(&outcome).map_err(anyhow::Error::from)?;
        line["log_partition"] = partition.into();
        line["log_offset"] = offset.into();
        print_json(&line)?;
    } else {
        print_line(&format!("{partition}/{offset}: {words}"))?;
    }
    Ok(match outcome {
        RedriveOutcome::Redriven { still_rejected, .. } => still_rejected.is_empty(),
        RedriveOutcome::AlreadyRedriven { .. } => true,
        RedriveOutcome::StillRejected { .. } => false,
    })
}

fn reasons(children: &[RejectedChild]) -> String {
    let words: Vec<String> =
        children.iter().map(|child| format!("{}: {}", child.reason, child.detail)).collect();
    words.join("; ")
}
