//! The seam to the proof of work.

use crate::block::Header;
use crate::bytes::BlockHash;
use crate::target::CompactTarget;
use primitive_types::U256;

/// What the difficulty rule may know of the parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParentContext {
    /// Height of the parent.
    pub height: u64,
    /// Time of the parent, ms.
    pub time_ms: u64,
    /// λ(parent): the bounded lag of the chain behind its schedule, ms; negative when blocks came too fast.
    pub lag_ms: i128,
}

/// A header whose hash does not answer its target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("proof of work: expected a hash of at most {target}, got {got}")]
pub struct WorkError {
    /// The bound, 64 hex digits.
    pub target: String,
    /// The hash.
    pub got: BlockHash,
}

/// How a chain weighs and spaces its blocks. Proof of work, or none.
pub trait Consensus: Send + Sync {
    /// The target that a child of this parent must claim.
    fn required_target(&self, parent: &ParentContext) -> CompactTarget;

    /// λ of a child of this parent with time `time_ms`. A block's own time never enters its own target.
    fn next_lag(&self, parent: &ParentContext, time_ms: u64) -> i128;

    /// Whether the hash of this header answers the target it claims.
    ///
    /// # Errors
    /// [`WorkError`] with expected and got.
    fn check(&self, header: &Header, hash: &BlockHash) -> Result<(), WorkError>;

    /// Weight of a block with this target.
    fn work(&self, target: CompactTarget) -> U256;
}
