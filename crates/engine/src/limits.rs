//! Every bound of the engine in one place, each with its reason and what breaks without it. Times are ms of the
//! monotonic clock.

use blockhie_core::Fault;

/// Peers at most. Each costs some hundred KiB of caches; a driver keeps far fewer.
pub const MAX_PEERS: usize = 256;

/// Requests at most under way to one peer. Below the 32 streams that a peer's server allows on one connection, so
/// that pushed blocks and transactions find room; without it a long list of bodies makes the peer shed load.
pub const MAX_ASKS_PER_PEER: usize = 28;
/// Of these, bodies.
pub const MAX_BODY_ASKS_PER_PEER: usize = 16;
/// Of these, blocks by height. They may be larger than bodies.
pub const MAX_HEIGHT_ASKS_PER_PEER: usize = 8;
/// An answer that takes longer is given up and somebody else asked. Sixteen bodies of 64 KiB need 5 s on 1.6 Mbit/s.
pub const STALL_MS: u64 = 5_000;
/// Requests that a peer may leave unanswered in succession before it is not asked for [`BACKOFF_MS`].
pub const MAX_STALLS: u32 = 3;
/// How long a peer that does not answer is passed over.
pub const BACKOFF_MS: u64 = 10_000;
/// A peer from which no block came for so long is asked for its tip. Without it a healed partition waits for the next
/// block to be found.
pub const TIP_POLL_MS: u64 = 1_500;

/// Heights that a session may be ahead of the next block to import: the buffer is at most 64 blocks of 128 KiB.
pub const SYNC_WINDOW: u64 = 64;
/// Bytes of bodies that may be asked for ahead of the block that needs them next; half the pool.
pub const PREFETCH_BYTES: u64 = 32 << 20;
/// How often a session looks at its leader.
pub const REVIEW_MS: u64 = 10_000;
/// New blocks that a session must have taken until then if another peer could lead: five times what a chain of one
/// block a second grows. Without it a peer that answers each request just in time holds a late joiner for ever.
pub const MIN_REVIEW_BLOCKS: u32 = 50;
/// A leader that failed does not lead for so long; nor is a peer that let a body time out asked while others may do.
pub const AVOID_MS: u64 = 5_000;
/// The same for a leader whose chain is not valid or who is slow, and for a peer that shows a tip and does not serve its
/// chain. It is no misbehaviour: it may know less than we do, or be overloaded.
pub const AVOID_INVALID_MS: u64 = 60_000;
/// That time doubles with each failure in succession, at most so often. Without it two peers that answer quickly and
/// serve nothing take turns in leading, and no other ever does.
pub const MAX_AVOID_DOUBLINGS: u32 = 6;
/// Times that a leader's chain may change under a session before it is given up.
pub const MAX_RELOCATIONS: u32 = 4;
/// A session that took a new block this recently is catching up: no mining and no relay meanwhile.
pub const CATCHING_UP_MS: u64 = 2_000;
/// An orphan at most so far above our tip is connected by asking for its ancestors by hash; others by a session.
pub const NEAR_BLOCKS: u64 = 8;
/// Ancestors asked for by hash, one after the other, before a session takes over.
pub const MAX_WALK: u32 = 8;

/// Headers in one question: the engine's thread checks their signatures in 50 ms, and nothing else meanwhile.
pub const HEADERS_PER_FETCH: u32 = 512;
/// Checked headers ahead of the blocks, 48 bytes each: 3 MiB, and eighteen hours of blocks of one second. A branch that
/// needs more of them to outweigh ours is checked to where it does, and its headers are asked for again.
pub const MAX_HEADERS_AHEAD: usize = 65_536;
/// Headers ahead below which more are asked for: there is always a window's worth.
pub const MIN_HEADERS_AHEAD: usize = 2_048;
/// Blocks that a peer is first asked for in one question. Doubled while answers come quickly, halved when one does not.
pub const FIRST_FETCH_BLOCKS: usize = 8;
/// Blocks in one question at most; the protocol allows 64.
pub const MAX_FETCH_BLOCKS: usize = 64;
/// An answer within this time makes the next question twice as long.
pub const QUICK_FETCH_MS: u64 = 1_000;
/// Questions for blocks under way to one peer: while one answer is verified the next one is on its way.
pub const MAX_FETCHES_PER_PEER: usize = 2;
/// Questions for blocks under way in all.
pub const MAX_FETCHES: usize = 8;
/// Bytes of bodies that one answer may have, counted before it is there: the 4 MiB after which a peer begins no further
/// block.
pub const FETCH_BYTES: u64 = 4 << 20;
/// Bytes of bodies held ahead of the block that is to be imported next, those on their way included.
pub const MAX_HELD_BYTES: u64 = 64 << 20;
/// Blocks held or on their way ahead of the next one. Without it a chain of empty blocks has no window at all.
pub const MAX_WINDOW: usize = 512;
/// How long a chain that was refused is shown as the reason why nothing advances.
pub const REFUSAL_MS: u64 = 60_000;

/// Bytes of orphans in all. A block's lists are at most 128 KiB; without a bound a stranger fills the memory.
pub const MAX_ORPHAN_BYTES: usize = 64 << 20;
/// Orphans of one peer whose hash, claimed work and signature were checked.
pub const MAX_ORPHANS_PER_PEER: usize = 64;
/// Orphans of one peer of which nothing could be checked (no tag 12); from the protocol page.
pub const MAX_CLAIMS_PER_PEER: usize = 8;
/// Orphans older than this are dropped.
pub const ORPHAN_MS: u64 = 600_000;

/// KiB of blocks beside the best chain that nobody asked for, stored at once. Anybody makes them by the thousand where
/// the target is easy; members do where members sign.
pub const SIDE_KIB: u64 = 8 << 10;
/// KiB of these that come back with each interval of the chain: two of the largest blocks, more than honest miners find
/// at the same time.
pub const SIDE_KIB_PER_INTERVAL: u64 = 256;
/// Intervals without a new block, while peers are connected, after which a node says that it may be cut off. Chance
/// alone lets 30 pass once in 10^13 blocks.
pub const STALE_INTERVALS: u64 = 30;
/// And not before so long: nodes of a short test chain start one after the other.
pub const MIN_STALE_MS: u64 = 15_000;

/// Blocks that may wait for bodies at a time. Each has shown work, and a member's signature where members sign.
pub const MAX_WAITING_BLOCKS: usize = 32;
/// How long a body is wanted although nobody who is connected has it, when the block's sender is not connected yet: it
/// has just said Hello, and the connection back to it takes a moment.
pub const SOURCE_MS: u64 = 2_000;
/// How long a block may wait for its bodies.
pub const WAIT_BODIES_MS: u64 = 30_000;
/// Times that a block may be tried again because its bodies were evicted before all had come.
pub const MAX_BODY_ROUNDS: u32 = 3;
/// Blocks that may wait for siblings at a time. Each has shown work, and a member's signature where members sign.
pub const MAX_WAITING_MERGES: usize = 32;
/// How long a block may wait for its siblings. It is kept beyond that, and followed when they come by another way and
/// something is built on it.
pub const WAIT_SIBLINGS_MS: u64 = 30_000;
/// Blocks beside the best chain of one miner and height that are passed on: no block may list more of one miner. Without
/// it a member's flood of stale blocks is multiplied by the number of connections.
pub const MAX_SIDE_RELAYS: usize = blockhie_core::limits::MAX_SIBLINGS_OF_MINER;
/// And of all miners between two ticks: eight times what an honest network with blocks of 100 ms finds.
pub const SIDE_RELAYS_PER_TICK: usize = 8;
/// (height, miner) pairs of which that is remembered; on an open chain anybody makes up miners.
pub const MAX_SIDE_KEYS: usize = 4_096;
/// Bytes of bodies fetched for blocks: eight of the largest blocks.
pub const BODY_POOL_BYTES: usize = 64 << 20;
/// Bytes of bodies that may serve a later block: refused by the mempool, or come too late.
pub const SPARE_POOL_BYTES: usize = 16 << 20;
/// Wanted bodies looked at in one go for a peer that can be asked. Without it each answer costs a scan of thousands.
pub const MAX_WANT_SCAN: usize = 64;

/// Blocks that a peer is known to have.
pub const SEEN_BLOCKS: usize = 256;
/// Transactions that a peer is known to have: a second of the highest load, and 400 KiB a peer.
pub const SEEN_TRANSACTIONS: usize = 4_096;
/// Waiting transactions that are offered to a peer that comes up, the newest. All others are offered when they come.
pub const MAX_UNCONFIRMED: usize = 20_000;
/// Of these, sent to one peer at a tick, so that live traffic is not drowned.
pub const OFFERS_PER_TICK: usize = 64;
/// What waits is offered again at this interval, the oldest first. Without it a transaction whose relay was lost waits
/// until this very node finds a block.
pub const REOFFER_MS: u64 = 30_000;
/// Of these, at most so many.
pub const MAX_REOFFERED: usize = 1_000;
/// Blocks walked back at most to offer again what a reorganisation abandoned.
pub const MAX_ABANDONED_WALK: u32 = 1_000;

/// Score at which a peer is banned. A block that is at fault is enough; nobody makes one by accident.
pub const BAN_SCORE: u32 = 100;
/// What a fault weighs. Nothing else knows these numbers.
#[must_use]
pub fn points(fault: Fault) -> u32 {
    match fault {
        Fault::Block | Fault::Answer => BAN_SCORE,
        Fault::Transaction => INVALID_TX_SCORE,
        Fault::Message => MALFORMED_SCORE,
    }
}

/// Score of an invalid transaction: four in a minute. One may come of a peer of another release.
pub const INVALID_TX_SCORE: u32 = 25;
/// Score of a message that was refused by its form: four in a minute. One may come of a peer of another release.
pub const MALFORMED_SCORE: u32 = 25;
/// Scores halve at this interval.
pub const SCORE_HALVES_MS: u64 = 60_000;
/// How long a ban lasts.
pub const BAN_MS: u64 = 3_600_000;
/// How long a static peer is left alone instead: a member's node may be repaired meanwhile.
pub const STATIC_BAN_MS: u64 = 10_000;

/// A template is made anew at least so often while mining, so that its time moves.
pub const TEMPLATE_MS: u64 = 500;
/// And at most so often for new transactions alone.
pub const TEMPLATE_GROWN_MS: u64 = 100;
/// Intervals for which a tip must have stood before a node that may not mine on it takes another chain of the same work,
/// on which it may. Without it members that each found the last block at one height wait for each other for ever.
pub const TIE_INTERVALS: u64 = 5;
/// Chains of the same work remembered for that; there are hardly more than members that mine.
pub const MAX_RIVALS: usize = 8;
/// Other members whose clocks have to be known before this node's is judged by the median of all: of three, and its own,
/// all three have to be off; of two, two would be enough.
pub const MIN_CLOCKS: usize = 3;
/// Blocks of a member whose times are kept. Of a backlog, read after a pause, all but the last came late.
pub const CLOCK_SAMPLES: usize = 3;
/// How long they count at least: where nobody mines because clocks were off, nothing newer comes, and the chain has to go
/// on by itself.
pub const CLOCK_SAMPLE_MS: u64 = 120_000;
/// How long they count, in blocks of each member in the mean. Of one that mines its share, 2 in 100 waits are longer.
pub const CLOCK_SAMPLE_BLOCKS: u64 = 4;
/// How long the clocks have to disagree before this node stops mining: by then a backlog is read.
pub const CLOCK_STEADY_MS: u64 = 5_000;
/// Headers remembered so that each counts once and a child's parent is found.
pub const CLOCK_SEEN: usize = 64;
/// Refused blocks that are noted one by one in [`REFUSALS_MS`]; of the others only how many. Without it a flood of bad
/// blocks fills the log, and each synced write of the store waits for the log's.
pub const MAX_REFUSALS: u32 = 20;
/// See [`MAX_REFUSALS`].
pub const REFUSALS_MS: u64 = 10_000;
/// Notes remembered so that one that repeats is given once.
pub const RECENT_NOTES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use blockhie_core::limits::{MAX_BLOCK_BYTES, MAX_BLOCK_TRANSACTIONS, MAX_BODY_BYTES};

    #[test]
    fn the_limits_fit_each_other() {
        const { assert!(MAX_HEIGHT_ASKS_PER_PEER + MAX_BODY_ASKS_PER_PEER < MAX_ASKS_PER_PEER) };
        const { assert!(MAX_ASKS_PER_PEER < 32) };
        // What is asked ahead fits into the pool, so that no block's bodies are evicted before it is complete.
        const { assert!(PREFETCH_BYTES + 2 * (MAX_BLOCK_BYTES as u64) <= BODY_POOL_BYTES as u64) };
        // One block's lists fit many times into the orphans' bytes, so that one peer cannot shut the others out.
        const { assert!(MAX_BLOCK_TRANSACTIONS as usize * 32 * 64 < MAX_ORPHAN_BYTES) };
        const { assert!(MAX_BODY_BYTES * 16 < SPARE_POOL_BYTES) };
        const { assert!(STALL_MS < REVIEW_MS && STALL_MS < WAIT_BODIES_MS && SOURCE_MS < WAIT_BODIES_MS) };
        // A whole window of fetches fits, and the largest block beside it.
        const { assert!(MAX_FETCHES as u64 * FETCH_BYTES + MAX_BLOCK_BYTES as u64 <= MAX_HELD_BYTES) };
        const { assert!(MAX_BLOCK_BYTES as usize <= SPARE_POOL_BYTES - 4_000 * 256, "a block's bodies wait in there") };
        const { assert!(FIRST_FETCH_BLOCKS <= MAX_FETCH_BLOCKS && MAX_FETCH_BLOCKS < MAX_WINDOW) };
        const { assert!(MAX_WINDOW <= MIN_HEADERS_AHEAD && MIN_HEADERS_AHEAD < MAX_HEADERS_AHEAD) };
        const { assert!(HEADERS_PER_FETCH as usize <= MIN_HEADERS_AHEAD && QUICK_FETCH_MS < STALL_MS) };
        const { assert!(INVALID_TX_SCORE < BAN_SCORE && MALFORMED_SCORE < BAN_SCORE && STATIC_BAN_MS < BAN_MS) };
    }
}
