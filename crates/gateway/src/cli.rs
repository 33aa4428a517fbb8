//! The command `gateway`.

use crate::gateway::{Config, Gateway, StartError};
use crate::limits::{GIVE_UP_TIME, MAX_LINK_WINDOW};
use crate::telemetry::log_to_stderr;
use clap::{Args, Parser, Subcommand};
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::net::TcpListener;

/// Exit code of a wrong command line.
const USAGE: u8 = 64;

const EXAMPLES: &str = "Examples:
  gateway run --data-dir ./gw --key hospital.key --emr http://127.0.0.1:7001 --phd http://127.0.0.1:7002
  gateway run --data-dir ./gw --key hospital.key --emr http://10.0.0.5:7001 --vault /srv/vault --listen 127.0.0.1:8080

The operator's token is made at the first run: DATA_DIR/token. Publish with it:
  curl -H \"Authorization: Bearer $(cat ./gw/token)\" -H 'Content-Type: application/fhir+json' \\
       --data-binary @Observation.json http://127.0.0.1:8080/api/v1/records

The gateway speaks plain HTTP: put a TLS proxy before it when it listens beyond this machine.";

/// The web gateway of a BlockHIE deployment: records in, receipts and pages out.
#[derive(Debug, Parser)]
#[command(name = "gateway", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves until SIGTERM or ctrl-c; prints `ready listen=IP:PORT` on stdout when it does.
    #[command(after_help = EXAMPLES)]
    Run(Run),
}

#[derive(Debug, Args)]
struct Run {
    /// Folder of the vault's index and the operator's token; made if missing.
    #[arg(long, value_name = "D")]
    data_dir: PathBuf,
    /// File of the institution's key (make one with `blockhie keygen --out FILE`).
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Node of the EMR-Chain.
    #[arg(long, value_name = "URL")]
    emr: String,
    /// Node of the PHD-Chain; without one there are no devices and no links.
    #[arg(long, value_name = "URL")]
    phd: Option<String>,
    /// The two halves of a link are sent at independent times within this long, so that their distance tells little.
    #[arg(long, value_name = "SECONDS", default_value_t = 3_600, value_parser = clap::value_parser!(u64).range(..=MAX_LINK_WINDOW))]
    link_window: u64,
    /// Folder of the sealed records [default: DATA_DIR/vault].
    #[arg(long, value_name = "DIR")]
    vault: Option<PathBuf>,
    /// Address to listen at; port 0 takes a free one.
    #[arg(long, value_name = "A", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
}

/// Why the command failed.
#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("listen at {address}: {source}")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error("{action}: {source}")]
    System { action: &'static str, source: std::io::Error },
}

impl RunError {
    /// What an operator can do, where the text does not say it already.
    fn hint(&self) -> Option<&'static str> {
        use std::io::ErrorKind::{AddrInUse, AddrNotAvailable, NotFound, PermissionDenied};
        match self {
            Self::Listen { source, .. } => match source.kind() {
                AddrInUse => {
                    Some("another process listens there: stop it, or choose another --listen (port 0: any free)")
                }
                AddrNotAvailable => Some("this machine has no such address: choose another --listen"),
                PermissionDenied => Some("ports below 1024 need a privilege: choose another --listen"),
                _ => None,
            },
            Self::Start(StartError::Key(blockhie_core::keyfile::KeyFileError::Io { source, .. }))
                if source.kind() == NotFound =>
            {
                Some("make a key with: blockhie keygen --out FILE")
            }
            Self::Start(StartError::Folder { .. }) => Some("choose another --data-dir, or change its owner"),
            Self::Start(_) | Self::System { .. } => None,
        }
    }
}

/// Reads the command line and runs it: 0 after a clean stop, 1 on an error (on stderr, with a hint), 64 on a wrong
/// command line.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    log_to_stderr();
    let Command::Run(run) = cli.command;
    match run.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut stderr = std::io::stderr().lock();
            let _ = writeln!(stderr, "gateway: {error}");
            if let Some(hint) = error.hint() {
                let _ = writeln!(stderr, "hint: {hint}");
            }
            ExitCode::FAILURE
        }
    }
}

impl Run {
    fn run(self) -> Result<(), RunError> {
        let vault = self.vault.unwrap_or_else(|| self.data_dir.join("vault"));
        let Self { data_dir, key, emr, phd, .. } = self;
        let config = Config { data_dir, key, emr, phd, vault, link_window: Duration::from_secs(self.link_window) };
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.map_err(|source| RunError::System { action: "start the runtime", source })?;
        let ended = runtime.block_on(serve(&config, self.listen));
        runtime.shutdown_timeout(GIVE_UP_TIME);
        ended
    }
}

async fn serve(config: &Config, address: SocketAddr) -> Result<(), RunError> {
    // First what fails at once, so that nothing is made for a start that cannot be.
    let listener = TcpListener::bind(address).await.map_err(|source| RunError::Listen { address, source })?;
    let shutdown = signals().map_err(|source| RunError::System { action: "wait for signals", source })?;
    let gateway = Gateway::open(config)?;
    let (token, made) = gateway.token();
    if made {
        tracing::info!(file = %token.display(), "the operator's token was made");
    }
    gateway.start().await;
    if let Some(reason) = gateway.away() {
        tracing::warn!(%reason, "no node yet: pages and publishing wait for it (see --emr and --phd); /readyz says 503");
    }
    let local = listener.local_addr().map_err(|source| RunError::System { action: "read the address", source })?;
    let mut stdout = std::io::stdout().lock();
    let ready = writeln!(stdout, "ready listen={local}").and_then(|()| stdout.flush());
    ready.map_err(|source| RunError::System { action: "write to stdout", source })?;
    drop(stdout);
    gateway.serve(listener, shutdown).await;
    tracing::info!("stopped");
    Ok(())
}

/// Completes at SIGTERM or ctrl-c.
fn signals() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
    })
}
