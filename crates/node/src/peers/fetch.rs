//! `blockhie.v1.Peer` for the engine: headers and whole blocks, read and verified off its thread.

use super::Peers;
use super::connection::ask_error;
use blockhie_core::{BlockHash, ChainId, Header, Transaction, TxError, UncheckedBlock, UncheckedHeader, Verified};
use blockhie_engine::{AskError, Event, Fetch, FetchId, Fetched, PeerId, WholeBlock};
use blockhie_transport::bulk::SignedHeader;
use blockhie_transport::{BlockList, ClientError, Locator, PeerClient};
use std::time::Duration;

/// For the answer to the question whether a peer speaks it: nothing else is asked meanwhile.
const PROBE_TIME: Duration = Duration::from_secs(3);

fn failed(error: &ClientError) -> AskError {
    ask_error(error).unwrap_or_else(|| AskError::Unreachable(error.to_string()))
}

/// A header of this chain with its hash.
pub(crate) fn read_header(signed: &SignedHeader, chain: &ChainId) -> Result<(UncheckedHeader, BlockHash), String> {
    let header = Header::from_preimage(&signed.preimage, chain).map_err(|error| error.to_string())?;
    let hash = header.hash(chain);
    Ok((UncheckedHeader { header, signature: signed.signature }, hash))
}

/// Back to what goes on a wire.
pub(crate) fn write_header(unchecked: &UncheckedHeader, chain: &ChainId) -> SignedHeader {
    SignedHeader { preimage: unchecked.header.preimage(chain), signature: unchecked.signature }
}

impl Peers {
    /// Whether a peer that has just connected speaks it. One that does not answer that is served by the frozen contract.
    pub(super) async fn speaks(&self, client: &PeerClient) -> bool {
        let Some(genesis) = self.bulk else { return false };
        matches!(tokio::time::timeout(PROBE_TIME, client.speaks_bulk(genesis)).await, Ok(Ok(true)))
    }

    pub(super) async fn ask_bulk(&self, client: &PeerClient, peer: PeerId, id: FetchId, fetch: Fetch) -> Event {
        let result = match fetch {
            Fetch::Headers { locator, limit } => self.fetch_headers(client, locator, limit).await,
            Fetch::Blocks(hashes) => self.fetch_blocks(client, hashes).await,
        };
        Event::Fetched { peer, id, result }
    }

    async fn fetch_headers(
        &self,
        client: &PeerClient,
        hashes: Vec<BlockHash>,
        limit: u32,
    ) -> Result<Fetched, AskError> {
        let answer = client.headers_after(&Locator { hashes, limit }).await.map_err(|error| failed(&error))?;
        let Some(headers) = answer else { return Ok(Fetched::Headers(None)) };
        let read = |signed: &SignedHeader| read_header(signed, &self.chain).map(|(header, _)| header);
        let headers = headers.iter().map(read).collect::<Result<_, String>>().map_err(AskError::Malformed)?;
        Ok(Fetched::Headers(Some(headers)))
    }

    async fn fetch_blocks(&self, client: &PeerClient, hashes: Vec<BlockHash>) -> Result<Fetched, AskError> {
        let answer = client.whole_blocks(&BlockList(hashes)).await.map_err(|error| failed(&error))?;
        let (mut blocks, mut counts, mut all) = (Vec::new(), Vec::new(), Vec::new());
        for (asked, whole) in answer {
            let Some(whole) = whole else {
                blocks.push((asked, None));
                counts.push(0);
                continue;
            };
            let (UncheckedHeader { header, signature }, hash) =
                read_header(&whole.header, &self.chain).map_err(AskError::Malformed)?;
            counts.push(whole.transactions.len());
            let block = UncheckedBlock {
                height: header.height,
                time_ms: header.time_ms,
                previous: header.previous,
                claimed_hash: hash,
                target: header.target.get(),
                nonce: header.nonce,
                txhashes: whole.transactions.iter().map(Transaction::hash).collect(),
                miner: header.miner,
                siblings: whole.siblings,
                signature,
                history_root: Some(header.history_root),
            };
            all.extend(whole.transactions);
            blocks.push((asked, Some(block)));
        }
        let verdicts = self.verifier.verify_all(all).await;
        let verdicts = verdicts.ok_or_else(|| AskError::Unreachable("this node's signature pool is gone".into()))?;
        let mut verified = verdicts
            .into_iter()
            .collect::<Result<Vec<Transaction<Verified>>, TxError>>()
            .map_err(|error| AskError::Malformed(error.to_string()))?
            .into_iter();
        let whole = |((hash, block), count): ((BlockHash, Option<UncheckedBlock>), usize)| {
            let transactions: Vec<_> = verified.by_ref().take(count).collect();
            (hash, block.map(|block| WholeBlock { block, transactions }))
        };
        Ok(Fetched::Blocks(blocks.into_iter().zip(counts).map(whole).collect()))
    }
}
