//! The plots: one mark a policy and ledger with the 95 % interval over seeds, and the overlap over time.

use super::config::{LedgerKind, PaperConfig, PaperError};
use super::row::{OVERLAP_BUCKET_S, Row};
use super::stats::Estimate;
use super::summary::{Group, Summary};
use super::table::write;
use plotters::coord::Shift;
use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::collections::BTreeMap;
use std::error::Error;
use std::ops::Range;
use std::path::Path;

/// The plots that [`draw`] writes.
pub const PLOTS: &[&str] = &["throughput.svg", "jain.svg", "waits.svg", "stale.svg", "duplicates.svg", "overlap.svg"];

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn Error>>;

/// Pixels: the width of a plot, the height of a policy's line, and what title, axis and legend take.
const WIDTH: u32 = 760;
const LINE: u32 = 30;
const FRAME: u32 = 120;
/// Seven colours that people with any colour vision tell apart (P. Tol, "bright").
const COLOURS: [RGBColor; 7] = [
    RGBColor(0x44, 0x77, 0xaa),
    RGBColor(0xee, 0x66, 0x77),
    RGBColor(0x22, 0x88, 0x33),
    RGBColor(0xaa, 0x33, 0x77),
    RGBColor(0xcc, 0xbb, 0x44),
    RGBColor(0x66, 0xcc, 0xee),
    RGBColor(0x77, 0x77, 0x77),
];
/// Not a metric of a run: throughput over that of FAIR-FIRST.
const RATIO: &str = "throughput_ratio";
/// The length of a legend's line, in pixels.
const MARK: i32 = 16;

/// A linear axis, up or down, with marks where we want them.
struct Axis {
    range: Range<f64>,
    marks: Vec<f64>,
}

impl Ranged for Axis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    #[allow(clippy::cast_possible_truncation, reason = "pixels of an image of less than a thousand")]
    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let along = (value - self.range.start) / (self.range.end - self.range.start);
        limit.0 + (f64::from(limit.1 - limit.0) * along).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.marks.clone()
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

/// What a panel shows.
struct Panel {
    metric: &'static str,
    label: &'static str,
    /// From the metric's unit to the label's.
    scale: f64,
    /// Decades instead of units.
    log: bool,
    /// The whole axis, where it has natural ends.
    ends: Option<Range<f64>>,
}

const fn panel(metric: &'static str, label: &'static str) -> Panel {
    Panel { metric, label, scale: 1.0, log: false, ends: None }
}

const fn wait(metric: &'static str, label: &'static str) -> Panel {
    Panel { metric, label, scale: 0.001, log: true, ends: None }
}

const fn part(metric: &'static str, label: &'static str) -> Panel {
    Panel { metric, label, scale: 1.0, log: false, ends: Some(0.0..1.0) }
}

/// Draws all plots into a folder.
///
/// # Errors
/// [`PaperError::Draw`] or [`PaperError::Write`].
pub fn draw(folder: &Path, summary: &Summary, rows: &[Row]) -> Result<(), PaperError> {
    let plots: [(&str, &str, &[Panel]); 5] = [
        (
            "throughput.svg",
            "Transactions committed a second",
            &[panel("throughput_tps", "tx/s"), panel(RATIO, "over FAIR-FIRST, same ledger and seed")],
        ),
        ("jain.svg", "Jain's index of all waits, pending ones so far", &[part("jain_censored", "index")]),
        (
            "waits.svg",
            "Waits, pending ones so far",
            &[
                wait("p50_ms", "p50, s"),
                wait("p90_ms", "p90, s"),
                wait("p99_ms", "p99, s"),
                wait("max_ms", "longest, s"),
            ],
        ),
        ("stale.svg", "Blocks not on the best chain", &[part("stale_share", "share of blocks found")]),
        (
            "duplicates.svg",
            "Places that repeat a transaction of an earlier block",
            &[part("duplicate_share", "share of places in all blocks found")],
        ),
    ];
    for (name, title, panels) in plots {
        save(folder, name, |text| marks(text, summary, title, panels))?;
    }
    save(folder, "overlap.svg", |text| overlap(text, &summary.config, rows))
}

fn save(folder: &Path, name: &str, draw: impl FnOnce(&mut String) -> Drawn) -> Result<(), PaperError> {
    let mut text = String::new();
    draw(&mut text).map_err(|error| PaperError::Draw { path: name.to_owned(), reason: error.to_string() })?;
    write(folder, name, &text)
}

/// What was run, in a line.
fn describe(config: &PaperConfig) -> String {
    let seconds = |ms: u64| ms as f64 / 1_000.0;
    format!(
        "{} nodes x {} tx/s, T {} s, d {} s, m {}; {} s after {} s; mean and 95 % interval of {} seeds",
        config.nodes,
        config.rate,
        seconds(config.interval_ms.into()),
        seconds(config.delay_ms),
        config.capacity,
        config.seconds - config.warm_up_s,
        config.warm_up_s,
        config.seeds.end - config.seeds.start,
    )
}

fn titled<'a>(root: Area<'a>, config: &PaperConfig, title: &str) -> Result<Area<'a>, Box<dyn Error>> {
    let root = root.titled(title, ("sans-serif", 18))?;
    Ok(root.titled(&describe(config), ("sans-serif", 12))?)
}

fn marks(text: &mut String, summary: &Summary, title: &str, panels: &[Panel]) -> Drawn {
    let config = &summary.config;
    let panels: Vec<&Panel> = panels.iter().filter(|panel| has_any(summary, panel)).collect();
    let rows = panels.len().div_ceil(2);
    let columns = panels.len().min(2);
    let lines = u32::try_from(config.policies.len() * rows)?;
    let height = LINE * lines + FRAME * u32::try_from(rows)?;
    let root = SVGBackend::with_string(text, (WIDTH, height)).into_drawing_area();
    root.fill(&WHITE)?;
    // Left of the title.
    for (ledger, y) in config.ledgers.iter().zip([14, 32]) {
        root.draw(&Circle::new((14, y), 4, colour_of(*ledger).filled()))?;
        named(&root, ledger.name(), (24, y))?;
    }
    let root = titled(root, config, title)?;
    for (panel, area) in panels.iter().zip(root.split_evenly((rows, columns))) {
        mark_panel(&area, summary, panel)?;
    }
    root.present()?;
    Ok(())
}

/// A value as the axis places it.
fn place(panel: &Panel, value: f64) -> f64 {
    let value = value * panel.scale;
    // A millisecond is the least that is measured.
    if panel.log { value.max(0.001).log10() } else { value }
}

/// Mean and ends of the interval.
fn ends(estimate: &Estimate) -> [f64; 3] {
    let half = estimate.half_width.unwrap_or(0.0);
    [(estimate.mean - half).max(0.0), estimate.mean, estimate.mean + half]
}

fn shown(group: &Group, panel: &Panel) -> Option<Estimate> {
    if panel.metric == RATIO { group.throughput_ratio } else { group.means.get(panel.metric).copied() }
}

fn has_any(summary: &Summary, panel: &Panel) -> bool {
    summary.groups.iter().any(|group| shown(group, panel).is_some())
}

fn axis(summary: &Summary, panel: &Panel) -> Axis {
    let all = summary.groups.iter().filter_map(|group| shown(group, panel));
    let all: Vec<f64> = all.flat_map(|estimate| ends(&estimate)).map(|value| place(panel, value)).collect();
    let least = all.iter().copied().fold(f64::INFINITY, f64::min);
    let most = all.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if let Some(ends) = &panel.ends {
        return Axis { range: ends.clone(), marks: steps(ends, 0.2) };
    }
    if panel.log {
        let range = least.floor()..most.ceil().max(least.floor() + 1.0);
        return Axis { marks: steps(&range, 1.0), range };
    }
    let most = most.max(1e-3) * 1.08;
    let step = 10f64.powf(most.log10().floor());
    let step = if most / step < 2.0 {
        step / 5.0
    } else if most / step < 5.0 {
        step / 2.0
    } else {
        step
    };
    Axis { marks: steps(&(0.0..most), step), range: 0.0..most }
}

fn steps(range: &Range<f64>, step: f64) -> Vec<f64> {
    let (mut at, mut all) = (0u32, Vec::new());
    while range.start + f64::from(at) * step <= range.end + step * 1e-6 {
        all.push(range.start + f64::from(at) * step);
        at += 1;
    }
    all
}

fn mark_panel(area: &Area<'_>, summary: &Summary, panel: &Panel) -> Drawn {
    let config = &summary.config;
    let policies = &config.policies;
    let lines = policies.len() as f64;
    // The first policy on top.
    let lines = Axis { range: lines - 0.5..-0.5, marks: (0..policies.len()).map(|at| at as f64).collect() };
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(105)
        .build_cartesian_2d(axis(summary, panel), lines)?;
    let name = |at: &f64| {
        let near = policies.iter().enumerate().find(|(place, _)| (*place as f64 - at).abs() < 1e-6);
        near.map(|(_, name)| (*name).to_owned()).unwrap_or_default()
    };
    let number = |at: &f64| {
        let value = if panel.log { 10f64.powf(*at) } else { *at };
        if value >= 10.0 { format!("{value:.0}") } else { format!("{}", (value * 1_000.0).round() / 1_000.0) }
    };
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(RGBColor(0xdd, 0xdd, 0xdd))
        .x_desc(panel.label)
        .x_label_formatter(&number)
        .y_label_formatter(&name)
        .label_style(("sans-serif", 13))
        .draw()?;
    for (at, ledger) in config.ledgers.iter().enumerate() {
        let colour = colour_of(*ledger);
        // Side by side where there are two.
        let beside = (at as f64 - (config.ledgers.len() as f64 - 1.0) / 2.0) * 0.28;
        let (mut bars, mut dots) = (Vec::new(), Vec::new());
        for (line, policy) in policies.iter().enumerate() {
            let Some(estimate) = summary.group(*ledger, policy).and_then(|group| shown(group, panel)) else {
                continue;
            };
            let [low, mean, high] = ends(&estimate).map(|value| place(panel, value));
            let y = line as f64 + beside;
            bars.extend(whiskers(low, high, y, colour.stroke_width(2)));
            dots.push(Circle::new((mean, y), 4, colour.filled()));
        }
        chart.draw_series(bars)?;
        chart.draw_series(dots)?;
    }
    Ok(())
}

fn whiskers(low: f64, high: f64, y: f64, style: ShapeStyle) -> [PathElement<(f64, f64)>; 3] {
    let line = |a, b| PathElement::new(vec![a, b], style);
    let cap = |x| line((x, y - 0.08), (x, y + 0.08));
    [line((low, y), (high, y)), cap(low), cap(high)]
}

fn colour_of(ledger: LedgerKind) -> RGBColor {
    match ledger {
        LedgerKind::Plain => COLOURS[0],
        LedgerKind::Merged => COLOURS[1],
    }
}

/// The overlap of concurrent blocks of each policy over time, in the mean of all seeds; a panel a ledger.
fn overlap(text: &mut String, config: &PaperConfig, rows: &[Row]) -> Drawn {
    let height = 60 + 300 * u32::try_from(config.ledgers.len())?;
    let root = SVGBackend::with_string(text, (WIDTH, height)).into_drawing_area();
    root.fill(&WHITE)?;
    let root = titled(root, config, "Overlap of concurrent blocks: transactions that both hold, of the smaller")?;
    for (ledger, area) in config.ledgers.iter().zip(root.split_evenly((config.ledgers.len(), 1))) {
        let seconds = 0.0..config.seconds as f64;
        let step = (config.seconds as f64 / 300.0).ceil() * 30.0;
        let time = Axis { marks: steps(&seconds, step), range: seconds };
        let (area, beside) = area.split_horizontally(WIDTH - 140);
        let mut chart = ChartBuilder::on(&area)
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(50)
            .build_cartesian_2d(time, Axis { range: 0.0..1.05, marks: steps(&(0.0..1.0), 0.2) })?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(RGBColor(0xdd, 0xdd, 0xdd))
            .x_desc("virtual time, s")
            .x_label_formatter(&|value| format!("{value:.0}"))
            .y_desc(format!("overlap, {}", ledger.name()))
            .y_label_formatter(&|value| format!("{value:.1}"))
            .label_style(("sans-serif", 13))
            .draw()?;
        for (at, (policy, colour)) in config.policies.iter().zip(COLOURS.iter().cycle()).enumerate() {
            chart.draw_series(LineSeries::new(mean_over_time(rows, *ledger, policy), colour.stroke_width(2)))?;
            let y = 20 + 20 * i32::try_from(at)?;
            beside.draw(&PathElement::new([(4, y), (4 + MARK, y)], colour.stroke_width(2)))?;
            named(&beside, policy, (10 + MARK, y))?;
        }
    }
    root.present()?;
    Ok(())
}

/// A text with the middle of its left side here.
fn named(area: &Area<'_>, text: &str, at: (i32, i32)) -> Drawn {
    let style = TextStyle::from(("sans-serif", 13)).pos(Pos::new(HPos::Left, VPos::Center));
    area.draw(&Text::new(text.to_owned(), at, style))?;
    Ok(())
}

/// At the middle of each step: all transactions in common, of all seeds, over all that could be.
fn mean_over_time(rows: &[Row], ledger: LedgerKind, policy: &str) -> Vec<(f64, f64)> {
    let mut sums: BTreeMap<u64, (f64, f64)> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.task.ledger == ledger && row.task.policy == policy) {
        for step in &row.over_time {
            let pairs = step.pairs as f64;
            let sum = sums.entry(step.at_s).or_default();
            *sum = (sum.0 + step.overlap * pairs, sum.1 + pairs);
        }
    }
    let middle = OVERLAP_BUCKET_S as f64 / 2.0;
    sums.into_iter().map(|(at_s, (sum, pairs))| (at_s as f64 + middle, sum / pairs.max(1.0))).collect()
}
