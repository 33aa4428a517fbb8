//! `blockhie-sim`: fault runs of whole networks on a virtual clock.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line tool: stdout and stderr are its interface"
)]

mod command;

use clap::Parser;
use std::process::ExitCode;

/// The exit code of a command line that we do not understand (`EX_USAGE` of sysexits.h).
pub(crate) const USAGE: u8 = 64;

fn main() -> ExitCode {
    match command::Cli::try_parse() {
        Ok(cli) => ExitCode::from(command::run(&cli)),
        Err(error) if !error.use_stderr() => {
            println!("{}", error.render().to_string().trim_end());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{}", error.render().to_string().trim_end());
            ExitCode::from(USAGE)
        }
    }
}
