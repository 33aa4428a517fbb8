//! `blockhie device`: an owner enrols and retires devices, a device pushes its readings, and who may has them back.

mod api;
mod export;
mod owner;
mod push;

use crate::clock::{MAX_TIMEOUT_S, PAUSES};
use crate::failure::{EXIT_NOT_FINAL, Failure};
use crate::http::GatewayError;
use crate::output::Output;
use crate::progress::Progress;
use crate::status::{State, Status};
use blockhie_core::{SecretKey, keyfile};
use std::path::Path;
use std::time::{Duration, Instant};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum DeviceCommand {
    /// Enrol a device: its owner and the device both sign
    Register(owner::RegisterArgs),
    /// End a device's enrolment, for ever
    Retire(owner::RetireArgs),
    /// Seal a recording and push it in segments
    Push(push::Args),
    /// Fetch a device's readings, with their proofs if wanted
    Export(export::Args),
}

pub(crate) fn run(command: &DeviceCommand, out: &mut Output) -> Result<u8, Failure> {
    match command {
        DeviceCommand::Register(args) => owner::register(args, out),
        DeviceCommand::Retire(args) => owner::retire(args, out),
        DeviceCommand::Push(args) => push::run(args, out),
        DeviceCommand::Export(args) => export::run(args, out),
    }
}

/// How long to wait for finality.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct WaitArgs {
    /// Do not wait until it is final
    #[arg(long)]
    no_wait: bool,
    /// How long to wait until it is final, seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 600,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_TIMEOUT_S)))]
    timeout: u32,
}

/// A wait with an end, and pauses that grow.
struct Patience {
    deadline: Instant,
    pause: Duration,
}

impl Patience {
    fn new(args: &WaitArgs) -> Self {
        let deadline = Instant::now() + Duration::from_secs(u64::from(args.timeout));
        Self { deadline, pause: PAUSES.0 }
    }

    /// Sleeps a while; false when the time is over.
    fn pause(&mut self) -> bool {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        std::thread::sleep(self.pause.min(left));
        self.pause = (self.pause * 3 / 2).min(PAUSES.1);
        true
    }

    /// Asks until it is settled.
    ///
    /// # Errors
    /// Void, an error that does not pass, or the end of the time (exit code 2).
    fn settled(
        &mut self,
        name: &str,
        progress: &mut Progress,
        mut ask: impl FnMut() -> Result<Status, GatewayError>,
    ) -> Result<Status, Failure> {
        loop {
            match ask() {
                Ok(status) if status.is_settled() => {
                    progress.tell(name, &status.told());
                    progress.done();
                    return Ok(status);
                }
                Ok(status) if status.state == State::Void => {
                    let reason = status.reason.as_deref().unwrap_or("no reason given");
                    return Err(Failure::failed(format!("{name}: committed without effect (void): {reason}")));
                }
                Ok(status) => progress.tell(name, &status.told()),
                Err(error) if error.passes() => progress.tell(name, &format!("still waiting: {error}")),
                Err(error) => return Err(error.failure()),
            }
            if !self.pause() {
                let failure = Failure::failed(format!("{name}: not final within the time given"));
                return Err(Failure { code: EXIT_NOT_FINAL, ..failure }
                    .hint("nothing is lost: the gateway goes on; run the same command again to look"));
            }
        }
    }
}

/// Reads a key file.
pub(crate) fn read_key(path: &Path, option: &str) -> Result<SecretKey, Failure> {
    keyfile::read(path).map_err(|error| {
        Failure::form(format!("{option}: {error}")).hint("`blockhie keygen --out FILE` makes a key file")
    })
}
