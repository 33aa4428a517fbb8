//! Resident memory of a process over a run.

/// The last third of the samples may be on average this much above the middle third, per cent: tables of the database
/// fill and are written away at their own times. What leaks under a steady load grows by half from one third to the
/// next.
const FLAT_PERCENT: u64 = 5;
/// Samples of which a third says something: half a minute each.
const LEAST_SAMPLES: usize = 9;

/// Samples at equal distances.
pub(super) struct Memory {
    name: String,
    bytes: Vec<u64>,
}

impl Memory {
    pub(super) fn new(name: String) -> Self {
        Self { name, bytes: Vec::new() }
    }

    pub(super) fn push(&mut self, bytes: u64) {
        self.bytes.push(bytes);
    }

    /// By how much the last third is above the middle third, per cent, at least 0; none with too few samples.
    fn growth_percent(&self) -> Option<u64> {
        if self.bytes.len() < LEAST_SAMPLES {
            return None;
        }
        let third = self.bytes.len() / 3;
        let (rest, last) = self.bytes.split_at(self.bytes.len() - third);
        let middle = &rest[rest.len() - third..];
        let (middle, last) = (middle.iter().sum::<u64>(), last.iter().sum::<u64>());
        Some(last.saturating_sub(middle).saturating_mul(100) / middle.max(1))
    }

    /// For a person.
    pub(super) fn line(&self) -> String {
        let mib = |bytes: Option<&u64>| bytes.map_or(0, |bytes| bytes >> 20);
        let (first, last, most) = (mib(self.bytes.first()), mib(self.bytes.last()), mib(self.bytes.iter().max()));
        let verdict = match self.growth_percent() {
            None => "too short a run to say more".into(),
            Some(growth) if growth <= FLAT_PERCENT => format!("flat (last third {growth} % above the middle one)"),
            Some(growth) => format!("NOT FLAT (last third {growth} % above the middle one)"),
        };
        format!("{:<8} memory first {first} MiB, last {last} MiB, at most {most} MiB: {verdict}", self.name)
    }

    /// What is wrong, if it grows.
    pub(super) fn fault(&self) -> Option<String> {
        let growth = self.growth_percent().filter(|growth| *growth > FLAT_PERCENT)?;
        Some(format!("{}: memory: expected at most {FLAT_PERCENT} % more in the last third, got {growth} %", self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: impl IntoIterator<Item = u64>) -> Memory {
        Memory { name: "x".into(), bytes: bytes.into_iter().collect() }
    }

    #[test]
    fn what_warms_up_and_stays_is_flat_and_what_goes_on_growing_is_not() {
        let warm = of((0..60).map(|at| (50 + at.min(15)) << 20));
        assert!(warm.fault().is_none() && warm.line().contains("flat (last third 0 %"), "{}", warm.line());
        let leaking = of((0..60).map(|at| (50 + 2 * at) << 20));
        assert!(leaking.fault().is_some() && leaking.line().contains("NOT FLAT"));
        let short = of((0..8).map(|at| at << 30));
        assert!(short.fault().is_none() && short.line().contains("too short"));
        assert!(of([]).line().contains("first 0 MiB"));
    }
}
