//! Random numbers that are the same on every machine and in every release: a seed must replay.
//!
//! Integers only. Each subject draws from a stream of its own, so that, for example, the times at which blocks are
//! found do not depend on how many messages were sent.

use blockhie_core::sha256;

/// Binary places of [`Rng::exponential`].
const FRACTION: u32 = 24;
/// ln 2 with that many binary places.
const LN_2: u64 = 11_629_080;

/// SplitMix64 (Steele, Lea, Flood 2014).
#[derive(Debug, Clone)]
pub struct Rng {
    state: u64,
}

impl Rng {
    /// The stream of this name.
    #[must_use]
    pub fn stream(seed: u64, name: &str) -> Self {
        let hash = sha256(&[b"blockhie/sim/v1\0", &seed.to_be_bytes(), name.as_bytes()]);
        Self { state: u64::from_be_bytes(hash.0[..8].try_into().expect("8 of 32 bytes")) }
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `end`; 0 when that is 0. The bias is below 2^-32 for what is asked here.
    pub fn below(&mut self, end: u64) -> u64 {
        let wide = u128::from(self.bits()) * u128::from(end);
        u64::try_from(wide >> 64).expect("a product of two 64-bit numbers, shifted by 64")
    }

    /// From `least` to `most`, both included.
    pub fn within(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most.saturating_sub(least).saturating_add(1))
    }

    /// True this many times in a million.
    pub fn chance(&mut self, ppm: u32) -> bool {
        self.below(1_000_000) < u64::from(ppm)
    }

    /// An index of a list of this length.
    pub fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).expect("below a usize")
    }

    /// One of these.
    ///
    /// # Panics
    /// On an empty list.
    pub fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.index(list.len())]
    }

    /// 32 bytes.
    pub fn bytes(&mut self) -> [u8; 32] {
        let mut all = [0; 32];
        for part in all.chunks_exact_mut(8) {
            part.copy_from_slice(&self.bits().to_be_bytes());
        }
        all
    }

    /// Exponentially distributed with mean 1, in units of 2^-24: -ln u, by repeated squaring.
    pub fn exponential(&mut self) -> u64 {
        let u = self.bits() | 1;
        let zeros = u.leading_zeros();
        // The mantissa in [1, 2) with 63 binary places; its logarithm to base 2, bit by bit.
        let mut mantissa = u << zeros;
        let mut log = 0u64;
        for _ in 0..FRACTION {
            let square = (u128::from(mantissa) * u128::from(mantissa)) >> 63;
            let carried = square >> 64 != 0;
            mantissa = u64::try_from(if carried { square >> 1 } else { square }).expect("below 2^64 either way");
            log = (log << 1) | u64::from(carried);
        }
        // -log2(u / 2^64) = zeros + 1 - log2(mantissa).
        let exponent = ((u64::from(zeros) + 1) << FRACTION) - log;
        u64::try_from((u128::from(exponent) * u128::from(LN_2)) >> FRACTION).expect("at most 64·ln 2 in 2^-24")
    }

    /// Exponentially distributed with this mean.
    pub fn exponential_ms(&mut self, mean_ms: u64) -> u64 {
        scale(self.exponential(), mean_ms)
    }
}

/// `units`·2^-24 of `mean_ms`.
#[must_use]
pub fn scale(units: u64, mean_ms: u64) -> u64 {
    u64::try_from((u128::from(units) * u128::from(mean_ms)) >> FRACTION).unwrap_or(u64::MAX)
}

/// `ms` in units of 2^-24 of `mean_ms`.
#[must_use]
pub fn units(ms: u64, mean_ms: u64) -> u64 {
    u64::try_from((u128::from(ms) << FRACTION) / u128::from(mean_ms.max(1))).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_and_repeat() {
        let draw = |seed, name| Rng::stream(seed, name).bits();
        assert_eq!(draw(1, "a"), draw(1, "a"));
        assert!(draw(1, "a") != draw(1, "b") && draw(1, "a") != draw(2, "a"));
    }

    #[test]
    fn draws_have_their_means() {
        let mut rng = Rng::stream(7, "means");
        let n = 100_000;
        let mean = (0..n).map(|_| rng.exponential_ms(1_000)).sum::<u64>() / n;
        assert!((980..1_020).contains(&mean), "{mean}");
        // Above twice the mean: e^-2 = 13.5 %.
        let late = (0..n).filter(|_| rng.exponential_ms(1_000) > 2_000).count();
        assert!((13_000..14_000).contains(&late), "{late}");
        let mean = (0..n).map(|_| rng.within(10, 30)).sum::<u64>() / n;
        assert_eq!(mean, 20);
        let hits = (0..n).filter(|_| rng.chance(250_000)).count();
        assert!((24_000..26_000).contains(&hits), "{hits}");
        assert_eq!(units(scale(5 << 24, 400), 400), 5 << 24);
    }
}
