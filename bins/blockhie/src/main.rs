//! `blockhie`: the command line of patients, publishers and verifiers.
//!
//! Each command is a module with its arguments and a `run` that answers the exit code. What they print goes through
//! [`output`], why they fail through [`failure`]. Only `chain` and `load` start an async runtime; `verify` and
//! `link verify` open no socket at all.

mod chain;
mod cli;
mod clock;
mod device;
mod failure;
mod files;
mod http;
mod keygen;
mod link;
mod load;
mod output;
mod progress;
mod publish;
mod status;
mod verify;

use crate::cli::{Cli, Command, RecordCommand};
use crate::failure::{EXIT_USAGE, Failure};
use crate::output::Output;
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut out = Output::new();
    let result = match Cli::try_parse() {
        Ok(cli) => run(&cli.command, &mut out),
        Err(error) if !error.use_stderr() => {
            out.line(error.render().to_string().trim_end());
            Ok(0)
        }
        Err(error) => {
            output::note(error.render().to_string().trim_end());
            return ExitCode::from(EXIT_USAGE);
        }
    };
    match result.and_then(|code| out.finish().map(|()| code)) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            output::note(&failure.to_string());
            ExitCode::from(failure.code)
        }
    }
}

fn run(command: &Command, out: &mut Output) -> Result<u8, Failure> {
    match command {
        Command::Keygen(args) => keygen::run(args, out),
        Command::Record(RecordCommand::Publish(args)) => publish::run(args, out),
        Command::Device(command) => device::run(command, out),
        Command::Link(command) => link::run(command, out),
        Command::Verify(args) => verify::run(args, out),
        Command::Chain(args) => chain::run(args, out),
        Command::Load(args) => load::run(args, out),
    }
}
