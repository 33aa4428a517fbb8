//! The web gateway of a BlockHIE deployment: everything is in [`blockhie_gateway`].

use std::process::ExitCode;

fn main() -> ExitCode {
    blockhie_gateway::cli::main()
}
