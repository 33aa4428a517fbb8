//! `blockhie.v1.Ledger`, spoken.

use super::{Caller, found};
use crate::convert::{HeaderRange, WaitsRange};
use crate::error::ClientError;
use crate::limits::{ClientLimits, MAX_ANSWER_BYTES, MAX_MESSAGE_BYTES};
use crate::pb::v1;
use crate::pb::v1::ledger_client;
use crate::service::{HeaderRow, PeerInfo, SyncInfo};
use blockhie_core::query::waits::Waits;
use blockhie_core::{BlockQuery, Tip, Transaction, TxHash, TxStatus, UncheckedBlock, Unverified};
use futures::StreamExt;
use futures::stream::BoxStream;
use tonic::transport::Channel;

/// Tips as they come; ends after the first error.
pub type TipStream = BoxStream<'static, Result<Tip, ClientError>>;

/// A client's connection to a node.
#[derive(Debug, Clone)]
pub struct LedgerClient {
    caller: Caller,
    ledger: ledger_client::LedgerClient<Channel>,
}

impl LedgerClient {
    /// Connects with the default [`ClientLimits`] to `http://host:port` or `host:port`.
    ///
    /// # Errors
    /// [`ClientError::Address`] or [`ClientError::Unreachable`].
    pub async fn connect(url: &str) -> Result<Self, ClientError> {
        Self::connect_with(url, &ClientLimits::default()).await
    }

    /// Connects.
    ///
    /// # Errors
    /// [`ClientError::Address`] or [`ClientError::Unreachable`].
    pub async fn connect_with(url: &str, limits: &ClientLimits) -> Result<Self, ClientError> {
        let (caller, channel) = Caller::connect(url, limits).await?;
        let ledger = ledger_client::LedgerClient::new(channel)
            .max_decoding_message_size(MAX_ANSWER_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        Ok(Self { caller, ledger })
    }

    /// Submits; answers the hash once the transaction is durable there.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn submit(&self, tx: &Transaction<Unverified>) -> Result<TxHash, ClientError> {
        let request = v1::SubmitRequest { transaction: Some(tx.into()) };
        let answer = self.caller.call(self.ledger.clone().submit(request)).await?;
        self.caller.check(answer)
    }

    /// Where a transaction stands.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn status(&self, hash: TxHash) -> Result<TxStatus, ClientError> {
        let answer = self.caller.call(self.ledger.clone().status(v1::StatusRequest::from(hash))).await?;
        self.caller.check(answer)
    }

    /// The end of the best chain.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn tip(&self) -> Result<Tip, ClientError> {
        let answer = self.caller.call(self.ledger.clone().tip(v1::TipRequest {})).await?;
        self.caller.check(answer)
    }

    /// Headers of the best chain, ascending, at most `limit` (1 to 128). Fewer come where the answer would be too
    /// large: ask again from where it ends; none come above the tip.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn headers(&self, from_height: u64, limit: u32) -> Result<Vec<HeaderRow>, ClientError> {
        let request = v1::HeadersRequest::from(HeaderRange { from_height, limit });
        let answer = self.caller.call(self.ledger.clone().headers(request)).await?;
        self.caller.check(answer)
    }

    /// A transaction, pending or committed; `None` where the node has none.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn transaction(&self, hash: TxHash) -> Result<Option<Transaction<Unverified>>, ClientError> {
        let call = self.caller.call(self.ledger.clone().transaction(v1::TransactionRequest::from(hash))).await;
        let Some(answer) = found(call)? else { return Ok(None) };
        let tx = self.caller.part("transaction response", answer.transaction)?;
        self.caller.check(tx).map(Some)
    }

    /// A block; `None` where the node has none.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn block(&self, query: BlockQuery) -> Result<Option<UncheckedBlock>, ClientError> {
        let call = self.caller.call(self.ledger.clone().block(v1::BlockRequest::from(query))).await;
        let Some(answer) = found(call)? else { return Ok(None) };
        let block = self.caller.part("block response", answer.block)?;
        self.caller.check(block).map(Some)
    }

    /// The canonical text of a receipt.
    ///
    /// # Errors
    /// [`ClientError`]; "not yet" while the transaction is not committed.
    pub async fn receipt(&self, hash: TxHash) -> Result<String, ClientError> {
        Ok(self.caller.call(self.ledger.clone().receipt(v1::ReceiptRequest::from(hash))).await?.json)
    }

    /// The tip now and at each change.
    ///
    /// # Errors
    /// [`ClientError`] when it does not begin; later ones come in the stream.
    pub async fn watch(&self) -> Result<TipStream, ClientError> {
        let tips = self.caller.call(self.ledger.clone().watch(v1::WatchRequest {})).await?;
        let caller = self.caller.clone();
        let checked = tips.map(move |item| match item {
            Ok(tip) => caller.check(tip),
            Err(status) => Err(ClientError::from_status(&caller.address, &status)),
        });
        let mut failed = false;
        let until_error = checked.take_while(move |item| {
            let before = failed;
            failed |= item.is_err();
            futures::future::ready(!before)
        });
        Ok(until_error.boxed())
    }

    /// How long the transactions of the newest `blocks` blocks (1 to 512) waited, and what still waits. Fewer blocks come
    /// where these hold very many transactions.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn waits(&self, blocks: u32) -> Result<Waits, ClientError> {
        let request = v1::WaitsRequest::from(WaitsRange(blocks));
        let answer = self.caller.call(self.ledger.clone().waits(request)).await?;
        self.caller.check(answer)
    }

    /// The peers that the node knows, those it leaves alone included.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn peers(&self) -> Result<Vec<PeerInfo>, ClientError> {
        let answer = self.caller.call(self.ledger.clone().peers(v1::PeersRequest {})).await?;
        self.caller.check(answer)
    }

    /// What the node waits for.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn sync(&self) -> Result<SyncInfo, ClientError> {
        let answer = self.caller.call(self.ledger.clone().sync(v1::SyncRequest {})).await?;
        self.caller.check(answer)
    }

    /// The canonical bytes of the genesis.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn genesis(&self) -> Result<Vec<u8>, ClientError> {
        Ok(self.caller.call(self.ledger.clone().genesis(v1::GenesisRequest {})).await?.genesis.to_vec())
    }
}
