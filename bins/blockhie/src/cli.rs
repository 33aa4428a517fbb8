//! The commands. Their arguments stand beside their code.

use crate::device::DeviceCommand;
use crate::link::LinkCommand;
use crate::{chain, keygen, load, publish, verify};
use clap::{Parser, Subcommand};

const EXAMPLES: &str = "Examples:
  blockhie keygen --out device.key
  blockhie record publish Observation.json --gateway http://127.0.0.1:8080 --out receipts
  blockhie device push ppg.csv --device sensor.key --rate 100 --code 8867-4 --gateway http://127.0.0.1:8080
  blockhie verify --receipt receipts/Observation.json.receipt.json --genesis emr.toml
  blockhie link verify --dir link --emr-genesis emr.toml --phd-genesis phd.toml --audience PUBLIC_KEY
  blockhie chain tip --node http://127.0.0.1:7001

Exit codes: 0 done or proved, 1 failed or refuted, 2 not final yet, 3 unreadable or malformed input, 64 usage.";

/// Publish medical records and readings of devices, and prove them offline.
#[derive(Debug, Parser)]
#[command(name = "blockhie", version, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a key file and print its public key
    Keygen(keygen::Args),
    /// Publish records
    #[command(subcommand)]
    Record(RecordCommand),
    /// Enrol devices, push their readings and have them back
    #[command(subcommand)]
    Device(DeviceCommand),
    /// Link a record with a device, and check a link without any network
    #[command(subcommand)]
    Link(LinkCommand),
    /// Check a receipt, and the record or readings it is for, without any network
    Verify(verify::Args),
    /// Ask a node for its tip, a block or transactions
    Chain(chain::Args),
    /// Put a node under load and count what it acknowledged and lost
    Load(load::Args),
}

#[derive(Debug, Subcommand)]
pub(crate) enum RecordCommand {
    /// Publish files as they are and keep their openings and receipts
    Publish(publish::Args),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_consistent_and_every_command_has_examples() {
        let mut cli = Cli::command();
        cli.clone().debug_assert();
        let mut at = vec![&mut cli];
        while let Some(command) = at.pop() {
            let help = command.render_long_help().to_string();
            let leaf = command.get_subcommands().next().is_none() && command.get_name() != "help";
            assert!(!leaf || help.contains("Example"), "{} has no example", command.get_name());
            at.extend(command.get_subcommands_mut());
        }
    }
}
