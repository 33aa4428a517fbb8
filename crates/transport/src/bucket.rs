//! Token buckets: integers on a monotonic clock.

use std::time::Instant;

/// How much at once, and how much each second after that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Tokens that a full bucket holds.
    pub burst: u32,
    /// Tokens that come back each second, up to `burst`.
    pub per_second: u32,
}

/// What is left of a [`Rate`].
#[derive(Debug, Clone, Copy)]
pub struct Bucket {
    /// Thousandths of a token.
    left: u64,
    at: Instant,
}

impl Bucket {
    /// A full one.
    #[must_use]
    pub fn full(rate: Rate, now: Instant) -> Self {
        Self { left: u64::from(rate.burst) * 1_000, at: now }
    }

    fn refill(&mut self, rate: Rate, now: Instant) {
        let passed_ms = u64::try_from(now.saturating_duration_since(self.at).as_millis()).unwrap_or(u64::MAX);
        if passed_ms == 0 {
            return;
        }
        // The rest of a millisecond is not lost: `at` moves by whole ones.
        self.at += std::time::Duration::from_millis(passed_ms);
        let came = passed_ms.saturating_mul(u64::from(rate.per_second));
        self.left = self.left.saturating_add(came).min(u64::from(rate.burst) * 1_000);
    }

    /// Takes `cost` tokens, if there are so many.
    pub fn take(&mut self, cost: u32, rate: Rate, now: Instant) -> bool {
        self.refill(rate, now);
        let cost = u64::from(cost) * 1_000;
        let enough = self.left >= cost;
        if enough {
            self.left -= cost;
        }
        enough
    }

    /// Takes `cost` tokens, or what there is.
    pub fn drain(&mut self, cost: u32, rate: Rate, now: Instant) {
        self.refill(rate, now);
        self.left = self.left.saturating_sub(u64::from(cost) * 1_000);
    }

    /// Whether at least `tokens` are left.
    pub fn holds(&mut self, tokens: u32, rate: Rate, now: Instant) -> bool {
        self.refill(rate, now);
        self.left >= u64::from(tokens) * 1_000
    }

    /// Whether not one token is left.
    pub fn is_empty(&mut self, rate: Rate, now: Instant) -> bool {
        !self.holds(1, rate, now)
    }

    /// Whether nothing is missing: it may be forgotten.
    pub fn is_full(&mut self, rate: Rate, now: Instant) -> bool {
        self.holds(rate.burst, rate, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_burst_and_then_the_rate() {
        let (rate, start) = (Rate { burst: 10, per_second: 4 }, Instant::now());
        let at = |ms: u64| start + Duration::from_millis(ms);
        let mut bucket = Bucket::full(rate, start);
        assert!((0..10).all(|_| bucket.take(1, rate, start)) && !bucket.take(1, rate, start));
        assert!(!bucket.take(1, rate, at(249)) && bucket.take(1, rate, at(250)) && !bucket.take(1, rate, at(499)));
        assert!(bucket.is_empty(rate, at(499)) && !bucket.is_empty(rate, at(500)));
        assert!(bucket.holds(10, rate, at(600_000)) && !bucket.holds(11, rate, at(600_000)));
        assert!(bucket.take(10, rate, at(600_000)), "no more than a burst is saved");
        assert!(!bucket.take(1, rate, at(600_000)) && !bucket.is_full(rate, at(600_001)));
        assert!(bucket.is_full(rate, at(700_000)));
        bucket.drain(100, rate, at(700_000));
        assert!(bucket.is_empty(rate, at(700_100)));
    }
}
