//! Compact targets: the 4-byte form of a 256-bit proof-of-work bound (protocol page, "Work").

use primitive_types::U256;
use std::fmt;

/// A compact target that is not canonical.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("compact target {got:#010x}: expected exponent 3 to 32 and mantissa 0x008000 to 0x7fffff")]
pub struct TargetError {
    /// The four bytes as an integer.
    pub got: u32,
}

/// A canonical compact target: exponent e (1 byte), mantissa m (3 bytes), meaning m·256^(e-3).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct CompactTarget(u32);

const MANTISSA_LEAST: u32 = 0x00_8000;
const MANTISSA_MOST: u32 = 0x7f_ffff;

impl CompactTarget {
    /// The hardest one, 0x8000: what every target is clamped to from below.
    pub const LEAST: Self = Self(0x0300_8000);
    /// The easiest one there is.
    pub const MOST: Self = Self(0x207f_ffff);

    /// Checks the four bytes.
    ///
    /// # Errors
    /// [`TargetError`] when they are not canonical.
    pub fn new(compact: u32) -> Result<Self, TargetError> {
        let (exponent, mantissa) = (compact >> 24, compact & 0xff_ffff);
        let canonical = (3..=32).contains(&exponent) && (MANTISSA_LEAST..=MANTISSA_MOST).contains(&mantissa);
        if canonical { Ok(Self(compact)) } else { Err(TargetError { got: compact }) }
    }

    /// The four bytes as an integer.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0
    }

    /// The 256-bit bound: a hash, read big-endian, has to be at most this.
    #[must_use]
    pub fn to_u256(self) -> U256 {
        // 0x7fffff·256^29 < 2^255, so the shift loses nothing.
        U256::from(self.0 & 0xff_ffff) << (8 * ((self.0 >> 24) - 3))
    }

    /// The largest canonical compact target that is not above `target`, clamped to [`Self::LEAST`] and [`Self::MOST`].
    #[must_use]
    pub fn from_u256(target: U256) -> Self {
        if target <= Self::LEAST.to_u256() {
            return Self::LEAST;
        }
        if target >= Self::MOST.to_u256() {
            return Self::MOST;
        }
        let bits = target.bits();
        // A mantissa of 16 to 23 bits: 0x008000 to 0x7fffff.
        let exponent = bits / 8 + 1;
        let mantissa = (target >> (8 * (exponent - 3))).low_u32();
        let exponent = u32::try_from(exponent).expect("at most 256 bits / 8 + 1");
        Self(exponent << 24 | mantissa)
    }

    /// Expected number of hashes for a block: ⌊2^256/(target+1)⌋.
    #[must_use]
    pub fn work(self) -> U256 {
        let target = self.to_u256();
        // 2^256 itself does not fit: ⌊2^256/(t+1)⌋ = ⌊(2^256-1-t)/(t+1)⌋ + 1.
        (!target / (target + 1)) + 1
    }
}

impl fmt::Debug for CompactTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CompactTarget({:#010x})", self.0)
    }
}

impl fmt::Display for CompactTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl TryFrom<u32> for CompactTarget {
    type Error = TargetError;
    fn try_from(compact: u32) -> Result<Self, TargetError> {
        Self::new(compact)
    }
}

impl From<CompactTarget> for u32 {
    fn from(target: CompactTarget) -> Self {
        target.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_canonical_forms_are_admitted() {
        for bad in [0, 0x0200_8000, 0x2100_8000, 0x0300_7fff, 0x0380_0000, 0xffff_ffff] {
            assert_eq!(CompactTarget::new(bad), Err(TargetError { got: bad }));
        }
        assert_eq!(CompactTarget::LEAST.to_u256(), U256::from(0x8000));
    }

    proptest! {
        #[test]
        fn encoding_truncates_and_comes_back(e in 3u32..=32, m in 0x8000u32..=0x7f_ffff, low: u64) {
            let target = CompactTarget::new(e << 24 | m).unwrap();
            prop_assert_eq!(CompactTarget::from_u256(target.to_u256()), target);
            let dirt = if e >= 11 { U256::from(low) } else { U256::zero() };
            prop_assert_eq!(CompactTarget::from_u256(target.to_u256() + dirt), target);
        }

        #[test]
        fn work_is_the_quotient(e in 3u32..=32, m in 0x8000u32..=0x7f_ffff) {
            let target = CompactTarget::new(e << 24 | m).unwrap();
            let wide = primitive_types::U512::from(target.to_u256()) + 1;
            let quotient = (primitive_types::U512::one() << 256) / wide;
            prop_assert_eq!(primitive_types::U512::from(target.work()), quotient);
        }
    }
}
