//! `blockhie keygen`.

use crate::failure::Failure;
use crate::output::Output;
use blockhie_core::keyfile::{self, KeyFileError};
use std::path::PathBuf;

const EXAMPLES: &str = "Examples:
  blockhie keygen --out device.key           make a key; its public key is printed
  blockhie keygen --out device.key --json    {\"public_key\":\"…\",\"path\":\"device.key\"}

The file holds a secret: one line of 64 hex digits, readable by you only (0600). It is never overwritten.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The new key file
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, out: &mut Output) -> Result<u8, Failure> {
    let secret = keyfile::generate(&args.out).map_err(|error| {
        let hint = match &error {
            KeyFileError::Exists { .. } => "nothing was changed",
            _ => "the folder has to exist and you need the right to write there",
        };
        Failure::failed(&error).hint(hint)
    })?;
    let public = secret.public();
    if args.json {
        out.json(&serde_json::json!({ "public_key": public, "path": args.out.display().to_string() }))?;
    } else {
        out.line(&public.to_string());
    }
    Ok(0)
}
