//! A gateway in one process: opened, served, stopped.

use crate::access::Gate;
use crate::app::App;
use crate::chain::{ChainView, stopped};
use crate::devices::{DeviceError, Devices};
use crate::index::Index;
use crate::limits::{FIRST_CONTACT, SUM_METRICS};
use crate::links::{self, Links};
use crate::sweeper::Queue;
use crate::{routes, server, sweeper};
use axum::Router;
use blockhie_core::keyfile::{self, KeyFileError};
use blockhie_core::{ChainKind, StoreError};
use blockhie_emr::Vault;
use blockhie_store::FolderBlobs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// What a gateway is started with.
#[derive(Debug, Clone)]
pub struct Config {
    /// Vault index and operator's token.
    pub data_dir: PathBuf,
    /// The institution's key.
    pub key: PathBuf,
    /// The node of the EMR-Chain: `http://host:port`.
    pub emr: String,
    /// The node of the PHD-Chain; without one there are no devices and no links.
    pub phd: Option<String>,
    /// The two legs of a link are sent at times drawn from this long, independently: their distance then tells little.
    pub link_window: Duration,
    /// The sealed records.
    pub vault: PathBuf,
}

/// Why a gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A folder cannot be made.
    #[error("data folder {path}: {source}")]
    Folder {
        /// The folder.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The institution's key, or the operator's token, which has the same form.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// Index or blobs.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What the index says of devices.
    #[error("data folder: {reason}")]
    Devices {
        /// What is wrong.
        reason: String,
    },
    /// What the index says of the chain.
    #[error("data folder: {reason}")]
    Chain {
        /// What is wrong.
        reason: String,
    },
}

impl From<DeviceError> for StartError {
    fn from(error: DeviceError) -> Self {
        match error {
            DeviceError::Store(error) => Self::Store(error),
            error => Self::Devices { reason: error.to_string() },
        }
    }
}

/// An open gateway.
pub struct Gateway {
    app: App,
    stop: watch::Sender<bool>,
    token: PathBuf,
    token_made: bool,
    link_window: Duration,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").field("token", &self.token).finish_non_exhaustive()
    }
}

impl Gateway {
    /// Opens key, index, vault and token; makes what is missing but the key.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn open(config: &Config) -> Result<Self, StartError> {
        let secret = keyfile::read(&config.key)?;
        make_folder(&config.data_dir)?;
        make_folder(&config.vault)?;
        let index = Arc::new(Index::open(&config.data_dir.join("index"))?);
        let blobs = Arc::new(FolderBlobs::open(&config.vault)?);
        let vault = Vault::new(index.clone(), blobs.clone(), &secret);
        let links = Links::new(index.clone(), &secret);
        let devices = Devices::open(index.clone(), blobs, &secret)?;
        let token = config.data_dir.join("token");
        let (gate, token_made) = Gate::open(&token)?;
        let (stop, stopped) = watch::channel(false);
        let view = |kind, url: &String| {
            let view = ChainView::new(kind, url.clone(), index.clone());
            view.map(Arc::new).map_err(|error| StartError::Chain { reason: error.to_string() })
        };
        let emr = view(ChainKind::Emr, &config.emr)?;
        let phd = config.phd.as_ref().map(|url| view(ChainKind::Phd, url)).transpose()?;
        let app = App::new((emr, phd), (vault, devices, links), index, secret, gate, stopped);
        Ok(Self { app, stop, token, token_made, link_window: config.link_window })
    }

    /// Where the operator's token is, and whether it was made just now.
    #[must_use]
    pub fn token(&self) -> (&Path, bool) {
        (&self.token, self.token_made)
    }

    /// All routes.
    pub fn router(&self) -> Router {
        routes::router(&self.app)
    }

    /// Starts the tasks that follow the nodes and pass through the queue, inside a tokio runtime. Waits for the first
    /// contact with each node, but not long: a gateway starts without them.
    pub async fn start(&self) {
        let contacts = self.app.chains().map(|chain| {
            let mut feed = chain.feed();
            feed.mark_unchanged();
            tokio::spawn(Arc::clone(chain).follow(self.app.stop.clone()));
            tokio::spawn(observe(self.app.clone(), Arc::clone(chain)));
            async move { drop(feed.changed().await) }
        });
        let _ = tokio::time::timeout(FIRST_CONTACT, futures::future::join_all(contacts)).await;
        self.app.start_outbox(self.link_window);
        tokio::spawn(links::nodes::run(self.app.clone()));
        tokio::spawn(sum_metrics(self.app.clone()));
        for queue in Queue::ALL {
            tokio::spawn(sweeper::run(self.app.clone(), queue));
        }
    }

    /// Which node is not there and why, if one is not.
    #[must_use]
    pub fn away(&self) -> Option<String> {
        self.app.chains().find_map(|chain| chain.ready().err().map(|reason| format!("{}: {reason}", chain.slug())))
    }

    /// Tells the tasks to end, as a crash would, but for the locks.
    #[cfg(test)]
    pub(crate) fn abandon(&self) {
        self.stop.send_replace(true);
    }

    /// A value of the index.
    #[cfg(test)]
    pub(crate) fn index_value(&self, key: &[u8]) -> Option<Vec<u8>> {
        blockhie_emr::vault::VaultIndex::get(&*self.app.index, key).unwrap()
    }

    /// Places for uploads of strangers that nobody holds.
    #[cfg(test)]
    pub(crate) fn free_public_uploads(&self) -> usize {
        self.app.public_uploads.available_permits()
    }

    /// Whether the receipt of a record is in the vault.
    #[cfg(test)]
    pub(crate) async fn receipt_is_kept(&self, record: &blockhie_core::Hash32) -> bool {
        let record = *record;
        self.app.blocking(move |parts| Ok(parts.vault.receipt(&record)?.is_some())).await.unwrap()
    }

    /// Serves until `shutdown` completes, then ends event streams and tasks and lets requests under way end.
    pub async fn serve(&self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        let stop = async {
            shutdown.await;
            self.stop.send_replace(true);
        };
        server::serve(listener, self.router(), stop).await;
    }
}

/// Sums up the metrics in turn.
async fn sum_metrics(app: App) {
    let (mut stop, mut tick) = (app.stop.clone(), tokio::time::interval(SUM_METRICS));
    loop {
        tokio::select! {
            _ = tick.tick() => app.metrics.sum_up(),
            () = stopped(&mut stop) => return,
        }
    }
}

/// Keeps the metrics of a node current.
async fn observe(app: App, chain: Arc<ChainView>) {
    let (mut stop, mut feed) = (app.stop.clone(), chain.feed());
    loop {
        {
            let feed = feed.borrow_and_update();
            app.metrics.node(chain.slug(), feed.away.is_none(), feed.tip.as_ref().map(|tip| tip.height));
        }
        tokio::select! {
            () = stopped(&mut stop) => return,
            changed = feed.changed() => if changed.is_err() { return },
        }
    }
}

/// Private to its owner when it is made; one that is there stays as it is.
fn make_folder(path: &Path) -> Result<(), StartError> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|source| StartError::Folder { path: path.display().to_string(), source })
}
