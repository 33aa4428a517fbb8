//! The nodes under load: all of one chain.

use super::CHECK_TIME;
use crate::chain::{connect, refused};
use crate::failure::Failure;
use blockhie_core::{ChainId, Genesis, TxHash, TxStatus};
use blockhie_transport::LedgerClient;
use std::time::{Duration, Instant};

/// Pause before a node that did not answer is asked again.
const RETRY_PAUSE: Duration = Duration::from_millis(250);

/// Clients of the nodes, in the order of the command line.
pub(crate) struct Fleet {
    clients: Vec<LedgerClient>,
    genesis: Genesis,
}

impl Fleet {
    /// Connects to every node and asks for its genesis; all must have the same.
    pub(crate) async fn connect(urls: &[String]) -> Result<Self, Failure> {
        let mut clients = Vec::with_capacity(urls.len());
        let mut first: Option<Genesis> = None;
        for url in urls {
            let client = connect(url).await?;
            let bytes = client.genesis().await.map_err(|error| refused(&error))?;
            let genesis = Genesis::from_bytes(&bytes).map_err(|error| Failure::failed(format!("{url}: {error}")))?;
            let (expected, got) = (first.as_ref().unwrap_or(&genesis).chain_id(), genesis.chain_id());
            if expected != got {
                return Err(Failure::usage(format!("--node {url}: expected chain {expected}, got {got}"))
                    .hint("all nodes of a run are of one chain: start a run for each chain"));
            }
            first.get_or_insert(genesis);
            clients.push(client);
        }
        let genesis = first.ok_or_else(|| Failure::usage("--node: expected at least one"))?;
        Ok(Self { clients, genesis })
    }

    pub(crate) fn chain(&self) -> ChainId {
        self.genesis.chain_id()
    }

    pub(crate) fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    pub(crate) fn len(&self) -> usize {
        self.clients.len()
    }

    /// The node whose turn it is: round robin.
    pub(crate) fn turn(&self, serial: u64) -> usize {
        usize::try_from(serial % self.clients.len().max(1) as u64).unwrap_or(0)
    }

    /// The node at this place in the command line.
    pub(crate) fn client(&self, node: usize) -> &LedgerClient {
        &self.clients[node]
    }
}

/// Asks where a transaction stands until there is an answer, or none for [`CHECK_TIME`].
pub(crate) async fn ask(client: &LedgerClient, hash: TxHash) -> Option<TxStatus> {
    let deadline = Instant::now() + CHECK_TIME;
    loop {
        match client.status(hash).await {
            Ok(status) => return Some(status),
            Err(_) if Instant::now() < deadline => tokio::time::sleep(RETRY_PAUSE).await,
            Err(_) => return None,
        }
    }
}
