//! What every handler shares.

use crate::access::Gate;
use crate::chain::{ChainView, Known};
use crate::devices::Devices;
use crate::error::ApiError;
use crate::index::Index;
use crate::limits::{EVENT_STREAMS, PUBLIC_UPLOADS, REQUESTS, UPLOADS};
use crate::links::Links;
use crate::links::nodes::Nodes;
use crate::telemetry::Metrics;
use crate::txview::Kept;
use blockhie_core::{ChainKind, Hash32, SecretKey, TxHash};
use blockhie_coupling::Outbox;
use blockhie_emr::Vault;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard, Notify, Semaphore, watch};

/// Locks among which idempotency keys are spread.
const STRIPES: usize = 64;

/// The gateway's parts, shared by handlers and tasks.
#[derive(Clone)]
pub(crate) struct App(Arc<Parts>);

pub(crate) struct Parts {
    /// The EMR-Chain.
    pub(crate) emr: Arc<ChainView>,
    /// The PHD-Chain, where the gateway was started with a node of it.
    pub(crate) phd: Option<Arc<ChainView>>,
    pub(crate) vault: Vault,
    pub(crate) index: Arc<Index>,
    pub(crate) secret: SecretKey,
    pub(crate) gate: Gate,
    pub(crate) metrics: Metrics,
    pub(crate) stop: watch::Receiver<bool>,
    pub(crate) uploads: Semaphore,
    pub(crate) public_uploads: Semaphore,
    pub(crate) requests: Semaphore,
    pub(crate) streams: Arc<Semaphore>,
    /// Devices and their segments.
    pub(crate) devices: Devices,
    /// Links between records and devices.
    pub(crate) links: Arc<Links>,
    /// How their halves get onto the chains; from [`App::start_outbox`] on.
    outbox: OnceLock<Arc<Outbox>>,
    /// Wakes the outbox.
    pub(crate) queued_links: Notify,
    /// Wakes the sweeper of records: something was queued.
    pub(crate) queued_records: Notify,
    /// The same of devices.
    pub(crate) queued_devices: Notify,
    stripes: Vec<Mutex<()>>,
}

impl Deref for App {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl Parts {
    /// What is kept of a device's transaction.
    pub(crate) fn kept(&self, txhash: &TxHash) -> Result<Kept, ApiError> {
        let (word, receipt) = (self.index.accepted(txhash)?, self.devices.receipt(txhash)?);
        Ok(Kept { word, settled: receipt.is_some(), receipt })
    }
}

impl App {
    pub(crate) fn new(
        (emr, phd): (Arc<ChainView>, Option<Arc<ChainView>>),
        (vault, devices, links): (Vault, Devices, Links),
        index: Arc<Index>,
        secret: SecretKey,
        gate: Gate,
        stop: watch::Receiver<bool>,
    ) -> Self {
        Self(Arc::new(Parts {
            emr,
            phd,
            vault,
            index,
            secret,
            gate,
            metrics: Metrics::new(),
            stop,
            uploads: Semaphore::new(UPLOADS),
            public_uploads: Semaphore::new(PUBLIC_UPLOADS),
            requests: Semaphore::new(REQUESTS),
            streams: Arc::new(Semaphore::new(EVENT_STREAMS)),
            devices,
            links: Arc::new(links),
            outbox: OnceLock::new(),
            queued_links: Notify::new(),
            queued_records: Notify::new(),
            queued_devices: Notify::new(),
            stripes: (0..STRIPES).map(|_| Mutex::new(())).collect(),
        }))
    }

    /// Runs what touches the disk on a thread that may wait for it.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Parts) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let app = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&app)).await;
        done.unwrap_or_else(|error| Err(ApiError::internal(&error)))
    }

    /// A chain.
    ///
    /// # Errors
    /// "Unavailable", with what to do, for the PHD-Chain of a gateway that was started without one.
    pub(crate) fn chain(&self, kind: ChainKind) -> Result<&Arc<ChainView>, ApiError> {
        let missing = || ApiError::unavailable("this gateway has no PHD-Chain (its operator starts it with --phd URL)");
        match kind {
            ChainKind::Emr => Ok(&self.emr),
            ChainKind::Phd => self.phd.as_ref().ok_or_else(missing),
        }
    }

    /// Makes the outbox, inside a tokio runtime; without a PHD-Chain there is none.
    pub(crate) fn start_outbox(&self, window: Duration) {
        let Some(phd) = &self.phd else { return };
        let nodes = Arc::new(Nodes::new(Arc::clone(&self.emr), Arc::clone(phd)));
        let window_ms = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
        let _ = self.outbox.set(Arc::new(Outbox::new(self.links.clone(), nodes, window_ms)));
    }

    /// The outbox.
    ///
    /// # Errors
    /// As [`App::chain`] of the PHD-Chain.
    pub(crate) fn outbox(&self) -> Result<&Arc<Outbox>, ApiError> {
        self.chain(ChainKind::Phd)?;
        self.outbox.get().ok_or_else(|| ApiError::unavailable("starting"))
    }

    /// Every chain there is.
    pub(crate) fn chains(&self) -> impl Iterator<Item = &Arc<ChainView>> {
        std::iter::once(&self.emr).chain(&self.phd)
    }

    /// The EMR-Chain's parameters.
    pub(crate) fn known(&self) -> Result<Arc<Known>, ApiError> {
        Ok(self.emr.known()?)
    }

    /// Holds back other requests with this idempotency key (and a few with another).
    pub(crate) async fn one_at_a_time(&self, key: &Hash32) -> MutexGuard<'_, ()> {
        self.stripes[usize::from(key.0[0]) % STRIPES].lock().await
    }
}
