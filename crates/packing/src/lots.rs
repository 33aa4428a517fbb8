//! Drawing lots alike on every machine: integers only.

use std::hash::{Hash, Hasher};

/// Odd constants from the binary digits of π, as far as they are arbitrary.
const KEYS: [u64; 3] = [0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7345, 0xa409_3822_299f_31d1];

/// Both halves of a product, folded.
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    high(product) ^ low(product)
}

fn low(value: u128) -> u64 {
    u64::try_from(value & u128::from(u64::MAX)).expect("64 bits are left")
}

fn high(value: u128) -> u64 {
    u64::try_from(value >> 64).expect("64 bits are left")
}

/// A hash that depends on what is hashed and on nothing else: no random key, integers of any width as 64 bits, bytes in
/// little-endian pairs of words. It spreads well and does not withstand one who may choose among many ids.
struct Lot(u64);

impl Lot {
    fn mix(&mut self, pair: [u8; 16]) {
        let pair = u128::from_le_bytes(pair);
        self.0 = fold(self.0 ^ low(pair) ^ KEYS[0], high(pair) ^ KEYS[1]).wrapping_add(KEYS[2]);
    }
}

impl Hasher for Lot {
    fn finish(&self) -> u64 {
        fold(self.0 ^ KEYS[2], KEYS[1])
    }

    fn write(&mut self, bytes: &[u8]) {
        let (whole, rest) = bytes.as_chunks::<16>();
        whole.iter().for_each(|pair| self.mix(*pair));
        if !rest.is_empty() {
            let mut last = [0; 16];
            last[..rest.len()].copy_from_slice(rest);
            self.mix(last);
        }
        self.write_u64(bytes.len() as u64);
    }

    fn write_u8(&mut self, value: u8) {
        self.write_u64(u64::from(value));
    }

    fn write_u16(&mut self, value: u16) {
        self.write_u64(u64::from(value));
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = fold(self.0 ^ value ^ KEYS[0], KEYS[1]).wrapping_add(KEYS[2]);
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }
}

/// A number from `seed` and whatever can be hashed, the same on every machine.
pub(crate) fn lot(seed: u64, of: &impl Hash) -> u64 {
    let mut hasher = Lot(fold(seed ^ KEYS[1], KEYS[0]));
    of.hash(&mut hasher);
    hasher.finish()
}

/// SplitMix64: a stream of numbers from one.
struct Stream(u64);

impl Stream {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// A number drawn from the exponential distribution with mean 1, in units of 2^-64.
///
/// Von Neumann's method, which only compares uniform numbers: of a falling run that starts with u, an odd length has the
/// chance e^-u; an even one adds 1 and begins again.
pub(crate) fn exponential(seed: u64) -> u128 {
    let mut stream = Stream(seed);
    let mut whole = 0_u128;
    loop {
        let first = stream.next();
        let (mut previous, mut odd) = (first, true);
        loop {
            let next = stream.next();
            if next >= previous {
                break;
            }
            (previous, odd) = (next, !odd);
        }
        if odd {
            return (whole << 64) + u128::from(first);
        }
        whole += 1;
    }
}

/// A number as mantissa · 2^exponent with 64 bits of precision, rounded down; ordered by value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Scaled {
    exponent: i64,
    /// Its highest bit is set, except in zero.
    mantissa: u64,
}

impl Scaled {
    const ZERO: Self = Self { exponent: i64::MIN, mantissa: 0 };

    /// Larger than every quotient; among these the order of `value`.
    pub(crate) fn beyond(value: u128) -> Self {
        Self { exponent: i64::MAX, mantissa: u64::try_from(value >> 32).unwrap_or(u64::MAX) }
    }

    pub(crate) fn new(value: u128) -> Self {
        Self::normal(value, 0)
    }

    fn normal(value: u128, exponent: i64) -> Self {
        if value == 0 {
            return Self::ZERO;
        }
        let shift = value.leading_zeros();
        Self { exponent: exponent + 64 - i64::from(shift), mantissa: high(value << shift) }
    }

    fn times(self, other: Self) -> Self {
        Self::normal(u128::from(self.mantissa) * u128::from(other.mantissa), self.exponent + other.exponent)
    }

    /// Zero has no powers here: `self` is above zero.
    pub(crate) fn power(self, exponent: u32) -> Self {
        (0..exponent).fold(Self::new(1), |product, _| product.times(self))
    }

    /// `divisor` is above zero.
    pub(crate) fn over(self, divisor: Self) -> Self {
        if self.mantissa == 0 {
            return Self::ZERO;
        }
        let quotient = (u128::from(self.mantissa) << 64) / u128::from(divisor.mantissa);
        Self::normal(quotient, self.exponent - divisor.exponent - 64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lots_are_the_same_everywhere() {
        // Fixed by this test: a change would let nodes of two releases disagree on a transaction's class.
        let of = |value: u64| lot(7, &value);
        assert_eq!([of(0), of(1)], FIXED);
        assert_eq!(lot(7, &[1_u8; 32]), FIXED_BYTES);
        assert_eq!(lot(7, &5_usize), lot(7, &5_u32));
        assert_ne!(lot(7, &5_u8), lot(8, &5_u8));
    }

    const FIXED: [u64; 2] = [11_950_523_961_491_610_740, 6_096_504_457_186_446_035];
    const FIXED_BYTES: u64 = 14_858_198_541_929_830_215;

    #[test]
    fn lots_are_even() {
        let mut classes = [0_u32; 8];
        for id in 0..80_000_u64 {
            classes[usize::try_from(lot(0, &id) % 8).unwrap()] += 1;
        }
        // Ten thousand each; five standard deviations are 468.
        assert!(classes.iter().all(|count| count.abs_diff(10_000) < 468), "{classes:?}");
    }

    #[test]
    fn exponential_has_its_distribution() {
        let draws: Vec<f64> = (0..200_000).map(|seed| exponential(lot(1, &seed)) as f64 / 2_f64.powi(64)).collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        assert!((mean - 1.0).abs() < 0.012, "{mean}");
        for at in [0.001, 0.1, 0.5, 1.0, 2.0, 4.0] {
            let share = draws.iter().filter(|draw| **draw <= at).count() as f64 / draws.len() as f64;
            assert!((share - (1.0 - (-at).exp())).abs() < 0.006, "{at}: {share}");
        }
    }

    #[test]
    fn scaled_numbers_keep_the_order_and_the_value() {
        let value = |scaled: Scaled| scaled.mantissa as f64 * 2_f64.powi(i32::try_from(scaled.exponent).unwrap());
        for (a, b) in [(1_u128, 3_u128), (7, 7), (u128::from(u64::MAX), 1), (1 << 70, 12_345)] {
            let quotient = Scaled::new(a).over(Scaled::new(b));
            assert!((value(quotient) / (a as f64 / b as f64) - 1.0).abs() < 1e-12);
            assert_eq!(Scaled::new(a).cmp(&Scaled::new(b)), a.cmp(&b));
        }
        let cube = Scaled::new(u128::from(u64::MAX)).power(3);
        assert!((value(cube) / (u64::MAX as f64).powi(3) - 1.0).abs() < 1e-12);
        assert_eq!(Scaled::new(9).power(0), Scaled::new(1));
        assert!(Scaled::ZERO < Scaled::new(1) && cube < Scaled::beyond(0));
        assert_eq!(Scaled::new(0).over(cube), Scaled::ZERO);
    }
}
