//! What a caller of this crate can get wrong.

/// A request that no selection answers. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PackingError {
    /// The subset size m was zero.
    #[error("subset size m: expected at least 1, got {got}")]
    SubsetSize {
        /// The size asked for.
        got: usize,
    },
    /// The rank k was zero or above [`MAX_K`](crate::MAX_K).
    #[error("rank k: expected 1 to {max}, got {got}")]
    RankOutOfRange {
        /// The largest rank allowed.
        max: usize,
        /// The rank asked for.
        got: usize,
    },
    /// The exponent of [`WaitSampling`](crate::WaitSampling) was above [`MAX_ALPHA`](crate::MAX_ALPHA).
    #[error("exponent alpha: expected 0 to {max}, got {got}")]
    Exponent {
        /// The largest exponent allowed.
        max: u32,
        /// The exponent asked for.
        got: u32,
    },
    /// No policy has this name.
    #[error("packing policy: expected one of {}, got {got:?}", expected.join(", "))]
    UnknownPolicy {
        /// Every name that exists, [`POLICY_NAMES`](crate::POLICY_NAMES).
        expected: &'static [&'static str],
        /// The name asked for.
        got: String,
    },
}
