//! `blockhie device register` and `retire`.

use super::api::{Api, Of};
use super::{Patience, WaitArgs, read_key};
use crate::clock::now_ms;
use crate::failure::Failure;
use crate::http::GatewayError;
use crate::output::Output;
use crate::progress::Progress;
use crate::status::{State, Status};
use blockhie_core::{PublicKey, TxHash};
use serde_json::json;
use std::path::PathBuf;

const REGISTER_EXAMPLES: &str = "Examples:
  blockhie keygen --out owner.key && blockhie keygen --out sensor.key
  blockhie device register --owner owner.key --device sensor.key --gateway http://127.0.0.1:8080
      waits until it is final; then the device may push

Use an owner key of its own for each device: who owns two devices under one key says on the chain that they belong
together. Run again it changes nothing. Exit codes: 0 final, 1 failed, 2 not final within --timeout, 3 a key file is
unreadable, 64 usage.";

const RETIRE_EXAMPLES: &str = "Examples:
  blockhie device retire --owner owner.key --device PUBLIC_KEY --gateway http://127.0.0.1:8080

The device cannot push any more and its key is never enrolled again; what it pushed stays. Do it when a device is lost
or sold. Exit codes: 0 done, 1 failed, 2 not final within --timeout, 3 a key file is unreadable, 64 usage.";

#[derive(Debug, clap::Args)]
#[command(after_help = REGISTER_EXAMPLES)]
pub(crate) struct RegisterArgs {
    /// Key file of the owner
    #[arg(long, value_name = "KEYFILE")]
    owner: PathBuf,
    /// Key file of the device
    #[arg(long, value_name = "KEYFILE")]
    device: PathBuf,
    /// Address of the gateway
    #[arg(long, value_name = "URL")]
    gateway: String,
    #[command(flatten)]
    wait: WaitArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = RETIRE_EXAMPLES)]
pub(crate) struct RetireArgs {
    /// Key file of the owner
    #[arg(long, value_name = "KEYFILE")]
    owner: PathBuf,
    /// Public key of the device
    #[arg(long, value_name = "PUBKEY")]
    device: PublicKey,
    /// Address of the gateway
    #[arg(long, value_name = "URL")]
    gateway: String,
    #[command(flatten)]
    wait: WaitArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn register(args: &RegisterArgs, out: &mut Output) -> Result<u8, Failure> {
    let (owner, device) = (read_key(&args.owner, "--owner")?, read_key(&args.device, "--device")?);
    if owner.public() == device.public() {
        return Err(Failure::usage("--owner and --device: expected two keys, got the same twice")
            .hint("the device's key stays in the device, the owner's does not"));
    }
    let api = Api::new(&args.gateway)?;
    let chain = api.chain().map_err(|error| error.failure())?;
    let tx = blockhie_phd::enrol(&chain, &owner, &device, now_ms());
    let public = device.public();
    let taken = api.hand_in(&tx).map_err(|error| match error.conflict() {
        true => error.failure().hint("another owner enrolled it, or it was retired: take a new key for the device"),
        false => error.failure(),
    })?;
    let status = wait(&args.wait, args.json, || api.status(&public, Of::Device))?;
    tell(&public, "enrolled", taken.txhash, status.as_ref(), args.json, out)
}

pub(super) fn retire(args: &RetireArgs, out: &mut Output) -> Result<u8, Failure> {
    let owner = read_key(&args.owner, "--owner")?;
    let api = Api::new(&args.gateway)?;
    let chain = api.chain().map_err(|error| error.failure())?;
    let tx = blockhie_phd::retire(&chain, &owner, &args.device, now_ms());
    let taken = api.hand_in(&tx).map_err(|error| match error.not_found() {
        true => error.failure().hint("is that the key that it was registered with, and the gateway?"),
        false => error.failure(),
    })?;
    let status = wait(&args.wait, args.json, || api.status(&args.device, Of::Retire))?;
    tell(&args.device, "retired", taken.txhash, status.as_ref(), args.json, out)
}

/// Waits until the device's transaction is settled, unless nobody wants to.
fn wait(
    args: &WaitArgs,
    json: bool,
    ask: impl FnMut() -> Result<Status, GatewayError>,
) -> Result<Option<Status>, Failure> {
    if args.no_wait {
        return Ok(None);
    }
    Patience::new(args).settled("device", &mut Progress::new(1, json), ask).map(Some)
}

fn tell(
    device: &PublicKey,
    done: &str,
    txhash: TxHash,
    status: Option<&Status>,
    json: bool,
    out: &mut Output,
) -> Result<u8, Failure> {
    let state = status.map_or("submitted", |status| status.state.name());
    let height = status.and_then(|status| status.height);
    if json {
        out.json(&json!({ "device": device, "txhash": txhash, "state": state, "height": height }))?;
        return Ok(0);
    }
    let text = match (status, height) {
        (None, _) => format!("to be {done}, not final yet"),
        (Some(status), Some(height)) if status.state == State::InBlock => {
            format!("{done}, in block {height} of an open chain, where nothing is ever final")
        }
        (Some(_), Some(height)) => format!("{done}, final, in block {height}"),
        (Some(_), None) => done.to_owned(),
    };
    out.line(&format!("device {device}: {text}"));
    out.line(&format!("  transaction {txhash}"));
    Ok(0)
}
