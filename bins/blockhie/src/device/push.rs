//! `blockhie device push`: a recording is cut into segments, sealed and handed to a gateway.
//!
//! Content, key and sealed bytes of a segment follow from the device's key, its place and its samples. So the command
//! may be killed anywhere and run again: the gateway answers what it has already as before.

use super::api::{Api, TakenSegment};
use super::{Patience, WaitArgs, read_key};
use crate::clock::{now_ms, parse_time, since_epoch};
use crate::failure::Failure;
use crate::files;
use crate::http::Access;
use crate::output::{Output, note};
use crate::progress::Progress;
use crate::status::Status;
use blockhie_core::SecretKey;
use blockhie_phd::formats::{Table, read_csv, rfc3339};
use blockhie_phd::{Carriage, Decimal, Samples, Segment, prepare_segment};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Longest file read, bytes: it is held in memory. At 100 Hz days of readings.
const MAX_FILE_BYTES: usize = 256 << 20;
/// Samples of a segment by default: a minute at 100 Hz, and a few KiB sealed.
const DEFAULT_SEGMENT: u32 = 6_000;
/// Most samples of a segment.
const MAX_SEGMENT: i64 = 1 << 20;
/// Segments, bytes of hex and readings of one request at most, so that it is answered within the gateway's time and
/// below its own bounds.
const REQUEST: (usize, usize, u64) = (64, 8 << 20, 2 << 20);

const EXAMPLES: &str = "Examples:
  blockhie device push ppg.csv --device sensor.key --rate 100 --code 8867-4 --gateway http://127.0.0.1:8080
      one value a line, 100 a second
  blockhie device push timed.csv --device sensor.key --code 8867-4 --unit /min --start 2026-01-31T12:00:00Z --gateway URL
      two columns, time and value, with or without a header line; times are milliseconds, or dates as
      2016-11-24 13:58:58.081 in UTC, and then --start is not needed
  blockhie device push next.csv --device sensor.key --rate 100 --code 8867-4 --first-seq 2483 --gateway URL
      goes on after 2,483 readings

The chain gets a digest of each segment; the sealed bytes go to the gateway, where they can be erased. Its key goes with
them, so that the gateway can answer by time (--sealed-only keeps it here). Killed or cut off? Run the same command
again: nothing is pushed twice. Exit codes: 0 final, 1 failed, 2 not final within --timeout, 3 a file is unreadable,
64 usage.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The recording
    #[arg(value_name = "FILE.csv")]
    file: PathBuf,
    /// Key file of the device
    #[arg(long, value_name = "KEYFILE")]
    device: PathBuf,
    /// Samples a second; not used by a file with times
    #[arg(long, value_name = "HZ")]
    rate: Option<Decimal>,
    /// What was measured: a LOINC code
    #[arg(long, value_name = "LOINC")]
    code: String,
    /// Its UCUM unit
    #[arg(long, value_name = "UNIT", default_value = "")]
    unit: String,
    /// When it began: ms since 1970, or RFC 3339 [default: so that it ended when the file was last written]
    #[arg(long, value_name = "MS|TIME", value_parser = parse_time)]
    start: Option<u64>,
    /// Sequence number of the first reading
    #[arg(long, value_name = "N", default_value_t = 0)]
    first_seq: u64,
    /// Samples of a segment
    #[arg(long, value_name = "SAMPLES", default_value_t = DEFAULT_SEGMENT,
          value_parser = clap::value_parser!(u32).range(1..=MAX_SEGMENT))]
    segment: u32,
    /// Put the sealed bytes on the chain, where they can never be erased
    #[arg(long)]
    inline: bool,
    /// Do not hand the keys to the gateway: it then cannot answer by time
    #[arg(long)]
    sealed_only: bool,
    /// Address of the gateway
    #[arg(long, value_name = "URL")]
    gateway: String,
    #[command(flatten)]
    wait: WaitArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, out: &mut Output) -> Result<u8, Failure> {
    let device = read_key(&args.device, "--device")?;
    let recording = cut(args)?;
    let api = Api::new(&args.gateway)?;
    if args.inline {
        note("warning: --inline: the sealed bytes go on the chain for ever; erasing can only destroy their keys");
    }
    let segments = seal(args, &api, &device, &recording)?;
    let mut patience = Patience::new(&args.wait);
    let mut progress = Progress::new(segments.len(), args.json);
    let taken = hand_in(args, &api, &device, &segments, &mut patience, &mut progress)?;
    let mut last = None;
    if !args.wait.no_wait {
        for segment in &taken {
            let name = format!("readings {} to {}", segment.first_seq, last_of(segment));
            let ask = || api.segment_status(&device.public(), segment.first_seq);
            last = Some(patience.settled(&name, &mut progress, ask)?);
        }
    }
    drop(progress);
    report(args, &device, &recording, &taken, last.as_ref(), out)
}

fn last_of(segment: &TakenSegment) -> u64 {
    segment.first_seq.saturating_add(u64::from(segment.count)).saturating_sub(1)
}

/// Reads the file and cuts it.
fn cut(args: &Args) -> Result<Vec<Samples>, Failure> {
    let path = args.file.display();
    let bytes = files::read(&args.file, MAX_FILE_BYTES, "recording")?;
    let text = String::from_utf8(bytes).map_err(|error| Failure::form(format!("{path}: {error}")))?;
    let table = read_csv(&text).map_err(|error| {
        Failure::form(format!("{path}: {error}"))
            .hint("one decimal number a line, or time and number; what is pushed comes back byte for byte")
    })?;
    match (&table.offsets, args.rate) {
        (None, None) => {
            return Err(Failure::usage(format!("--rate: {path} holds no times: expected its samples a second"))
                .hint("for example --rate 100"));
        }
        (Some(_), Some(_)) => note(&format!("{path} holds its own times: --rate is not used")),
        _ => {}
    }
    let start_ms = match (table.start_ms, args.start) {
        (Some(own), given) => {
            if given.is_some() {
                note(&format!("{path} holds dates: --start is not used"));
            }
            own
        }
        (None, Some(given)) => given,
        (None, None) => guess_start(args, &table)?,
    };
    let per_segment = usize::try_from(args.segment).unwrap_or(usize::MAX);
    let parts = table.segments(&args.code, &args.unit, start_ms, args.rate, per_segment);
    let parts = parts.map_err(|error| Failure::usage(error.to_string()))?;
    parts.iter().try_for_each(Samples::check).map_err(|error| Failure::usage(error.to_string()))?;
    Ok(parts)
}

/// The same for the same file, however often it is pushed: the time it was last written less its length.
fn guess_start(args: &Args, table: &Table) -> Result<u64, Failure> {
    let modified = args.file.metadata().and_then(|meta| meta.modified());
    let modified = modified.map_err(|error| {
        Failure::form(format!("{}: no time of change: {error}", args.file.display())).hint("give --start")
    })?;
    let whole = table.segments(&args.code, &args.unit, 0, args.rate, usize::MAX);
    let whole = whole.map_err(|error| Failure::usage(error.to_string()))?;
    let lasts_ms = whole.first().map_or(0, Samples::end_us).div_ceil(1_000);
    let start_ms = since_epoch(modified).saturating_sub(lasts_ms);
    let told = rfc3339(start_ms.saturating_mul(1_000));
    note(&format!("no --start given: taken to have begun at {told}, so that it ended when the file was last written"));
    Ok(start_ms)
}

fn seal(args: &Args, api: &Api, device: &SecretKey, recording: &[Samples]) -> Result<Vec<Segment>, Failure> {
    let chain = api.chain().map_err(|error| error.failure())?;
    let carriage = if args.inline { Carriage::Inline } else { Carriage::Blob };
    let mut first_seq = args.first_seq;
    let mut segments = Vec::with_capacity(recording.len());
    for samples in recording {
        let segment = prepare_segment(&chain, device, first_seq, samples, carriage, now_ms());
        let segment = segment.map_err(|error| {
            let hint = if args.inline { "a smaller --segment, or without --inline" } else { "" };
            Failure::usage(error.to_string()).hint(hint)
        })?;
        first_seq = first_seq.saturating_add(u64::from(segment.place.count));
        segments.push(segment);
    }
    Ok(segments)
}

/// Hands the segments in, a bounded number at once; waits where the gateway is busy.
fn hand_in(
    args: &Args,
    api: &Api,
    device: &SecretKey,
    segments: &[Segment],
    patience: &mut Patience,
    progress: &mut Progress,
) -> Result<Vec<TakenSegment>, Failure> {
    let public = device.public();
    let mut taken: Vec<TakenSegment> = Vec::with_capacity(segments.len());
    while let Some(rest) = segments.get(taken.len()..).filter(|rest| !rest.is_empty()) {
        let (mut rows, mut bytes, mut readings) = (Vec::new(), 0, 0);
        for segment in rest.iter().take(REQUEST.0) {
            let row = row(args, segment);
            bytes += 2 * (segment.sealed.len() + segment.transaction.body().len());
            readings += u64::from(segment.place.count);
            if !rows.is_empty() && (bytes > REQUEST.1 || readings > REQUEST.2) {
                break;
            }
            rows.push(row);
        }
        let asked = &rest[..rows.len()];
        let body = json!({ "segments": rows }).to_string();
        progress.tell("push", &format!("{} of {} segments handed in", taken.len(), segments.len()));
        let answer = match api.push(&public, body.as_bytes()) {
            Ok(answer) => answer,
            Err(error) if error.conflict() => return Err(error.failure().hint(next_free(api, device))),
            Err(error) if error.busy() && patience.pause() => {
                progress.tell("push", &format!("waiting: {error}"));
                continue;
            }
            Err(error) if error.not_found() => {
                return Err(error
                    .failure()
                    .hint("is the device registered with this gateway? `blockhie device register`"));
            }
            Err(error) => return Err(error.failure()),
        };
        let fits = |(asked, row): (&Segment, &TakenSegment)| {
            (asked.place.first_seq, asked.place.count) == (row.first_seq, row.count)
        };
        if answer.len() != asked.len() || !asked.iter().zip(&answer).all(fits) {
            return Err(api.bad_answer("expected the segments that were handed in, got others".into()));
        }
        taken.extend(answer);
    }
    Ok(taken)
}

fn row(args: &Args, segment: &Segment) -> Value {
    let sealed = (!args.inline).then(|| hex::encode(&segment.sealed));
    let key = (!args.sealed_only).then_some(&segment.key);
    json!({ "transaction": hex::encode(segment.transaction.to_bytes()), "sealed": sealed, "key": key })
}

/// What helps where the gateway says that it has something else.
fn next_free(api: &Api, device: &SecretKey) -> String {
    let Ok(view) = api.device(&device.public(), Access::Key(device)) else { return String::new() };
    if view.state == "retired" {
        return "its owner retired the device: it cannot push any more".into();
    }
    let end = view.segments.iter().map(|row| row.first_seq.saturating_add(u64::from(row.count))).max();
    match end {
        Some(end) => format!(
            "these numbers are taken by other readings: --first-seq {end} goes on after them. To push the same file \
             again, give the same --start, --first-seq and --segment as before"
        ),
        None => "these numbers are taken by other readings: give a higher --first-seq".into(),
    }
}

fn report(
    args: &Args,
    device: &SecretKey,
    recording: &[Samples],
    taken: &[TakenSegment],
    last: Option<&Status>,
    out: &mut Output,
) -> Result<u8, Failure> {
    let readings: usize = recording.iter().map(Samples::len).sum();
    let fresh = taken.iter().filter(|row| row.fresh).count();
    let state = last.map_or("submitted", |status| status.state.name());
    let start_ms = recording.first().map(|samples| samples.start_ms);
    if args.json {
        let rows: Vec<Value> = taken
            .iter()
            .map(|row| json!({ "first_seq": row.first_seq, "count": row.count, "txhash": row.txhash, "fresh": row.fresh }))
            .collect();
        out.json(&json!({
            "device": device.public(), "start_ms": start_ms, "readings": readings, "state": state, "segments": rows,
        }))?;
        return Ok(0);
    }
    let end = taken.last().map_or(args.first_seq, last_of);
    let state = match last {
        None => "handed in, not final yet".to_owned(),
        Some(status) => status.told(),
    };
    let again = if fresh == taken.len() { String::new() } else { format!(" ({} were there)", taken.len() - fresh) };
    let plural = if taken.len() == 1 { "" } else { "s" };
    let segments = format!("{} segment{plural}{again}", taken.len());
    out.line(&format!("device {}: {readings} readings in {segments}: {state}", device.public()));
    out.line(&format!("  sequence {} to {end}", args.first_seq));
    if let (Some(first), Some(last)) = (recording.first(), recording.last()) {
        out.line(&format!("  time     {} to {}", rfc3339(first.time_us(0)), rfc3339(last.end_us())));
    }
    Ok(0)
}
