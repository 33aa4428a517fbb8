//! Every bound of the ledger in one place, each with its reason and what breaks without it.

/// Largest transaction body in bytes (protocol page): a block of `m` bodies has to be fetched one by one.
pub const MAX_BODY_BYTES: usize = 65_536;
/// Bytes in a body before the payload: version and signature.
pub const BODY_PREFIX_BYTES: usize = 65;
/// Largest `m`, transactions in a block: 4,000 hashes are 128 KB, well inside one message.
pub const MAX_BLOCK_TRANSACTIONS: u32 = 4_000;
/// Least and most of `max_bytes`, Σ len(body) of a block: a body must fit, and a block must stay fetchable.
pub const MIN_BLOCK_BYTES: u32 = 65_536;
/// See [`MIN_BLOCK_BYTES`].
pub const MAX_BLOCK_BYTES: u32 = 8_388_608;
/// Members in a genesis (one byte counts them in spacing and quorum).
pub const MAX_MEMBERS: usize = 255;
/// Bytes of a chain's or member's name.
pub const MAX_NAME_BYTES: usize = 255;
/// Integers in JSON documents stay below this, so that every reader keeps them exactly.
pub const JSON_INTEGER_END: u64 = 1 << 53;
/// A time further ahead of the local clock than max(this, 10·T) is "not yet".
pub const MIN_FUTURE_MS: u64 = 5_000;
/// Transactions waiting at most. Without it a sender fills the memory of every node; at 512 bytes each, 50 MB.
pub const MAX_MEMPOOL_TRANSACTIONS: usize = 100_000;
/// Bytes of waiting bodies at most, for the same reason with large bodies.
pub const MAX_MEMPOOL_BYTES: u64 = 256 << 20;
/// Part of the mempool one sender may hold (1/4): one key at ten times the load must not shut the others out.
pub const MEMPOOL_SENDER_SHARE: usize = 4;
/// Parked transactions (void where the chain stands) kept at most, beside those that wait. Without it whoever submits
/// conflicting ones to different nodes fills their memory for good; the longest untried go first.
pub const MAX_PARKED_TRANSACTIONS: usize = 10_000;
/// Bytes of parked bodies at most, for the same reason with large bodies.
pub const MAX_PARKED_BYTES: u64 = 32 << 20;
/// Parked ones tried again with each block, and never more than one round of a template picks: void ones have often
/// waited longest, so more of them would be all that a policy picks.
pub const MAX_RETRIED: usize = 64;
/// A receipt's text in bytes (protocol page).
pub const MAX_RECEIPT_BYTES: usize = 1 << 20;
/// Headers in a run: 0.65 KiB each, so that the receipt stays below [`MAX_RECEIPT_BYTES`].
pub const MAX_RUN_HEADERS: usize = 1_024;
/// Headers looked through for a receipt's run: 12 days of blocks a second. Who asks for a receipt whose quorum came
/// later than that gets one that is not final.
pub const MAX_RUN_SEARCH: u64 = 1 << 20;
/// Siblings with one miner in a block (protocol page): what one member's flood can put into a block of others.
pub const MAX_SIBLINGS_OF_MINER: usize = 2;
/// Blocks beside the best chain that a template looks through. Without it whoever floods with stale blocks makes each
/// template read them all; the lowest come first, so they leave the window and make room.
pub const MAX_SIBLING_CANDIDATES: usize = 1_024;
/// Blocks by which the tip must have grown before a block beside it is dropped, however stale: 17 minutes of blocks of a
/// second. Without it a heavier branch that takes minutes to fetch loses its beginning meanwhile.
pub const KEEP_STALE_BLOCKS: u64 = 1_024;
/// Blocks beside the best chain that each new tip looks at for dropping: more than one interval brings. Without it one
/// block pays for all that a partition left.
pub const STALE_LOOKED_AT: usize = 32;
/// Transactions of dropped blocks whose bodies are looked at with each new tip, and at least those of one block: a full
/// block of the largest chain. Without it one tip pays for 32 of them.
pub const STALE_BODIES: usize = 4_000;
/// Least depth below which a node may prune bodies: whatever stands beside the chain and is kept, and whatever may still
/// be merged (W is one byte), leaves the chain above it. Without it a branch that is just being fetched could not be
/// followed.
pub const MIN_PRUNE_DEPTH: u64 = KEEP_STALE_BLOCKS + 256;
/// Bodies looked at in one step of pruning: some milliseconds of the one thread that writes. Without it a node that is
/// told to prune an old store stands still until it is done.
pub const PRUNED_AT_ONCE: usize = 512;
/// Missing blocks named at a time: all that one block can list on most chains, and more once these have come.
pub const MAX_NAMED_BLOCKS: usize = 64;
/// Most of (L + 1)·m, the transactions that one block commits with its siblings': its undo must stay below what a store
/// takes as one value (32 MiB).
pub const MAX_COMMITTED: u32 = 40_000;
/// Rounds in which a template drops what would be void and picks again; each round drops at least one.
pub const MAX_TEMPLATE_ROUNDS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_fit_each_other() {
        const { assert!(MAX_BODY_BYTES <= MIN_BLOCK_BYTES as usize, "any valid body fits into any chain's block") };
        const { assert!(BODY_PREFIX_BYTES < MAX_BODY_BYTES) };
        const { assert!(MAX_COMMITTED >= 9 * MAX_BLOCK_TRANSACTIONS, "the largest block with the default L") };
        const { assert!(STALE_BODIES >= MAX_BLOCK_TRANSACTIONS as usize, "a full block in one go") };
        const { assert!(MIN_PRUNE_DEPTH > KEEP_STALE_BLOCKS + u8::MAX as u64, "what may be merged is never pruned") };
        const { assert!(KEEP_STALE_BLOCKS > u8::MAX as u64, "what may be merged is never dropped: W is one byte") };
        // header 480 hex digits, signature 128, and the keys around them
        const { assert!(MAX_RUN_HEADERS * (480 + 128 + 32) + 2 * MAX_BODY_BYTES + 65_536 < MAX_RECEIPT_BYTES) };
        const { assert!(MAX_MEMPOOL_TRANSACTIONS / MEMPOOL_SENDER_SHARE > MAX_BLOCK_TRANSACTIONS as usize) };
    }
}
