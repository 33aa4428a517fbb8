//! `blockhie verify --readings FILE --proofs DIR`: every row of a file against the proved data of its segments.

use super::segment::{self, Proof};
use super::{Args, Opened, judge, trusted, usage};
use crate::failure::Failure;
use crate::files;
use crate::output::{Output, utc};
use blockhie_core::{ChainId, Hash32, PublicKey, Step, Trust, Verdict, Verification};
use blockhie_phd::formats::{Format, Line, lines};
use blockhie_phd::{Coverage, Samples, SeqRange};
use serde::Serialize;
use std::path::Path;

/// Longest file of readings read, bytes: it is held in memory.
const MAX_READINGS_BYTES: usize = 1 << 30;

/// A segment as judged.
#[derive(Serialize)]
struct Judged {
    first_seq: u64,
    count: u32,
    verdict: Verdict,
    height: u64,
    proved_time_ms: Option<u64>,
    members: Vec<String>,
    steps: Vec<Step>,
    #[serde(skip)]
    samples: Option<Samples>,
}

/// What is printed with `--json`.
#[derive(Serialize)]
struct Report<'a> {
    verdict: Verdict,
    exit: u8,
    summary: &'a str,
    effect: &'static str,
    chain_id: ChainId,
    device: Hash32,
    readings: usize,
    segments: &'a [Judged],
    gaps: &'a [SeqRange],
    steps: &'a [Step],
}

pub(super) fn run(args: &Args, file: &Path, folder: &Path, out: &mut Output) -> Result<u8, Failure> {
    let bytes = files::read(file, MAX_READINGS_BYTES, "readings")?;
    let text = String::from_utf8(bytes).map_err(|error| Failure::form(format!("{}: {error}", file.display())))?;
    let proofs = segment::read_folder(folder)?;
    let genesis = args.genesis.as_deref().map(super::read_genesis).transpose()?;
    let trust = trusted(args, genesis.as_ref());
    let judged = proofs.iter().map(|proof| judge_one(proof, &trust)).collect::<Result<Vec<_>, _>>()?;
    let first = &proofs[0].opening;
    let (chain, device) = (first.chain_id, first.device);
    let mut steps = Vec::new();
    let coverage =
        Coverage::of(&proofs.iter().map(|proof| (proof.opening.first_seq, proof.opening.count)).collect::<Vec<_>>());
    steps.push(same_device(&proofs, &device));
    steps.push(ranges(&coverage));
    let segments_hold = judged.iter().all(|row| row.verdict != Verdict::Refuted);
    let mut readings = 0;
    if segments_hold && steps.iter().all(|step| step.holds == Some(true)) {
        let (step, rows) = compare(args, &text, &judged, &chain, &device);
        steps.push(step);
        readings = rows;
    }
    let refuted = !segments_hold || steps.iter().any(|step| step.holds == Some(false));
    let verdict = match judged.iter().any(|row| row.verdict == Verdict::NotFinal) {
        _ if refuted => Verdict::Refuted,
        true => Verdict::NotFinal,
        false => Verdict::Proved,
    };
    let summary = summarise(verdict, &judged, &steps, readings, &device);
    if args.json {
        let exit = verdict.exit_code();
        let (segments, gaps, steps) = (judged.as_slice(), coverage.gaps.as_slice(), steps.as_slice());
        let effect = "depends on state";
        out.json(&Report {
            verdict,
            exit,
            summary: &summary,
            effect,
            chain_id: chain,
            device,
            readings,
            segments,
            gaps,
            steps,
        })?;
    } else {
        print(&judged, &steps, &summary, verdict, out);
    }
    Ok(verdict.exit_code())
}

fn judge_one(proof: &Proof, trust: &Trust<'_>) -> Result<Judged, Failure> {
    let opened = Opened::Segment(&proof.data, &proof.opening);
    let Verification { verdict, steps, height, proved_time_ms, members, .. } =
        judge(&proof.receipt, trust, Some(&opened)).map_err(usage)?;
    let (first_seq, count) = (proof.opening.first_seq, proof.opening.count);
    let samples = Samples::decode(&proof.data).ok();
    Ok(Judged { first_seq, count, verdict, height, proved_time_ms, members, steps, samples })
}

fn same_device(proofs: &[Proof], device: &Hash32) -> Step {
    let other = proofs.iter().find(|proof| proof.opening.device != *device);
    match other {
        None => Step { name: "device", holds: Some(true), detail: format!("all segments are of device {device}") },
        Some(proof) => {
            let opening = &proof.opening;
            let got = format!("segment {} of device {}", opening.first_seq, opening.device);
            Step { name: "device", holds: Some(false), detail: format!("expected device {device}, got {got}") }
        }
    }
}

/// Gaps are allowed and told. Of segments that overlap the chain lets one take effect, and no receipt says which.
fn ranges(coverage: &Coverage) -> Step {
    let told = |ranges: &[SeqRange]| {
        let one = |range: &SeqRange| {
            format!("{} to {}", range.first_seq, range.first_seq.saturating_add(range.count).saturating_sub(1))
        };
        ranges.iter().map(one).collect::<Vec<_>>().join(", ")
    };
    let (holds, detail) = match (coverage.overlaps.as_slice(), coverage.gaps.as_slice()) {
        ([], []) => (true, "no gaps".to_owned()),
        ([], gaps) => (true, format!("gaps: readings {} are in no segment given", told(gaps))),
        (overlaps, _) => (false, format!("expected no overlaps, got readings {} twice", told(overlaps))),
    };
    Step { name: "sequence", holds: Some(holds), detail }
}

fn format_of(text: &str) -> Format {
    if text.starts_with("{\"resourceType\"") {
        Format::Fhir
    } else if text.starts_with("{\"seq\"") {
        Format::Jsonl
    } else {
        Format::Csv
    }
}

/// Writes the proved readings as the file should be, and compares line by line.
fn compare(args: &Args, text: &str, judged: &[Judged], chain: &ChainId, device: &Hash32) -> (Step, usize) {
    let step = |holds, detail| Step { name: "readings", holds: Some(holds), detail };
    let Ok(key) = PublicKey::new(device.0) else {
        return (step(false, "expected a device's key".into()), 0);
    };
    let mut proved: Vec<(u64, u64, Samples)> = Vec::new();
    for row in judged {
        let Some(samples) = &row.samples else {
            return (step(false, format!("segment {}: its data are no samples of this release", row.first_seq)), 0);
        };
        let range = samples.between(args.from, args.to);
        let first = row.first_seq.saturating_add(u64::try_from(range.start).unwrap_or(u64::MAX));
        if !range.is_empty() {
            proved.push((first, row.first_seq, samples.slice(range)));
        }
    }
    let segments: Vec<(u64, &Samples)> = proved.iter().map(|(first, _, samples)| (*first, samples)).collect();
    let expected = lines(format_of(text), chain, &key, &segments);
    let rows: usize = segments.iter().map(|(_, samples)| samples.len()).sum();
    let place = |line: &Line| match (line.segment.and_then(|at| proved.get(at)), line.index) {
        (Some((first, segment, _)), Some(index)) => {
            let reading = first.saturating_add(u64::try_from(index).unwrap_or(u64::MAX));
            let row = reading.saturating_sub(*segment);
            format!("segment {segment} of device {device}, row {row} (reading {reading})")
        }
        (Some((_, segment, _)), None) => format!("segment {segment} of device {device}"),
        (None, _) => "frame of the file".into(),
    };
    let mut given = text.lines();
    for (number, line) in (1..).zip(&expected) {
        match given.next() {
            Some(got) if got == line.text => {}
            Some(got) => {
                let (expected, got, more) = shown(&line.text, got);
                let detail = format!("line {number}: {}{more}: expected {expected}, got {got}", place(line));
                return (step(false, detail), 0);
            }
            None => {
                let detail = format!(
                    "line {number}: {}: expected {}, got the end of the file (exported with --from or --to? Give the same)",
                    place(line),
                    shown(&line.text, "").0
                );
                return (step(false, detail), 0);
            }
        }
    }
    if let Some(more) = given.next() {
        let at = expected.len() + 1;
        let detail =
            format!("line {at}: expected the end of the file after {rows} readings, got {}", shown("", more).1);
        return (step(false, detail), 0);
    }
    (step(true, format!("all {rows} readings of the file are those of {} segments", segments.len())), rows)
}

/// Two lines that differ, cut to where they do; for a line of many values also which of them.
fn shown(expected: &str, got: &str) -> (String, String, String) {
    const MOST_CHARS: usize = 60;
    let mark = "\"data\":\"";
    let values = |text: &str| {
        let data = text.split_once(mark)?.1.split('"').next()?;
        Some(data.split(' ').map(str::to_owned).collect::<Vec<_>>())
    };
    let head = |text: &str| text.split_once(mark).map(|(head, _)| head.to_owned());
    if let (Some(a), Some(b)) = (values(expected), values(got))
        && head(expected) == head(got)
        && let Some(row) = (0..a.len().max(b.len())).find(|row| a.get(*row) != b.get(*row))
    {
        let value = |list: &[String]| list.get(row).map_or_else(|| "none".to_owned(), |text| format!("{text:?}"));
        return (value(&a), value(&b), format!(", row {row}"));
    }
    let cut = |text: &str| format!("{:?}", text.chars().take(MOST_CHARS).collect::<String>());
    (cut(expected), cut(got), String::new())
}

fn summarise(verdict: Verdict, judged: &[Judged], steps: &[Step], readings: usize, device: &Hash32) -> String {
    match verdict {
        Verdict::Refuted => {
            let broken = judged.iter().find(|row| row.verdict == Verdict::Refuted);
            let step = steps.iter().find(|step| step.holds == Some(false));
            match (broken, step) {
                (Some(row), _) => format!("refuted: segment {} of device {device} does not hold", row.first_seq),
                (None, Some(step)) => format!("refuted: {}: {}", step.name, step.detail),
                (None, None) => "refuted".into(),
            }
        }
        Verdict::NotFinal => {
            let open = judged.iter().filter(|row| row.verdict == Verdict::NotFinal).count();
            format!("not final yet: all holds so far, but {open} of {} segments need newer receipts", judged.len())
        }
        Verdict::Proved => {
            let time = judged.iter().filter_map(|row| row.proved_time_ms).max();
            let time = time.map_or_else(String::new, |time| format!(", not later than {}", utc(time)));
            format!(
                "proved: all {readings} readings are what device {device} committed in {} segments{time}; effect \
                 depends on state",
                judged.len()
            )
        }
    }
}

fn print(judged: &[Judged], steps: &[Step], summary: &str, verdict: Verdict, out: &mut Output) {
    for row in judged {
        let last = row.first_seq.saturating_add(u64::from(row.count)).saturating_sub(1);
        let name = format!("segment {}", row.first_seq);
        match row.steps.iter().find(|step| step.holds == Some(false)) {
            Some(step) => super::print_step(Some(false), &name, 10, &format!("{}: {}", step.name, step.detail), out),
            None => {
                let holds = (row.verdict == Verdict::Proved).then_some(true);
                let (members, plural) = (row.members.len(), if row.members.len() == 1 { "" } else { "s" });
                let detail =
                    format!("readings to {last}, in block {}; {members} member{plural} built on it", row.height);
                super::print_step(holds, &name, 10, &detail, out);
            }
        }
    }
    steps.iter().for_each(|step| super::print_step(step.holds, step.name, 10, &step.detail, out));
    out.line(summary);
    if verdict == Verdict::Proved {
        out.line(super::NOT_PROVED);
    }
}
