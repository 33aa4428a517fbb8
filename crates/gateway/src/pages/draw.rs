//! Figures as SVG, drawn by templates: geometry is worked out here, and every look is the stylesheet's, as the content
//! security policy wants it. One unit is about a pixel of a panel.

/// Width of a figure.
pub(crate) const WIDTH: u32 = 520;

/// A time span as a person reads it.
pub(crate) fn span(ms: u64) -> String {
    let in_unit = |unit_ms: f64, unit: &str| {
        let value = ms as f64 / unit_ms;
        if value < 10.0 { format!("{value:.2} {unit}") } else { format!("{value:.1} {unit}") }
    };
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..120_000 => in_unit(1_000.0, "s"),
        120_000..7_200_000 => in_unit(60_000.0, "min"),
        7_200_000..172_800_000 => in_unit(3_600_000.0, "h"),
        _ => in_unit(86_400_000.0, "days"),
    }
}

/// A bound as it stands under a bar.
fn bound(ms: u64) -> String {
    if ms < 1_000 { format!("{ms} ms") } else { format!("{} s", ms / 1_000) }
}

/// A bar of two parts, one on the other.
pub(crate) struct Bar {
    pub(crate) x: u32,
    pub(crate) width: u32,
    /// Top and height of the lower part.
    pub(crate) low: (u32, u32),
    /// Of the upper part.
    pub(crate) high: (u32, u32),
    /// What stands above it, if anything is there.
    pub(crate) count: Option<u64>,
    /// What it says in words.
    pub(crate) title: String,
    /// What stands below it; every other one, for room.
    pub(crate) label: Option<String>,
}

/// A histogram of waits.
pub(crate) struct Histogram {
    pub(crate) bars: Vec<Bar>,
    /// The line on which the bars stand.
    pub(crate) base: u32,
    pub(crate) height: u32,
}

impl Histogram {
    /// Of measured and claimed waits in the same bins; the last bin has no bound.
    pub(crate) fn new(bounds_ms: &[u64], measured: &[u64], claimed: &[u64]) -> Self {
        const TOP: u32 = 20;
        const BASE: u32 = 180;
        let tallest = measured.iter().zip(claimed).map(|(one, other)| one + other).max().unwrap_or(0).max(1);
        let scale = |count: u64| {
            let height = u128::from(count) * u128::from(BASE - TOP) / u128::from(tallest);
            // What is there is seen, however little it is.
            u32::try_from(height).unwrap_or(0).max(u32::from(count > 0) * 2)
        };
        let step = WIDTH / u32::try_from(measured.len().max(1)).unwrap_or(1);
        let bar = |(at, (one, other)): (usize, (&u64, &u64))| {
            let (low, high) = (scale(*one), scale(*other));
            let (above, below) = (at.checked_sub(1).and_then(|at| bounds_ms.get(at)), bounds_ms.get(at));
            let range = match (above, below) {
                (_, None) => format!("above {}", above.map_or_else(String::new, |ms| bound(*ms))),
                (None, Some(below)) => format!("up to {}", bound(*below)),
                (Some(above), Some(below)) => format!("{} to {}", bound(*above), bound(*below)),
            };
            Bar {
                x: u32::try_from(at).unwrap_or(0) * step + 3,
                width: step - 6,
                low: (BASE - low, low),
                high: (BASE.saturating_sub(low + high), high),
                count: Some(one + other).filter(|count| *count > 0),
                title: format!("{range}: {one} measured, {other} claimed"),
                label: (at % 2 == 0).then(|| below.map_or_else(|| "more".into(), |ms| bound(*ms))),
            }
        };
        let bars = measured.iter().zip(claimed).enumerate().map(bar).collect();
        Self { bars, base: BASE, height: BASE + 28 }
    }
}

/// Lines of one figure over the same places, and their scale.
pub(crate) struct Lines {
    /// `d` of a path for each line.
    pub(crate) paths: Vec<String>,
    /// The values of each line as points.
    pub(crate) points: Vec<Vec<(u32, u32)>>,
    /// Lines of the scale: place from the top and what it means.
    pub(crate) scale: Vec<(u32, String)>,
    /// Labels below: place from the left and text.
    pub(crate) labels: Vec<(u32, String)>,
    pub(crate) base: u32,
    pub(crate) height: u32,
}

impl Lines {
    /// Waits over groups of blocks: each line has one value a group, `None` where the group has none. `labels` names
    /// the first and the last group.
    pub(crate) fn new(lines: &[Vec<Option<u64>>], labels: [String; 2]) -> Self {
        const LEFT: u32 = 64;
        const TOP: u32 = 12;
        const BASE: u32 = 150;
        let top = nice(lines.iter().flatten().flatten().copied().max().unwrap_or(0));
        let count = u32::try_from(lines.iter().map(Vec::len).max().unwrap_or(0)).unwrap_or(0);
        let x =
            |at: usize| LEFT + (WIDTH - LEFT - 10) * u32::try_from(at).unwrap_or(0) / count.saturating_sub(1).max(1);
        let y = |value: u64| {
            let up = u128::from(value) * u128::from(BASE - TOP) / u128::from(top);
            BASE - u32::try_from(up).unwrap_or(0).min(BASE - TOP)
        };
        let path = |line: &Vec<Option<u64>>| {
            let (mut d, mut drawing) = (String::new(), false);
            for (at, value) in line.iter().enumerate() {
                if let Some(value) = value {
                    let command = if drawing { 'L' } else { 'M' };
                    d.push_str(&format!("{command}{} {}", x(at), y(*value)));
                }
                drawing = value.is_some();
            }
            d
        };
        let points = |line: &Vec<Option<u64>>| {
            let values = line.iter().enumerate().filter_map(|(at, value)| Some((x(at), y((*value)?))));
            values.collect()
        };
        let scale = [top, top / 2, 0].into_iter().map(|value| (y(value), span(value))).collect();
        let [first, last] = labels;
        Self {
            paths: lines.iter().map(path).collect(),
            points: lines.iter().map(points).collect(),
            scale,
            labels: vec![(LEFT, first), (WIDTH - 10, last)],
            base: BASE,
            height: BASE + 26,
        }
    }
}

/// The next of 1, 2, 5, 10, … that is not below: an even top for a scale. At least 10.
fn nice(value: u64) -> u64 {
    let mut step = 10u64;
    loop {
        for factor in [1, 2, 5] {
            let top = step.saturating_mul(factor);
            if top >= value {
                return top;
            }
        }
        step = step.saturating_mul(10);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use blockhie_core::packing::{WAIT_BINS, WAIT_BOUNDS_MS};

    #[test]
    fn spans_are_read_by_people() {
        let texts = [0, 999, 1_000, 15_500, 119_999, 120_000, 7_200_000, 200_000_000_000];
        let texts: Vec<String> = texts.into_iter().map(span).collect();
        assert_eq!(texts, ["0 ms", "999 ms", "1.00 s", "15.5 s", "120.0 s", "2.00 min", "2.00 h", "2314.8 days"]);
        assert!(!span(u64::MAX).is_empty());
    }

    #[test]
    fn bars_stay_in_the_figure_and_show_what_is_there() {
        let (mut measured, mut claimed) = (vec![0u64; WAIT_BINS], vec![0u64; WAIT_BINS]);
        (measured[0], measured[2], claimed[2], claimed[12]) = (u64::MAX / 4, 1, 1, 7);
        let drawn = Histogram::new(&WAIT_BOUNDS_MS, &measured, &claimed);
        assert_eq!(drawn.bars.len(), WAIT_BINS);
        for bar in &drawn.bars {
            assert!(bar.x + bar.width <= WIDTH && bar.low.0 + bar.low.1 == drawn.base);
            assert!(bar.high.0 + bar.high.1 + bar.low.1 == drawn.base);
        }
        assert_eq!((drawn.bars[2].low.1, drawn.bars[2].high.1, drawn.bars[2].count), (2, 2, Some(2)));
        assert_eq!(drawn.bars[12].title, "above 512 s: 0 measured, 7 claimed");
        assert_eq!(drawn.bars[1].title, "250 ms to 500 ms: 0 measured, 0 claimed");
        assert!(drawn.bars[1].count.is_none());
    }

    #[test]
    fn lines_break_where_there_is_nothing() {
        let line = vec![Some(0), Some(100), None, Some(50)];
        let drawn = Lines::new(&[line, vec![None; 4]], ["first".into(), "last".into()]);
        assert_eq!(drawn.paths[0].matches('M').count(), 2, "{}", drawn.paths[0]);
        assert_eq!((drawn.paths[1].as_str(), drawn.points[0].len(), drawn.points[1].len()), ("", 3, 0));
        assert_eq!(drawn.scale.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>(), ["100 ms", "50 ms", "0 ms"]);
        assert_eq!((nice(0), nice(11), nice(51), nice(100), nice(u64::MAX)), (10, 20, 100, 100, u64::MAX));
        assert_eq!(Lines::new(&[], ["".into(), "".into()]).paths.len(), 0);
    }
}
