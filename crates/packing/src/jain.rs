//! Jain's fairness index.

/// 2^128 as a float, the weight of one carry out of a `u128`.
const TWO_POW_128: f64 = 340_282_366_920_938_463_463_374_607_431_768_211_456.0;

/// Jain's fairness index `(Σt)² / (n · Σt²)` of waiting times in milliseconds.
///
/// Between 1/n (one waited, nobody else did) and 1 (all waited alike). 1.0 for an empty slice and
/// when all are equal, all zero included. Both sums are exact integers and only the final quotient
/// is rounded, so the result depends neither on the order of the slice nor on its magnitude.
///
/// Source: R. Jain, D. Chiu, W. Hawe, "A quantitative measure of fairness and discrimination",
/// DEC-TR-301, 1984.
///
/// ```
/// use blockhie_packing::jain_index;
/// assert_eq!(jain_index(&[u64::MAX; 3]), 1.0);
/// assert_eq!(jain_index(&[u64::MAX, 0, 0, 0]), 0.25);
/// ```
#[must_use]
pub fn jain_index(waits: &[u64]) -> f64 {
    // Equal values are 1 by definition; said here so that rounding cannot make it 0.999….
    if waits.windows(2).all(|pair| pair[0] == pair[1]) {
        return 1.0;
    }
    let mut sum: u128 = 0; // n < 2^64 terms below 2^64: cannot overflow
    let mut squares_low: u128 = 0;
    let mut squares_carry: u64 = 0;
    for &wait in waits {
        let wait = u128::from(wait);
        sum += wait;
        let (low, carried) = squares_low.overflowing_add(wait * wait);
        squares_low = low;
        squares_carry += u64::from(carried);
    }
    let squares = squares_carry as f64 * TWO_POW_128 + squares_low as f64;
    let sum = sum as f64;
    let count = waits.len() as f64;
    // sum <= 2^128, so sum² <= 2^256 is far inside an f64. Near-equal values may round above 1.
    (sum * sum / (count * squares)).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn equal_waits_and_no_waits_are_perfectly_fair() {
        for waits in [vec![], vec![0], vec![0; 7], vec![7], vec![3; 10], vec![u64::MAX; 1_000]] {
            assert_eq!(jain_index(&waits), 1.0, "{waits:?}");
        }
        // The quotient of these is rounded to just below 1.
        for (wait, count) in [(28_868_794_623, 1_826), (202_382_681_329, 2_579), (7_326_017_993_837_897, 820)] {
            assert_eq!(jain_index(&vec![wait; count]), 1.0, "{count} of {wait}");
        }
    }

    #[test]
    fn nearly_equal_waits_are_not_rounded_above_1() {
        for (wait, count) in [(10u64.pow(15), 7), (10u64.pow(18), 14), (999_999_999_999, 15)] {
            let mut waits = vec![wait; count];
            waits[0] += 1;
            assert!(jain_index(&waits) <= 1.0, "{waits:?}");
        }
    }

    #[test]
    fn one_waiter_among_n_is_one_nth() {
        for wait in [1, 1_000, u64::MAX] {
            assert_eq!(jain_index(&[0, wait, 0, 0]), 0.25);
        }
    }

    #[test]
    fn sums_of_squares_above_u128_are_carried() {
        // Half at the maximum, half at zero: exactly one half, with 500 terms of nearly 2^128.
        let mut waits = vec![u64::MAX; 500];
        waits.extend([0; 500]);
        assert!((jain_index(&waits) - 0.5).abs() < 1e-15);
    }

    #[test]
    fn known_value() {
        // (1+2+3)² / (3·(1+4+9)) = 36/42
        assert!((jain_index(&[1, 2, 3]) - 36.0 / 42.0).abs() < 1e-15);
    }

    proptest! {
        #[test]
        fn stays_in_its_range_and_ignores_order_and_scale(
            waits in prop::collection::vec(any::<u32>(), 1..40),
        ) {
            let waits: Vec<u64> = waits.into_iter().map(u64::from).collect();
            let index = jain_index(&waits);
            prop_assert!(index <= 1.0 && index >= (1.0 - 1e-12) / waits.len() as f64);
            let mut reversed = waits.clone();
            reversed.reverse();
            prop_assert_eq!(index, jain_index(&reversed));
            let scaled: Vec<u64> = waits.iter().map(|wait| wait << 32).collect();
            prop_assert!((index - jain_index(&scaled)).abs() < 1e-12);
        }

        #[test]
        fn never_breaks_on_huge_waits(waits in prop::collection::vec(u64::MAX - 9..=u64::MAX, 1..40)) {
            let index = jain_index(&waits);
            prop_assert!(index <= 1.0 && index > 1.0 - 1e-9);
        }
    }
}
