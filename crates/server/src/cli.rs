//! The command line: what can be asked, and how it ends. One file a command; each prints its result on stdout and
//! what happens meanwhile on stderr.

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

mod alert_commands;
mod alerts;
mod backtest;
mod check;
mod config_args;
mod dead_letters;
mod decode;
mod demo;
mod deployment;
mod dialects;
mod explain;
mod failure;
mod lake;
mod log;
mod logging;
mod output;
mod progress_line;
mod rules;
mod rules_explain;
mod rules_in_force;
mod rules_schema;
mod rules_shadow;
mod rules_test;
mod run;
mod simulate;
mod stop_signal;
mod tls;
mod users;

pub use config_args::ConfigArgs;
pub use failure::Failure;

/// IoT telemetry of a city: MQTT in, a durable log, exactly-once Parquet and alerts out.
#[derive(Parser, Debug)]
#[command(name = "urban-neuron", version, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed, 2 usage or config.\nBegin with `urban-neuron demo`, then `urban-neuron run`."
)]
pub struct Cli {
    /// How logs are written on stderr
    #[arg(long, value_enum, default_value_t = LogFormat::Text, global = true)]
    pub log_format: LogFormat,

    /// Which logs are written: error, warn, info, debug, trace, or a filter such as info,rumqttc=debug
    #[arg(long, value_name = "FILTER", global = true)]
    pub log_level: Option<String>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Everything in one process for a minute: a simulated city over real MQTT, rules firing, the lake to query at the end
    Demo(demo::DemoArgs),
    /// The service: all roles, embedded, on loopback, when there is no config
    Run(run::RunArgs),
    /// Check config and rules; say every error at once, with file and line
    Check(check::CheckArgs),
    /// What would become of a payload: the envelope as JSON, or the rejection with its reason (exit code 1)
    Decode(decode::DecodeArgs),
    /// Which payloads are understood, on which topics, and how well each is known
    Dialects(dialects::DialectsArgs),
    /// A city of sensors over real MQTT, with a count of what was acknowledged
    Simulate(simulate::SimulateArgs),
    /// What stands in the lake, and the proof that nothing is missing or there twice
    #[command(subcommand)]
    Lake(lake::LakeCommand),
    /// What stands in the log
    #[command(subcommand)]
    Log(log::LogCommand),
    /// What fires now, and what changes
    #[command(subcommand)]
    Alerts(alerts::AlertsCommand),
    /// Which rules are in force, what they say and would say, and other ones
    #[command(subcommand)]
    Rules(rules::RulesCommand),
    /// What was refused, and a second try of it
    #[command(subcommand)]
    DeadLetters(dead_letters::DeadLettersCommand),
    /// What the file of users keeps of a password
    #[command(subcommand)]
    Users(users::UsersCommand),
    /// Certificates for a pilot
    #[command(subcommand)]
    Tls(tls::TlsCommand),
}

impl Cli {
    /// Does what was asked. `environment` is the process's.
    pub fn run(self, environment: &BTreeMap<String, String>) -> ExitCode {
        let default_level = self.command.default_log_level();
        let outcome = logging::start(self.log_format, self.log_level.as_deref().unwrap_or(default_level))
            .and_then(|()| self.command.run(environment));
        match outcome {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => failure.report(),
        }
    }
}

impl Command {
    /// A service says what it does; a command's own output is enough.
    fn default_log_level(&self) -> &'static str {
        if matches!(self, Command::Run(_)) { "info" } else { "warn" }
    }

    fn run(self, environment: &BTreeMap<String, String>) -> Result<(), Failure> {
        match self {
            Command::Demo(args) => args.run(environment),
            Command::Run(args) => args.run(environment),
            Command::Check(args) => args.run(environment),
            Command::Decode(args) => args.run(environment),
            Command::Dialects(args) => args.run(),
            Command::Simulate(args) => args.run(),
            Command::Lake(command) => command.run(environment),
            Command::Log(command) => command.run(environment),
            Command::Alerts(command) => command.run(environment),
            Command::Rules(command) => command.run(environment),
            Command::DeadLetters(command) => command.run(environment),
            Command::Users(command) => command.run(),
            Command::Tls(command) => command.run(),
        }
    }
}

/// A span of time on the command line, `60s`.
fn parse_duration(text: &str) -> Result<std::time::Duration, crate::config::duration::DurationError> {
    crate::config::duration::parse(text)
}
