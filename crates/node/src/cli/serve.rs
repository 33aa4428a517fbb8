//! `run`: a node from its data folder until it is told to stop.

use super::args::RunArgs;
use super::{NodeKind, check_kind, say};
use crate::datadir::DataDir;
use crate::node::{Node, NodeBuilder};
use anyhow::{Context, Result};
use blockhie_transport::Limits;
use std::sync::Arc;
use tokio::signal::unix::{Signal, SignalKind, signal};

fn start_logging() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    // A second start in one process keeps the first.
    let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours);
    // A line that cannot be written is lost. By default it would be complained about on stderr too, which panics when
    // stderr itself is a file on a full disk: the first warning of that would end the engine's thread.
    drop(subscriber.with_writer(std::io::stderr).log_internal_errors(false).try_init());
}

pub(super) async fn serve(kind: &NodeKind, args: RunArgs) -> Result<()> {
    start_logging();
    let dir = DataDir::new(&args.data_dir);
    let genesis = dir.genesis()?;
    check_kind(kind, &genesis)?;
    let mut config = dir.config(args.config.as_deref())?;
    config.listen = args.listen.unwrap_or(config.listen);
    config.metrics = args.metrics.unwrap_or(config.metrics);
    config.peers.extend(args.peers);
    config.mine |= args.mine;
    config.prune_below_depth = args.prune_below_depth.unwrap_or(config.prune_below_depth);
    let key = if config.mine { Some(dir.key()?) } else { None };
    let store = Arc::new(dir.store(&config)?);
    let builder = NodeBuilder {
        store,
        application: (kind.application)(&genesis),
        config,
        key,
        data_dir: Some(args.data_dir.clone()),
        limits: Limits::default(),
    };
    // Before anybody is told that the node runs: until then SIGTERM would end it without a clean stop.
    let mut signals = StopSignals::install()?;
    let node = builder.start().await?;
    if args.clear_alarm {
        node.clear_alarm().await;
    }
    dir.note_address(node.address())?;
    if genesis.is_open() {
        tracing::warn!("OPEN chain: anybody may mine, nothing becomes final. For development only.");
    }
    blockhie_store::failpoint::reach("start.ready");
    let ready = announce(&node);
    let result = match ready {
        Ok(()) => {
            signals.wait().await;
            Ok(())
        }
        Err(error) => Err(error),
    };
    tracing::info!("stopping");
    node.stop().await?;
    dir.forget_address();
    result
}

fn announce(node: &Node) -> Result<()> {
    let height = node.tip().height;
    say(format_args!("ready listen={} chain={} height={height}", node.address(), node.genesis().chain_id()))
}

/// What stops a node: SIGTERM, and ctrl-c on a terminal.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// From now on they are remembered until [`StopSignals::wait`].
    fn install() -> Result<Self> {
        let terminate = signal(SignalKind::terminate()).context("wait for SIGTERM")?;
        let interrupt = signal(SignalKind::interrupt()).context("wait for ctrl-c")?;
        Ok(Self { terminate, interrupt })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
