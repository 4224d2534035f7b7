//! `users`: what stands in the file of users.

use std::io::{BufRead, IsTerminal, Read};

use anyhow::Context;
use clap::{Args, Subcommand};

use super::Failure;
use super::output::print_line;
use crate::identity::password::{self, PASSWORD_BYTES_MAX};

#[derive(Subcommand, Debug)]
pub(super) enum UsersCommand {
    /// Reads a password on stdin and prints what the file of users keeps of it: argon2id
    Hash(HashArgs),
}

#[derive(Args, Debug)]
pub(super) struct HashArgs {
    /// Print the whole line of this user, NAME:HASH
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

impl UsersCommand {
    pub(super) fn run(self) -> Result<(), Failure> {
        let UsersCommand::Hash(args) = self;
        if args.name.as_ref().is_some_and(|name| name.is_empty() || name.contains([':', '\n', '\r'])) {
            return Err(Failure::Usage("a name is not empty and has no : and no line break".to_owned()));
        }
        let hash = password::hash(read_password()?.as_bytes()).context("hashing the password")?;
        print_line(&args.name.map_or(hash.clone(), |name| format!("{name}:{hash}")))
    }
}

/// The first line of stdin, without its line break.
fn read_password() -> Result<String, Failure> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        eprintln!("the password, which is shown while you type it, then Enter:");
    }
    let mut line = String::new();
    stdin.lock().take(PASSWORD_BYTES_MAX as u64 + 2).read_line(&mut line)?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() || password.len() > PASSWORD_BYTES_MAX {
        let what = format!("a password of 1 to {PASSWORD_BYTES_MAX} bytes is wanted on stdin");
        return Err(Failure::Usage(what));
    }
    Ok(password.to_owned())
}
