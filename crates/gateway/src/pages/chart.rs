//! Readings over time as one path: per column the least and the greatest value, so that no peak is lost however many
//! readings there are, and nothing drawn where there are none.

use super::draw::span;
use crate::clock::utc;
use blockhie_phd::{Decimal, Samples};

/// Columns of a chart. A screen shows no more.
const COLUMNS: u32 = 400;
/// Height of a chart in its own units.
const HEIGHT: f64 = 100.0;
/// A pause this many times longer than the usual one between two readings is a gap.
const PAUSE: u64 = 10;
/// Gaps that are marked; more would hide the line.
const MAX_MARKS: usize = 100;

/// A reading.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Point {
    /// Sequence number.
    pub(crate) seq: u64,
    /// Microseconds since the epoch.
    pub(crate) us: u64,
    pub(crate) value: f64,
}

/// The readings of one quantity, in the order of their sequence numbers.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Series {
    pub(crate) code: String,
    pub(crate) unit: String,
    pub(crate) points: Vec<Point>,
}

/// Only for a picture: the exact digits are in the export.
fn float(decimal: Decimal) -> f64 {
    decimal.mantissa() as f64 / 10f64.powi(i32::from(decimal.scale()))
}

impl Series {
    /// Adds samples to the series of their code and unit.
    pub(crate) fn add(all: &mut Vec<Self>, first_seq: u64, samples: &Samples) {
        let known = all.iter().position(|series| series.code == samples.code && series.unit == samples.unit);
        let at = known.unwrap_or_else(|| {
            all.push(Self { code: samples.code.clone(), unit: samples.unit.clone(), points: vec![] });
            all.len() - 1
        });
        let points = samples.values.iter().enumerate().map(|(index, value)| Point {
            seq: first_seq.saturating_add(u64::try_from(index).unwrap_or(u64::MAX)),
            us: samples.time_us(index),
            value: float(*value),
        });
        all[at].points.extend(points);
    }
}

/// A stretch without readings.
pub(crate) struct Mark {
    pub(crate) x: String,
    pub(crate) width: String,
    pub(crate) title: String,
}

/// A chart, ready for a template.
pub(crate) struct Chart {
    pub(crate) code: String,
    pub(crate) unit: String,
    pub(crate) count: usize,
    /// `d` of the path.
    pub(crate) path: String,
    pub(crate) marks: Vec<Mark>,
    /// Gaps in all, marked or not.
    pub(crate) gaps: usize,
    /// Greatest, middle and least value of the scale.
    pub(crate) scale: [String; 3],
    /// Time of the first and of the last reading.
    pub(crate) ends: [String; 2],
}

/// What falls into one column.
#[derive(Clone, Copy)]
struct Column {
    x: f64,
    least: f64,
    greatest: f64,
    first: f64,
    last: f64,
    /// Whether nothing lies between this column's first reading and the one before it.
    joined: bool,
}

impl Chart {
    /// Of readings; `None` where there are none.
    pub(crate) fn new(mut series: Series) -> Option<Self> {
        // By time: a device may push an older recording later.
        series.points.sort_by_key(|point| point.us);
        let points = &series.points;
        let (start, end) = (points.first()?.us, points.last()?.us);
        let least = points.iter().map(|point| point.value).fold(f64::INFINITY, f64::min);
        let greatest = points.iter().map(|point| point.value).fold(f64::NEG_INFINITY, f64::max);
        let place = Placing::new((start, end), (least, greatest));
        let usual = usual_pause(points);
        let (mut columns, mut marks, mut gaps): (Vec<Column>, _, _) = (Vec::new(), Vec::new(), 0);
        let mut before: Option<Point> = None;
        for point in points {
            let gap = before.and_then(|before| gap(&before, point, usual));
            if let (Some(title), Some(before)) = (&gap, before) {
                gaps += 1;
                if marks.len() < MAX_MARKS {
                    let (from, to) = (place.x(before.us), place.x(point.us));
                    let width = format!("{:.1}", (to - from).max(0.6));
                    marks.push(Mark { x: format!("{from:.1}"), width, title: title.clone() });
                }
            }
            let x = place.column(point.us);
            match columns.last_mut().filter(|column| column.x == x && gap.is_none()) {
                Some(column) => column.take(point.value),
                None => columns.push(Column::new(x, point.value, gap.is_none() && before.is_some())),
            }
            before = Some(*point);
        }
        let middle = f64::midpoint(greatest, least);
        Some(Self {
            path: draw(&columns, &place),
            marks,
            gaps,
            scale: [greatest, middle, least].map(number),
            ends: [start, end].map(|us| utc(us / 1_000)),
            count: points.len(),
            code: series.code,
            unit: series.unit,
        })
    }
}

impl Column {
    fn new(x: f64, value: f64, joined: bool) -> Self {
        Self { x, least: value, greatest: value, first: value, last: value, joined }
    }

    fn take(&mut self, value: f64) {
        (self.least, self.greatest, self.last) = (self.least.min(value), self.greatest.max(value), value);
    }
}

/// Where times and values go.
struct Placing {
    start: u64,
    length: u64,
    low: f64,
    range: f64,
}

impl Placing {
    fn new((start, end): (u64, u64), (least, greatest): (f64, f64)) -> Self {
        // A little room above and below; a line of one value runs through the middle.
        let margin = if greatest > least { (greatest - least) * 0.04 } else { 1.0 };
        let (low, high) = (least - margin, greatest + margin);
        Self { start, length: end.saturating_sub(start).max(1), low, range: high - low }
    }

    fn x(&self, us: u64) -> f64 {
        us.saturating_sub(self.start) as f64 / self.length as f64 * f64::from(COLUMNS)
    }

    /// The middle of the column.
    fn column(&self, us: u64) -> f64 {
        self.x(us).floor().min(f64::from(COLUMNS - 1)) + 0.5
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - (value - self.low) / self.range * HEIGHT
    }
}

fn draw(columns: &[Column], place: &Placing) -> String {
    use std::fmt::Write;
    let (mut d, mut before): (String, Option<&Column>) = (String::new(), None);
    for column in columns {
        let x = column.x;
        // Writing to a string does not fail.
        let _ = match before.filter(|_| column.joined) {
            Some(before) => write!(d, "M{} {:.1}L{x} {:.1}", before.x, place.y(before.last), place.y(column.first)),
            None => write!(d, "M{x} {:.1}h0", place.y(column.first)),
        };
        if column.greatest > column.least {
            let _ = write!(d, "M{x} {:.1}V{:.1}", place.y(column.greatest), place.y(column.least));
        }
        before = Some(column);
    }
    d
}

/// The usual time between two readings that follow each other: their median, µs.
fn usual_pause(points: &[Point]) -> u64 {
    let follows = |pair: &&[Point]| pair[1].seq == pair[0].seq.saturating_add(1);
    let mut pauses: Vec<u64> =
        points.windows(2).filter(follows).map(|pair| pair[1].us.saturating_sub(pair[0].us)).collect();
    pauses.sort_unstable();
    pauses.get(pauses.len() / 2).copied().unwrap_or(0)
}

/// What is missing between two readings, in words; `None`: nothing.
fn gap(before: &Point, point: &Point, usual: u64) -> Option<String> {
    let missing = point.seq.saturating_sub(before.seq).saturating_sub(1);
    let pause = point.us.saturating_sub(before.us);
    if missing > 0 {
        let (from, to) = (before.seq.saturating_add(1), point.seq.saturating_sub(1));
        return Some(format!("no readings {from} to {to} here ({missing}), {}", span(pause / 1_000)));
    }
    (usual > 0 && pause > usual.saturating_mul(PAUSE)).then(|| format!("no reading for {}", span(pause / 1_000)))
}

/// A value at the scale: a few digits are enough there.
fn number(value: f64) -> String {
    let text = match value.abs() {
        1_000.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    };
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(points: impl IntoIterator<Item = (u64, u64, f64)>) -> Series {
        let points = points.into_iter().map(|(seq, us, value)| Point { seq, us, value }).collect();
        Series { code: "8867-4".into(), unit: "/min".into(), points }
    }

    fn coordinates(path: &str) -> impl Iterator<Item = f64> {
        path.split(|c: char| !c.is_ascii_digit() && c != '.' && c != '-').filter_map(|text| text.parse().ok())
    }

    #[test]
    fn a_peak_among_a_hundred_thousand_readings_is_drawn() {
        let calm = (0..100_000u64).map(|at| (at, at * 10_000, if at == 54_321 { 900.0 } else { 60.0 }));
        let chart = Chart::new(series(calm)).unwrap();
        assert_eq!(
            (chart.count, chart.gaps, chart.scale[0].as_str(), chart.scale[2].as_str()),
            (100_000, 0, "900", "60")
        );
        assert_eq!(chart.path.matches('V').count(), 1, "one column holds it");
        assert!(chart.path.len() < 40_000, "{}", chart.path.len());
        assert!(coordinates(&chart.path).all(|at| (0.0..=f64::from(COLUMNS)).contains(&at)));
        assert_eq!(chart.path.matches("h0").count(), 1, "one line");
    }

    #[test]
    fn what_is_missing_is_left_out_and_marked() {
        let second = 1_000_000;
        let here = (1..=50u64).chain(81..=130).map(|seq| (seq, seq * second, 1.0));
        let chart = Chart::new(series(here)).unwrap();
        assert_eq!((chart.gaps, chart.marks.len()), (1, 1));
        assert!(chart.marks[0].title.starts_with("no readings 51 to 80 here (30)"), "{}", chart.marks[0].title);
        assert_eq!(chart.path.matches("h0").count(), 2, "the line begins anew");
        // No number is missing, but an hour is.
        let pause = (1..=50u64).map(|seq| (seq, seq * second + if seq > 25 { 3_600 * second } else { 0 }, 1.0));
        let chart = Chart::new(series(pause)).unwrap();
        assert_eq!((chart.gaps, chart.marks[0].title.as_str()), (1, "no reading for 60.0 min"));
        // Gaps within one column still part the line, and not too many are marked.
        let many = (0..5_000u64).map(|at| (2 * at, at * second, 1.0));
        let chart = Chart::new(series(many)).unwrap();
        assert_eq!((chart.gaps, chart.marks.len()), (4_999, MAX_MARKS));
    }

    #[test]
    fn few_readings_and_odd_values() {
        assert!(Chart::new(Series::default()).is_none());
        let one = Chart::new(series([(7, 1_700_000_000_000_000, 3.25)])).unwrap();
        assert_eq!((one.path.as_str(), one.scale[1].as_str()), ("M0.5 50.0h0", "3.25"));
        assert_eq!(one.ends, ["2023-11-14 22:13:20", "2023-11-14 22:13:20"]);
        let wide = Chart::new(series([(1, 0, -9.2e18), (2, 1, 9.2e18), (3, u64::MAX, 0.0)])).unwrap();
        assert!(coordinates(&wide.path).all(f64::is_finite));
        assert_eq!([1234.5, 12.34, 0.5, -0.25, 0.0].map(number), ["1234", "12.3", "0.5", "-0.25", "0"]);
    }

    #[test]
    fn codes_are_drawn_apart() {
        let rate = blockhie_phd::Timing::Rate("1".parse().unwrap());
        let samples = |code, value: &str| Samples::new(code, "u", 1_000, rate.clone(), vec![value.parse().unwrap(); 3]);
        let mut all = Vec::new();
        for (first, samples) in [(1, samples("a", "1.5")), (4, samples("b", "-2")), (7, samples("a", "1.5"))] {
            Series::add(&mut all, first, &samples);
        }
        assert_eq!(
            all.iter().map(|series| (series.code.as_str(), series.points.len())).collect::<Vec<_>>(),
            [("a", 6), ("b", 3)]
        );
        assert_eq!(all[0].points[4], Point { seq: 8, us: 2_000_000, value: 1.5 });
    }
}
