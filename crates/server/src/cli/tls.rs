//! `tls`: certificates for a pilot.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Failure;
use super::output::print_line;
use crate::pilot_authority::PilotAuthority;

#[derive(Subcommand, Debug)]
pub(super) enum TlsCommand {
    /// A private authority, and certificates of it for the server and for clients; again with other names for more of them
    Init(InitArgs),
}

#[derive(Args, Debug)]
pub(super) struct InitArgs {
    /// Where the files go; a folder that holds an authority already is taken on
    #[arg(long, value_name = "FOLDER")]
    dir: PathBuf,

    /// Host names and addresses that clients call the server by
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    names: Vec<String>,

    /// Names of clients, one certificate each: what `certificate = "NAME"` of a user is compared with
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    clients: Vec<String>,

    /// How long the certificates of the server and the clients are valid
    #[arg(long, value_name = "DAYS", default_value_t = 825, value_parser = clap::value_parser!(i32).range(1..=3650))]
    days: i32,
}

impl TlsCommand {
    pub(super) fn run(self) -> Result<(), Failure> {
        let TlsCommand::Init(args) = self;
        if args.names.is_empty() && args.clients.is_empty() {
            return Err(Failure::Usage("--names of the server or --clients are wanted".to_owned()));
        }
        let today = jiff::tz::TimeZone::UTC.to_datetime(jiff::Timestamp::now()).date();
        let mut authority = PilotAuthority::open(&args.dir, today).map_err(anyhow::Error::from)?;
        let made = make(&mut authority, &args);
        // What was written is said also when the rest failed.
        authority.written().iter().try_for_each(|path| print_line(&path.display().to_string()))?;
        made
    }
}

fn make(authority: &mut PilotAuthority, args: &InitArgs) -> Result<(), Failure> {
    if !args.names.is_empty() {
        authority.make_server(&args.names, args.days).map_err(anyhow::Error::from)?;
    }
    for client in &args.clients {
        authority.make_client(client, args.days).map_err(anyhow::Error::from)?;
    }
    Ok(())
}
