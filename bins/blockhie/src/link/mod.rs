//! `blockhie link`: who owns a device and who holds a record say together, to one audience, that they are one person's;
//! and whoever is told can check it offline.

mod api;
mod create;
mod proof;
mod verify;

use crate::failure::Failure;
use crate::output::Output;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum LinkCommand {
    /// Sign a link, put it on both chains and fetch what its audience needs
    Create(create::Args),
    /// Check a link and its four receipts, without any network
    Verify(verify::Args),
}

pub(crate) fn run(command: &LinkCommand, out: &mut Output) -> Result<u8, Failure> {
    match command {
        LinkCommand::Create(args) => create::run(args, out),
        LinkCommand::Verify(args) => verify::run(args, out),
    }
}
