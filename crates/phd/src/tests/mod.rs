mod formats;
mod rules;
mod samples;
mod segment;
mod vectors;

use crate::{ClockForm, CsvLayout, Decimal, Samples, Timing};
use blockhie_core::{ChainId, ChainKind, CompactTarget, Genesis, Hash32, SecretKey};
use proptest::prelude::*;

fn genesis() -> Genesis {
    Genesis::with_defaults(ChainKind::Phd, "test", Hash32([9; 32]), 0, CompactTarget::MOST, vec![])
}

fn chain() -> ChainId {
    genesis().chain_id()
}

fn secret(n: u8) -> SecretKey {
    SecretKey::from_seed([n; 32])
}

fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn decimals(texts: &[&str]) -> Vec<Decimal> {
    texts.iter().map(|text| decimal(text)).collect()
}

/// Pulse at 100 Hz.
fn pulse() -> Samples {
    let values = decimals(&["530", "518", "506", "494.5"]);
    Samples::new("8867-4", "/min", 1_750_000_000_000, Timing::Rate(decimal("100")), values)
}

/// Pulse with times.
fn timed() -> Samples {
    let offsets = decimals(&["0.0", "8.54790319355", "17.0958063871", "17.0958063871"]);
    let mut samples = Samples { timing: Timing::Offsets(offsets), ..pulse() };
    samples.layout = CsvLayout { header: Some("timer,hr".into()), crlf: true, ..CsvLayout::default() };
    samples
}

fn any_decimal() -> impl Strategy<Value = Decimal> {
    (any::<i64>(), 0u8..=18).prop_map(|(mantissa, scale)| Decimal::new(mantissa, scale).unwrap())
}

prop_compose! {
    fn any_layout()(header in proptest::option::of("[a-zµ][a-z ]{0,20}"), crlf: bool, final_newline: bool) -> CsvLayout {
        CsvLayout { header, crlf, final_newline, clock: None }
    }
}

prop_compose! {
    fn any_samples()(
        values in proptest::collection::vec(any_decimal(), 1..60),
        steps in proptest::collection::vec(0i64..100_000, 60),
        scale in 0u8..=9,
        rate in proptest::option::of(1i64..1_000_000),
        skipped in 0u64..1 << 20,
        start_ms in 0u64..1 << 41,
        layout in any_layout(),
        clock in proptest::option::of(0u8..128),
    ) -> Samples {
        let timing = match rate {
            Some(rate) => Timing::Rate(Decimal::new(rate, scale.min(4)).unwrap()),
            None => {
                let mut at = 0;
                let times = steps.iter().take(values.len()).map(|step| { at += step; at });
                Timing::Offsets(times.map(|at| Decimal::new(at, scale).unwrap()).collect())
            }
        };
        let skipped = if rate.is_some() { skipped } else { 0 };
        let clock = clock.filter(|_| rate.is_none()).and_then(ClockForm::from_byte);
        let layout = CsvLayout { clock, ..layout };
        Samples { code: "8867-4".into(), unit: "mV".into(), start_ms, skipped, timing, values, layout }
    }
}
