//! Every bound of the transport, each with its reason.

use crate::bucket::Rate;
use blockhie_core::limits::{MAX_BLOCK_TRANSACTIONS, MAX_RECEIPT_BYTES};
use std::time::Duration;

/// Largest request, and largest answer of the frozen contract, in bytes. The largest honest message, a block of 4,000
/// hashes and 255 siblings, has 145 KB; tonic's default is 4 MiB.
pub const MAX_MESSAGE_BYTES: usize = 1 << 20;
/// Largest answer of `blockhie.v1.Ledger`: a whole receipt and the bytes around it.
pub const MAX_ANSWER_BYTES: usize = MAX_RECEIPT_BYTES + 1_024;
/// Fields at the top of one message: the lists of the longest block, and some to spare. Without it a message of 1 MiB
/// of empty fields costs 25 MB before the first check sees it.
pub const MAX_MESSAGE_FIELDS: usize = 4_500;
/// Transaction hashes in one block message. A genesis allows no more, and the ledger holds each chain to its own `m`.
pub const MAX_BLOCK_HASHES: usize = MAX_BLOCK_TRANSACTIONS as usize;
/// Siblings in one block message: the genesis counts them in one byte.
pub const MAX_SIBLINGS: usize = 255;
/// Addresses in one `ExchangeNode` (protocol page).
pub const MAX_NODES: usize = 64;
/// Headers in one `Headers` call: 280 KB with 60 transactions each, and at worst 17 MB to read for a node.
pub const MAX_HEADERS: u32 = 128;
/// Bytes of header rows in one answer; the rows that do not fit are left out and asked for again.
pub const MAX_HEADERS_BYTES: usize = MAX_MESSAGE_BYTES / 2;
/// Blocks of one `Waits` call: eight minutes at a block a second.
pub const MAX_WAIT_BLOCKS: u32 = 512;
/// Waits of committed transactions in one answer (one block alone may hold more), and as many of pending ones: about
/// three reads of the store each, a third of a second for a node at worst.
pub const MAX_WAITS: usize = 16_384;
/// Hashes in the locator of one `Peer.Headers` call: ten of the newest and then every second distance reach past 2^50.
pub const MAX_LOCATOR: usize = 64;
/// Headers in one `Peer.Headers` call: 640 KB, and 0.2 s of a node that checks their signatures.
pub const MAX_LOCATED_HEADERS: u32 = 2_048;
/// Of these, in one message: 160 KB.
pub const MAX_HEADERS_PIECE: usize = 512;
/// Blocks in one `Peer.Bodies` call.
pub const MAX_BODIES_BLOCKS: usize = 64;
/// Bytes of bodies after which an answer to `Peer.Bodies` begins no further block. Together with one block of the
/// largest size this bounds what one call costs the asking side.
pub const MAX_BODIES_BYTES: usize = 4 << 20;
/// Answers to `Peer.Bodies` under way at once, in all. Each holds three blocks at most: without a bound readers that do not
/// read fill the memory.
pub const MAX_BODIES_STREAMS: usize = 32;
/// Bytes of bodies after which a message of transactions is closed: with the last body, and 250 bytes around each, it
/// stays below [`MAX_MESSAGE_BYTES`].
pub const MAX_PIECE_BYTES: usize = 256 << 10;
/// Transactions in one message.
pub const MAX_PIECE_TRANSACTIONS: usize = 1_024;
/// Characters of an error text on the wire: it travels in a header, and clients refuse headers above 16 KB.
pub const MAX_STATUS_CHARS: usize = 1_000;
/// HTTP/2 window of one stream of a client, bytes: with the default, streams reach half the speed.
pub const STREAM_WINDOW: u32 = 4 << 20;
/// HTTP/2 window of a client's connection, bytes.
pub const CONNECTION_WINDOW: u32 = 8 << 20;
/// The same of a server: one request of the largest size. What is not read yet lies in memory, for each stranger's
/// connection.
pub const SERVER_STREAM_WINDOW: u32 = 1 << 20;
/// See [`SERVER_STREAM_WINDOW`].
pub const SERVER_CONNECTION_WINDOW: u32 = 2 << 20;
/// Bytes of request headers.
pub const MAX_HEADER_LIST_BYTES: u32 = 16 << 10;
/// Streams that a client opened and reset before they were accepted (rapid reset), before the connection is closed.
pub const MAX_PENDING_RESETS: usize = 20;
/// What a refusal costs a connection, in tokens of [`Limits::conduct`]: a message that is wrong and will stay so …
pub const COST_INVALID: u32 = 8;
/// … one that is longer than [`MAX_MESSAGE_BYTES`], of which up to that much was read …
pub const COST_OVERSIZE: u32 = 64;
/// … a request that was reset before its answer (rapid reset, after it was accepted) …
pub const COST_ABANDONED: u32 = 2;
/// … and a block or transaction that comes too early: an honest peer of a node that is behind sends one now and then.
pub const COST_NOT_YET: u32 = 2;
/// How long a request of a connection in debt waits for its refusal. With its 32 streams a connection gets 32 refusals a
/// second then, which cost next to nothing.
pub const DEBT_PAUSE: Duration = Duration::from_secs(1);
/// How late an answer comes that says RESOURCE_EXHAUSTED. A client that asks for too much asks no faster then than 320
/// times a second on a connection, and one that is told once waits no longer than a person notices.
pub const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);
/// The same in the frozen contract, for whom the node does not know: 32 times a second on a connection.
pub const NODE_EXHAUSTED_PAUSE: Duration = Duration::from_secs(1);
/// Requests in debt after which the connection is closed.
pub const MAX_IN_DEBT: u32 = 64;
/// How long no connection is taken of a host of which one was closed for that. The work that its next ones make is not
/// worth their few good messages; a program that is repaired meanwhile does not wait for long.
pub const CUT_OFF: Duration = Duration::from_secs(60);
/// Each time is twice as long as the one before, up to this: as long as a ban. After as long without, all is forgiven.
pub const MAX_CUT_OFF: Duration = Duration::from_secs(3_600);
/// Addresses whose new connections are counted, at most. Beyond, those that did nothing lately are forgotten.
pub const MAX_ARRIVALS: usize = 4_096;

/// What a server allows. The defaults are what the threat page asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections from one IP address (64): one host cannot take all of them. Tests on loopback may need more.
    pub connections_per_address: usize,
    /// Connections in all (1,024): each costs a descriptor and up to [`SERVER_CONNECTION_WINDOW`] of memory.
    pub connections: usize,
    /// New connections from one IP address (512, then 64 a second): closing a connection must not be a way out of debt.
    pub arrivals: Rate,
    /// Streams open at once on one connection (32).
    pub streams_per_connection: u32,
    /// Requests worked on at once, in all (1,024), counted from when all of a request is there; more are refused with
    /// RESOURCE_EXHAUSTED instead of queueing, but for a connection that has none: many cannot shut out the others.
    pub requests: usize,
    /// Bytes of unfinished requests on one connection (4 MiB): its 32 streams with 128 KiB each.
    pub bytes_per_connection: usize,
    /// Bytes of unfinished requests in all (64 MiB). Without it 100 connections that never finish hold gigabytes.
    pub bytes: usize,
    /// Bytes that a connection may hold even then (256 KiB): the largest block fits.
    pub bytes_reserved: usize,
    /// What a connection may send that is refused (2,048 tokens, then 32 a second: 256 wrong messages or 32 too long, which
    /// whoever tries a client of his own may need; see [`COST_INVALID`]), with all others of its host; on 127.0.0.1 and ::1 each
    /// for itself. In debt it is answered late and without work, and then closed.
    pub conduct: Rate,
    /// A request that takes longer than this is given up (10 s). A watch stream is not a request that takes long.
    pub request_time: Duration,
    /// A connection that has not begun to speak HTTP/2 by then is closed (3 s).
    pub handshake_time: Duration,
    /// How often an idle connection is asked whether it lives (20 s).
    pub keepalive_every: Duration,
    /// How long it may take to answer that (10 s).
    pub keepalive_time: Duration,
    /// After a stop is asked for, requests under way have this long to end (5 s).
    pub drain_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_per_address: 64,
            connections: 1_024,
            arrivals: Rate { burst: 512, per_second: 64 },
            streams_per_connection: 32,
            requests: 1_024,
            bytes_per_connection: 4 << 20,
            bytes: 64 << 20,
            bytes_reserved: 256 << 10,
            conduct: Rate { burst: 2_048, per_second: 32 },
            request_time: Duration::from_secs(10),
            handshake_time: Duration::from_secs(3),
            keepalive_every: Duration::from_secs(20),
            keepalive_time: Duration::from_secs(10),
            drain_time: Duration::from_secs(5),
        }
    }
}

/// What a client waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientLimits {
    /// For a TCP connection (3 s).
    pub connect_time: Duration,
    /// For a whole answer (10 s); of a watch stream, for its beginning.
    pub request_time: Duration,
    /// How often an idle connection is asked whether it lives (20 s). Without it a partition leaves dead channels.
    pub keepalive_every: Duration,
    /// How long it may take to answer that (10 s).
    pub keepalive_time: Duration,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self {
            connect_time: Duration::from_secs(3),
            request_time: Duration::from_secs(10),
            keepalive_every: Duration::from_secs(20),
            keepalive_time: Duration::from_secs(10),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use blockhie_core::limits::MAX_BODY_BYTES;

    #[test]
    fn the_limits_fit_each_other() {
        // 34 bytes for each hash with its tag and length, 512 for all other fields.
        const LONGEST_BLOCK: usize = 34 * (MAX_BLOCK_HASHES + MAX_SIBLINGS) + 512;
        const { assert!(LONGEST_BLOCK < MAX_MESSAGE_BYTES) };
        const { assert!(MAX_BODY_BYTES + 512 < MAX_MESSAGE_BYTES) };
        const { assert!(MAX_BLOCK_HASHES + MAX_SIBLINGS + 10 < MAX_MESSAGE_FIELDS) };
        const { assert!(MAX_NODES + 1 < MAX_MESSAGE_FIELDS && (MAX_HEADERS as usize) < MAX_MESSAGE_FIELDS) };
        const { assert!(34 * MAX_BLOCK_HASHES + 512 < MAX_HEADERS_BYTES, "at least one row fits") };
        const { assert!(MAX_HEADERS_BYTES < MAX_MESSAGE_BYTES && MAX_MESSAGE_BYTES <= MAX_ANSWER_BYTES) };
        // A percent-encoded character takes at most 12 bytes of a header.
        const { assert!(12 * MAX_STATUS_CHARS < 16 << 10) };
        // A wait takes at most 10 bytes, the rest of a block's row at most 80.
        const { assert!(20 * MAX_WAITS + 80 * (MAX_WAIT_BLOCKS as usize) < MAX_MESSAGE_BYTES) };
        const { assert!(MAX_BLOCK_HASHES <= MAX_WAITS && (MAX_WAIT_BLOCKS as usize) + 3 < MAX_MESSAGE_FIELDS) };
        // A preimage, a signature and 12 bytes of tags and lengths.
        const { assert!((240 + 64 + 12) * MAX_HEADERS_PIECE < MAX_MESSAGE_BYTES) };
        const { assert!(MAX_HEADERS_PIECE < MAX_LOCATED_HEADERS as usize && MAX_LOCATOR < MAX_MESSAGE_FIELDS) };
        const { assert!(MAX_PIECE_BYTES + MAX_BODY_BYTES + 250 * MAX_PIECE_TRANSACTIONS < MAX_MESSAGE_BYTES) };
        const { assert!(MAX_BODIES_BLOCKS < MAX_MESSAGE_FIELDS && MAX_PIECE_TRANSACTIONS < MAX_MESSAGE_FIELDS) };
        const { assert!(STREAM_WINDOW <= CONNECTION_WINDOW && SERVER_STREAM_WINDOW <= SERVER_CONNECTION_WINDOW) };
        const { assert!(MAX_MESSAGE_BYTES <= SERVER_STREAM_WINDOW as usize, "a message comes in one round trip") };
        let limits = Limits::default();
        assert!(limits.connections_per_address < limits.connections);
        assert!(limits.drain_time < limits.request_time && DEBT_PAUSE < limits.request_time);
        assert!(LONGEST_BLOCK < limits.bytes_reserved && 2 * MAX_MESSAGE_BYTES < limits.bytes_per_connection);
        assert!(limits.bytes_per_connection < limits.bytes);
    }
}
