//! Benchmarks, each beside its ceiling.
//!
//! A ceiling is the least that the same result could cost here: the library underneath, called bare on the same data.
//! Ours and its ceilings are measured one after the other in the same run, and their ratio is printed: it means more
//! than either figure on a machine that does other work too. For the same reason it is taken of the fastest samples,
//! which were disturbed least; criterion's own lines have the mean. The benchmarks are in `benches/`, results in
//! `README.md`.

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, SamplingMode, Throughput};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Samples of each measurement: few, so that the whole run stays within minutes.
const SAMPLES: usize = 20;
/// Resamples of criterion's own bootstrap; its default, 100,000, is worth more samples than these.
const RESAMPLES: usize = 2_000;

/// Criterion that takes this long for the samples of one measurement, and a quarter of it to warm up; arguments of the
/// command line go before that.
#[must_use]
pub fn criterion(measurement: Duration) -> Criterion {
    Criterion::default()
        .without_plots()
        .sample_size(SAMPLES)
        .warm_up_time(measurement / 4)
        .measurement_time(measurement)
        .nresamples(RESAMPLES)
        .configure_from_args()
}

/// A criterion group whose members are compared: each case is measured, then each of its ceilings.
pub struct Comparison<'a> {
    name: String,
    group: BenchmarkGroup<'a, WallTime>,
    lines: Vec<String>,
}

/// What was measured of ours; its ceilings are compared with it.
pub struct Ours {
    case: String,
    unit: &'static str,
    units: u64,
    rate: Option<f64>,
}

impl<'a> Comparison<'a> {
    /// A group of this name.
    pub fn new(criterion: &'a mut Criterion, name: &str) -> Self {
        let mut group = criterion.benchmark_group(name);
        // Samples of equal length: none is fast by being short.
        group.sampling_mode(SamplingMode::Flat);
        Self { name: name.to_owned(), group, lines: Vec::new() }
    }

    /// Measures ours. `run` does its iterations and says how long they took; each makes `units` of `unit`.
    pub fn ours(&mut self, case: &str, unit: &'static str, units: u64, run: impl FnMut(u64) -> Duration) -> Ours {
        let rate = self.measure(&format!("{case}: ours"), units, run);
        Ours { case: case.to_owned(), unit, units, rate }
    }

    /// Measures a ceiling of `ours`, which makes as many units in an iteration, and notes the ratio.
    pub fn ceiling(&mut self, ours: &Ours, what: &str, run: impl FnMut(u64) -> Duration) {
        let rate = self.measure(&format!("{}: {what}", ours.case), ours.units, run);
        // Not measured: left out by a filter, or only tested.
        let (Some(got), Some(most)) = (ours.rate, rate) else { return };
        let (name, case, unit) = (&self.name, &ours.case, ours.unit);
        let percent = 100.0 * got / most;
        let (got, most) = (short(got), short(most));
        self.lines.push(format!(
            "ratio {name}/{case}: ours {got} of ceiling {most} = {percent:.1} % ({unit}/s; ceiling: {what})"
        ));
    }

    /// Ends the group and prints its ratios.
    #[allow(clippy::print_stdout, reason = "where criterion prints too")]
    pub fn finish(self) {
        self.group.finish();
        for line in self.lines {
            println!("{line}");
        }
        println!();
    }

    /// Units a second in the fastest sample.
    fn measure(&mut self, id: &str, units: u64, mut run: impl FnMut(u64) -> Duration) -> Option<f64> {
        let mut seconds = Vec::new();
        self.group.throughput(Throughput::Elements(units));
        self.group.bench_function(id, |bencher| {
            bencher.iter_custom(|iterations| {
                let elapsed = run(iterations);
                seconds.push(elapsed.as_secs_f64() / iterations as f64);
                elapsed
            });
        });
        // Criterion warms up by calling, too; the samples come last. Fewer: nothing was measured.
        let first = seconds.len().checked_sub(SAMPLES)?;
        let fastest = seconds[first..].iter().copied().fold(f64::INFINITY, f64::min);
        Some(units as f64 / fastest)
    }
}

/// Three digits and a unit prefix.
fn short(rate: f64) -> String {
    let (value, prefix) = match rate {
        1e9.. => (rate / 1e9, " G"),
        1e6.. => (rate / 1e6, " M"),
        1e3.. => (rate / 1e3, " k"),
        _ => (rate, ""),
    };
    let decimals = if value < 10.0 {
        2
    } else if value < 100.0 {
        1
    } else {
        0
    };
    format!("{value:.decimals$}{prefix}")
}

/// Times `work` done again and again.
pub fn timed<T>(mut work: impl FnMut() -> T) -> impl FnMut(u64) -> Duration {
    move |iterations| {
        let start = Instant::now();
        for _ in 0..iterations {
            black_box(work());
        }
        start.elapsed()
    }
}

/// Times `work` on a fresh `input` each time; making the input and dropping the result are not counted. For work that
/// is long beside reading the clock (some 30 ns).
pub fn timed_with<I, T>(mut input: impl FnMut() -> I, mut work: impl FnMut(I) -> T) -> impl FnMut(u64) -> Duration {
    move |iterations| {
        let mut total = Duration::ZERO;
        for _ in 0..iterations {
            let fresh = input();
            let start = Instant::now();
            let result = black_box(work(fresh));
            total += start.elapsed();
            drop(result);
        }
        total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_three_digits() {
        assert_eq!(short(9.876), "9.88");
        assert_eq!(short(98.76), "98.8");
        assert_eq!(short(987.6), "988");
        assert_eq!(short(12_345.0), "12.3 k");
        assert_eq!(short(1_234_500.0), "1.23 M");
        assert_eq!(short(4e9), "4.00 G");
    }

    #[test]
    fn every_iteration_runs_once() {
        let (mut calls, mut sum) = (0, 0);
        timed(|| calls += 1)(7);
        timed_with(|| 5, |fresh| sum += fresh)(3);
        assert_eq!((calls, sum), (7, 15));
    }
}
