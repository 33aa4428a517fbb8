//! A device: enrolled, its readings pushed, given back, proved, refuted.

use super::{Demo, Options, Servers, count};
use crate::system::text;
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};

/// LOINC code of the sample: heart rate.
const PULSE: &str = "8867-4";
/// UCUM unit of the sample.
const PULSE_UNIT: &str = "/min";
/// Readings in a segment of the sample: four minutes, four segments.
const SAMPLE_SEGMENT: &str = "60";

/// What is pushed.
pub(super) struct Feed {
    file: PathBuf,
    /// None for a file with times.
    rate: Option<String>,
    /// More arguments of `device push`.
    more: Vec<String>,
}

/// Readings that are final.
pub(super) struct Pushed {
    file: PathBuf,
    /// Folder of the export with proofs.
    out: PathBuf,
    /// First sequence number of each segment, ascending, as its files are named.
    pub(super) segments: Vec<String>,
    /// How many.
    pub(super) readings: usize,
}

impl Feed {
    /// The sample, or the file of `--readings`. A file of one column at no `--rate` counts as one reading a second.
    pub(super) fn new(root: &Path, options: &Options) -> Result<Self> {
        let words = |words: &[&str]| words.iter().map(ToString::to_string).collect();
        let Some(file) = &options.readings else {
            let more = words(&["--code", PULSE, "--unit", PULSE_UNIT, "--segment", SAMPLE_SEGMENT]);
            return Ok(Self { file: root.join("xtask/samples/readings.csv"), rate: Some("1".into()), more });
        };
        let file = file.canonicalize().with_context(|| format!("--readings {}", file.display()))?;
        let read = std::fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        let is_timed = read.lines().last().is_some_and(|line| line.contains(','));
        let rate = match (&options.rate, is_timed) {
            (Some(rate), _) => Some(rate.clone()),
            (None, true) => None,
            (None, false) => {
                println!("{}: one column and no --rate: taken as 1 reading a second", file.display());
                Some("1".into())
            }
        };
        Ok(Self { file, rate, more: words(&["--code", options.code.as_deref().unwrap_or(PULSE)]) })
    }
}

impl Demo {
    /// Enrols the device, pushes the readings and has them given back.
    pub(super) fn push_all(&self, feed: &Feed, servers: &Servers) -> Result<Pushed> {
        let (url, device) = (servers.url(), text(&self.people.device)?);
        let owner = text(&self.people.person)?;
        self.show(&["device", "register", "--owner", owner, "--device", device, "--gateway", &url])?;
        self.step("the person's device is enrolled: both keys have signed, and it is final");
        let mut push = vec!["device", "push", text(&feed.file)?, "--device", device, "--gateway", &url];
        push.extend(feed.rate.iter().flat_map(|rate| ["--rate", rate.as_str()]));
        push.extend(feed.more.iter().map(String::as_str));
        self.show(&push)?;
        self.step("its readings are sealed, pushed and final: hash on the chain, sealed bytes with the gateway");

        let (out, device) = (self.dir.join("readings"), self.people.device_public.as_str());
        let export = ["device", "export", "--device", device, "--format", "csv", "--with-proofs", "--gateway", &url];
        self.show(&[&export[..], &["--key", owner, "--out", text(&out)?]].concat())?;
        let pushed = Pushed::read(&feed.file, &out)?;
        let (readings, segments) = (count(pushed.readings, "reading"), count(pushed.segments.len(), "segment"));
        self.step(&format!("{readings} in {segments} came back byte for byte, each segment with its proof"));
        Ok(pushed)
    }

    /// Proves every row.
    pub(super) fn verify_readings(&self, pushed: &Pushed) -> Result<()> {
        let printed = self.check(0, &self.verify_arguments(pushed, &pushed.file)?)?;
        println!("{}", line_with(&printed, "proved: ")?);
        let (readings, segments) = (count(pushed.readings, "reading"), count(pushed.segments.len(), "segment"));
        self.step(&format!("{readings} proved offline, row by row, against {segments}"));
        Ok(())
    }

    fn verify_arguments<'a>(&'a self, pushed: &'a Pushed, file: &'a Path) -> Result<[&'a str; 7]> {
        let genesis = text(self.phd.genesis())?;
        Ok(["verify", "--readings", text(file)?, "--proofs", text(&pushed.out)?, "--genesis", genesis])
    }

    /// One changed sample must not pass, and the segment it is in must be named.
    pub(super) fn refute_sample(&self, pushed: &Pushed) -> Result<()> {
        let read = std::fs::read_to_string(&pushed.file)?;
        let (changed, row) = change_digit(&read)?;
        let file = self.folder("changed")?.join("readings.csv");
        std::fs::write(&file, changed)?;
        let printed = self.check(1, &self.verify_arguments(pushed, &file)?)?;
        let segment = pushed.segment_of(row, &read)?;
        let refuted = line_with(&printed, "refuted: ")?;
        let named = format!("segment {segment} of device {}", self.people.device_public);
        ensure!(refuted.contains(&named), "expected {named} to be named, got {refuted}");
        println!("{refuted}");
        self.step(&format!("the same readings with one digit of row {row} changed are refuted (exit 1)"));
        Ok(())
    }
}

/// The text with the last digit of its middle line changed, and that line's number, 1-based.
fn change_digit(read: &str) -> Result<(String, usize)> {
    let lines: Vec<&str> = read.split_inclusive('\n').collect();
    let middle = lines.len() / 2;
    let line = lines.get(middle).context("expected readings, got none")?;
    let at = line.rfind(|digit: char| digit.is_ascii_digit()).context("expected a line with a digit")?;
    let digit = if &line[at..=at] == "1" { "2" } else { "1" };
    let before: String = lines[..middle].concat();
    let after: String = lines[middle + 1..].concat();
    Ok((format!("{before}{}{digit}{}{after}", &line[..at], &line[at + 1..]), middle + 1))
}

/// The line that begins so.
fn line_with<'a>(printed: &'a str, begin: &str) -> Result<&'a str> {
    let line = printed.lines().find(|line| line.starts_with(begin));
    line.with_context(|| format!("expected a line `{begin}…`, got\n{printed}"))
}

/// Whether a file's first line names its columns: numbers begin otherwise.
fn has_header(read: &str) -> bool {
    let begin = read.trim_start_matches(['\u{feff}', ' ', '"']);
    begin.starts_with(|first: char| !first.is_ascii_digit() && !"-+.,".contains(first))
}

impl Pushed {
    /// What was exported; it must be the file that was pushed, byte for byte.
    fn read(file: &Path, out: &Path) -> Result<Self> {
        let (wanted, got) = (std::fs::read(file)?, std::fs::read(out.join("readings.csv")).context("read the export")?);
        ensure!(got == wanted, "{}: other readings came back", file.display());
        let mut segments = Vec::new();
        for entry in std::fs::read_dir(out).with_context(|| format!("look into {}", out.display()))? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            segments.extend(name.strip_suffix(".segment.receipt.json").map(str::to_owned));
        }
        segments.sort();
        ensure!(!segments.is_empty(), "{}: expected receipts of segments, got none", out.display());
        let read = String::from_utf8_lossy(&wanted).into_owned();
        let readings = read.lines().count() - usize::from(has_header(&read));
        Ok(Self { file: file.to_owned(), out: out.to_owned(), segments, readings })
    }

    /// Decimal first sequence number of the segment that a line (1-based) of the file is in.
    fn segment_of(&self, line: usize, read: &str) -> Result<String> {
        let sequence = line - 1 - usize::from(has_header(read));
        let first = self.segments.iter().filter_map(|name| name.parse::<usize>().ok()).filter(|seq| *seq <= sequence);
        Ok(first.max().context("the first segment begins at 0")?.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_digit_of_the_middle_line_is_changed() {
        assert_eq!(change_digit("70\n71\n72\n73\n").unwrap(), ("70\n71\n71\n73\n".into(), 3));
        assert_eq!(change_digit("timer,hr\n0,1.5\n8.5,11\n").unwrap(), ("timer,hr\n0,1.1\n8.5,11\n".into(), 2));
        assert!(change_digit("").is_err() && change_digit("x\n").is_err());
    }

    #[test]
    fn the_segment_of_a_line_is_the_last_that_begins_before_it() {
        let segments = vec!["00000000000000000000".to_owned(), "00000000000000000060".to_owned()];
        let pushed = Pushed { file: PathBuf::new(), out: PathBuf::new(), segments, readings: 120 };
        let of = |line, read| pushed.segment_of(line, read).unwrap();
        assert_eq!((of(1, "70\n"), of(60, "70\n"), of(61, "70\n")), ("0".into(), "0".into(), "60".into()));
        assert_eq!((of(61, "hr\n"), of(62, "hr\n")), ("0".into(), "60".into()));
        assert!(has_header("µV\n7\n") && !has_header("-7\n") && !has_header(""));
    }
}
