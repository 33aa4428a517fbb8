use super::*;
use proptest::prelude::*;
use serde_json::Value;

fn vectors() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol/vectors.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn int(value: &Value) -> i128 {
    value.to_string().parse().unwrap()
}

fn compact(value: &Value) -> CompactTarget {
    CompactTarget::new(u32::try_from(int(value)).unwrap()).unwrap()
}

fn list(value: &Value) -> &[Value] {
    let rows = value.as_array().unwrap();
    assert!(!rows.is_empty());
    rows
}

fn u256(value: &Value) -> U256 {
    U256::from_big_endian(&hex::decode(value.as_str().unwrap()).unwrap())
}

#[test]
fn compact_targets_and_work_as_the_vectors_say() {
    let group = &vectors()["compact"];
    for row in list(&group["decode"]) {
        assert_eq!(compact(&row["compact"]).to_u256(), u256(&row["target"]));
        assert_eq!(compact(&row["compact"]).work(), u256(&row["work"]));
    }
    for row in list(&group["encode"]) {
        assert_eq!(CompactTarget::from_u256(u256(&row["target"])), compact(&row["compact"]));
        assert_eq!(compact(&row["compact"]).to_u256(), u256(&row["decoded"]));
    }
    for row in list(&group["invalid"]) {
        assert!(CompactTarget::new(u32::try_from(int(&row["compact"])).unwrap()).is_err(), "{row}");
    }
    for row in list(&group["chain_work"]) {
        let targets = row["targets"].as_array().unwrap();
        let sum = targets.iter().fold(U256::zero(), |sum, target| sum + compact(target).work());
        assert_eq!(sum, u256(&row["work"]));
    }
}

#[test]
fn the_cubic_as_the_vectors_say() {
    for row in list(&vectors()["asert"]["factor"]) {
        assert_eq!(factor(int(&row["f"]).unsigned_abs()), int(&row["factor"]).unsigned_abs(), "{row}");
    }
}

#[test]
fn one_lag_as_the_vectors_say() {
    let vectors = vectors();
    for group in ["function", "published"] {
        for row in list(&vectors["asert"][group]) {
            let half_life = u64::try_from(int(&row["half_life"])).unwrap();
            let lag = int(&row["lag"]);
            let target = asert_target(lag, half_life, compact(&row["first"]), compact(&row["most"]));
            assert_eq!(target, compact(&row["target"]), "{row}");
            if group == "function" {
                let x = exponent(lag, half_life);
                assert_eq!((x, x >> 16, x & 0xffff), (int(&row["x"]), int(&row["n"]), int(&row["f"])), "{row}");
            }
        }
    }
}

#[test]
fn the_rule_along_chains_as_the_vectors_say() {
    for row in list(&vectors()["asert"]["rule"]) {
        let rule = Difficulty {
            first_target: compact(&row["first_target"]),
            most_target: compact(&row["most_target"]),
            half_life_ms: row["half_life_ms"].as_u64().unwrap(),
            interval_ms: u32::try_from(int(&row["t_ms"])).unwrap(),
        };
        let times: Vec<u64> = list(&row["times_ms"]).iter().map(|time| time.as_u64().unwrap()).collect();
        let mut lag = 0;
        for (i, time) in times.iter().enumerate() {
            if i > 0 {
                lag = rule.next_lag(lag, times[i - 1], *time);
            }
            assert_eq!(lag, int(&row["lag_ms"][i]), "{} {i}", row["name"]);
            assert_eq!(rule.target(lag), compact(&row["child_target"][i]), "{} {i}", row["name"]);
        }
    }
}

fn default_rule() -> Difficulty {
    let first_target = first_target_for(2, 1 << 15, 1_000);
    Difficulty { first_target, most_target: CompactTarget::MOST, half_life_ms: 144_000, interval_ms: 1_000 }
}

/// Uniform in (0, 1], from splitmix64: the test must give the same answer everywhere.
fn uniform(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11).wrapping_add(1) as f64 / (1u64 << 53) as f64
}

/// Mean interval in ms over `count` blocks, after as many to settle, mined with `hashes_per_ms` in all.
fn mean_interval(rule: &Difficulty, hashes_per_ms: f64, count: u32, seed: u64) -> f64 {
    let (mut state, mut lag, mut time, mut settled) = (seed, 0, 1_750_000_000_000u64, 0);
    for i in 0..2 * count {
        if i == count {
            settled = time;
        }
        let work = rule.target(lag).work().low_u128() as f64;
        // ⌊x⌋ + 1 is at least the millisecond by which times must grow, and means 1/2 ms more.
        let wait = (-uniform(&mut state).ln() * work / hashes_per_ms).floor();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a wait of some seconds")]
        let next = time + wait as u64 + 1;
        lag = rule.next_lag(lag, time, next);
        time = next;
    }
    (time - settled) as f64 / f64::from(count)
}

#[test]
fn constant_hash_power_gives_the_wanted_interval() {
    let rule = default_rule();
    // What the first target was made for, an eighth and fifty times of it.
    for power in [65.536, 8.192, 3_276.8] {
        for seed in 1..=3 {
            let mean = mean_interval(&rule, power, 5_000, seed);
            assert!((mean - 1_000.0).abs() < 20.0, "power {power}, seed {seed}: {mean} ms");
        }
    }
}

#[test]
fn a_first_target_asks_for_the_work_of_an_interval() {
    for (members, rate, interval) in [(1, 1 << 15, 1_000), (2, 1 << 15, 1_000), (8, 1 << 15, 5_000), (3, 1_000, 100)] {
        let wanted = u128::try_from(members).unwrap() * u128::from(rate) * u128::from(interval) / 1_000;
        let work = first_target_for(members, rate, interval).work().low_u128();
        assert!(work.abs_diff(wanted) <= wanted / 1_000 + 1, "{members} {rate} {interval}: {work} for {wanted}");
    }
    assert_eq!(first_target_for(0, 0, 0), CompactTarget::MOST);
    assert_eq!(first_target_for(1, 1, 1), CompactTarget::MOST);
    assert!(first_target_for(usize::MAX, u64::MAX, u32::MAX) < first_target_for(2, 1 << 15, 1_000));
}

#[test]
fn an_outage_adds_at_most_two_half_lives() {
    let rule = default_rule();
    let hour = rule.next_lag(0, 0, 3_600_000);
    assert_eq!(hour, 287_000);
    assert_eq!(rule.next_lag(0, 0, u64::MAX), hour);
    // The target is as easy as first·4 then, not as first·2^25.
    assert!(rule.target(hour).to_u256() < rule.first_target.to_u256() * 4);
}

fn targets() -> impl Strategy<Value = CompactTarget> {
    (3u32..=32, 0x8000u32..=0x7f_ffff).prop_map(|(e, m)| CompactTarget::new(e << 24 | m).unwrap())
}

fn ordered() -> impl Strategy<Value = (CompactTarget, CompactTarget)> {
    (targets(), targets()).prop_map(|(a, b)| (a.min(b), a.max(b)))
}

fn lags() -> impl Strategy<Value = i128> {
    prop_oneof![any::<i128>(), -100_000_000i128..100_000_000, Just(i128::MIN), Just(i128::MAX)]
}

proptest! {
    #[test]
    fn more_lag_is_never_harder(a in lags(), b in lags(), half_life in 0u64.., pair in ordered()) {
        let (first, most) = pair;
        let (low, high) = (asert_target(a.min(b), half_life, first, most), asert_target(a.max(b), half_life, first, most));
        prop_assert!(low <= high);
        prop_assert!(CompactTarget::LEAST <= low && high <= most);
    }

    #[test]
    fn no_lag_is_the_first_target(half_life in 1u64.., pair in ordered()) {
        prop_assert_eq!(asert_target(0, half_life, pair.0, pair.1), pair.0);
    }

    #[test]
    fn a_half_life_doubles(half_life in 1u64..1 << 53, first in targets(), n in -20i128..20) {
        let target = asert_target(n * i128::from(half_life), half_life, first, CompactTarget::MOST);
        let exact = U512::from(first.to_u256());
        let exact = if n >= 0 { exact << n.unsigned_abs() } else { exact >> n.unsigned_abs() };
        let exact = exact.min(U512::from(CompactTarget::MOST.to_u256()));
        prop_assert_eq!(target, CompactTarget::from_u256(U256::try_from(exact).unwrap()));
    }

    #[test]
    fn the_lag_is_bounded(
        lag in lags(), before: u64, after: u64, interval_ms in 1u32.., half_life_ms in 1u64.., pair in ordered(),
    ) {
        let rule = Difficulty { first_target: pair.0, most_target: pair.1, half_life_ms, interval_ms };
        let next = rule.next_lag(lag, before, after);
        prop_assert!(next <= rule.most_lag_ms());
        prop_assert!(next <= lag.saturating_add(287 * i128::from(interval_ms)));
        // At E every target has reached the easiest one.
        prop_assert_eq!(rule.target(rule.most_lag_ms()), rule.most_target);
    }
}
