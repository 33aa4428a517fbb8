//! `blockhie record publish`: files go to a gateway; openings, receipts and the patient's copies come back.
//!
//! Each step is on disk before the next: the idempotency key, then the opening, then that the gateway has the record,
//! then the patient's copy and the receipt. So the command may be killed anywhere and run again.

mod gateway;
mod job;
mod kept;
mod memory;
mod multipart;
mod source;
#[cfg(test)]
mod vectors;

use crate::clock::{MAX_TIMEOUT_S, PAUSES};
use crate::failure::{EXIT_FAILED, EXIT_NOT_FINAL, Failure};
use crate::http::read_token;
use crate::output::{Output, note};
use crate::progress::Progress;
use blockhie_core::{Hash32, PublicKey, sha256};
use blockhie_emr::MediaType;
use blockhie_emr::copy::Recipient;
use gateway::{Acknowledged, Gateway, Upload};
use job::{Job, PollError, Stage};
use kept::Outputs;
use memory::Memory;
use serde_json::json;
use source::Source;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const EXAMPLES: &str = "Examples:
  blockhie record publish Observation.json --gateway http://127.0.0.1:8080 --out receipts
      writes receipts/Observation.json.opening.json and, when it is final, receipts/Observation.json.receipt.json
  blockhie record publish scan.pdf --gateway https://gw.example --token-file token --patient age1… --out receipts
      and receipts/scan.pdf.age, which the patient opens with: age -d -i KEY scan.pdf.age | tar x
  blockhie record publish *.json --batch --gateway http://127.0.0.1:8080 --out receipts
      all in one transaction
  pass show gateway | blockhie record publish a.json --token-file - --gateway https://gw.example --out receipts

Killed or cut off? Run the same command again: it finishes the job and publishes nothing twice. The opening holds the
salt: keep it as private as the record. Exit codes: 0 final and kept, 1 failed, 2 not final within --timeout, 3 a file is
unreadable, 64 usage.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The records; their exact bytes are committed
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Address of the gateway
    #[arg(long, value_name = "URL")]
    gateway: String,
    /// File with the gateway's token; `-` reads it from standard input
    #[arg(long, value_name = "FILE|-")]
    token_file: Option<PathBuf>,
    /// Media type of all files [default: by extension; .json is application/fhir+json]
    #[arg(long, value_name = "TYPE")]
    media_type: Option<MediaType>,
    /// Also write the patient's copy, encrypted to this age public key
    #[arg(long, value_name = "age1…")]
    patient: Option<String>,
    /// Public key of whom the records are for; stays in the opening, the chain does not show it
    #[arg(long, value_name = "HEX")]
    addressee: Option<PublicKey>,
    /// One transaction for all files
    #[arg(long)]
    batch: bool,
    /// Folder for the outputs; made if it is not there
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Do not wait: run the same command again later for the receipts
    #[arg(long)]
    no_wait: bool,
    /// How long to wait until all is final, seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 600,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_TIMEOUT_S)))]
    timeout: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What is settled before anything is sent.
struct Plan<'a> {
    args: &'a Args,
    gateway: Gateway,
    patient: Option<Recipient>,
    sources: Vec<Source>,
}

pub(crate) fn run(args: &Args, out: &mut Output) -> Result<u8, Failure> {
    let mut plan = Plan::new(args)?;
    let mut jobs = if args.batch { plan.send_batch()? } else { plan.send_each()? };
    if !args.no_wait {
        plan.wait(&mut jobs)?;
    }
    report(args, &jobs, out)
}

impl<'a> Plan<'a> {
    fn new(args: &'a Args) -> Result<Self, Failure> {
        let patient = args.patient.as_deref().map(str::parse::<Recipient>).transpose();
        let patient = patient.map_err(|error| Failure::usage(format!("--patient: {error}")))?;
        let sources = source::open_all(&args.files, args.media_type.as_ref())?;
        let gateway = Gateway::new(&args.gateway, args.token_file.as_deref().map(read_token).transpose()?)?;
        std::fs::create_dir_all(&args.out).map_err(|error| {
            Failure::failed(format!("--out {}: cannot be made: {error}", args.out.display()))
                .hint("it has to be a folder where you may write")
        })?;
        Ok(Self { args, gateway, patient, sources })
    }

    fn outputs(&self, source: &Source) -> Outputs {
        Outputs::new(&self.args.out, &source.name)
    }

    fn begin(&self, source: &Source, acknowledged: Acknowledged) -> Result<Job, PollError> {
        let (addressee, patient) = (self.args.addressee.as_ref(), self.patient.as_ref());
        Job::begin(source.clone(), self.outputs(source), acknowledged, &self.gateway, addressee, patient)
    }

    /// One request and one transaction for each file.
    fn send_each(&mut self) -> Result<Vec<Job>, Failure> {
        let addressee = self.args.addressee.as_ref();
        let mut jobs = Vec::with_capacity(self.sources.len());
        for source in &self.sources {
            let memory = Memory::of_file(&self.args.out, &source.name, source.fingerprint(addressee))?;
            let body = if memory.records().is_empty() { source.read()? } else { Vec::new() };
            let upload =
                Upload { content_type: source.media_type.as_str(), body: &body, key: &memory.key(), addressee };
            jobs.extend(self.send(memory, &upload, std::slice::from_ref(source))?);
        }
        Ok(jobs)
    }

    /// One request and one transaction for all files, in the order of their names: the order in which they were given
    /// must not matter to who runs the command again.
    fn send_batch(&mut self) -> Result<Vec<Job>, Failure> {
        let addressee = self.args.addressee.as_ref();
        self.sources.sort_by(|a, b| a.name.cmp(&b.name));
        let prints: Vec<Hash32> = self.sources.iter().map(|source| source.fingerprint(addressee)).collect();
        let prints: Vec<&[u8]> = prints.iter().map(|print| print.as_bytes().as_slice()).collect();
        let memory = Memory::of_batch(&self.args.out, sha256(&prints))?;
        let key = memory.key();
        let (content_type, body) = match memory.records() {
            [] => multipart::build(&self.sources)?,
            _ => Default::default(),
        };
        let upload = Upload { content_type: &content_type, body: &body, key: &key, addressee };
        self.send(memory, &upload, &self.sources)
    }

    /// Sends what is not acknowledged yet. The openings are kept before it is remembered as acknowledged.
    fn send(&self, mut memory: Memory, upload: &Upload<'_>, sources: &[Source]) -> Result<Vec<Job>, Failure> {
        let known = !memory.records().is_empty();
        let path = |memory: &Memory| memory.path().display().to_string();
        let acknowledged: Vec<Acknowledged> = if known {
            memory.records().iter().map(|record| Acknowledged { record: *record, opening: None }).collect()
        } else {
            self.gateway.publish(upload).map_err(|error| match error.conflict() {
                true => error
                    .failure()
                    .hint(format!("the key is in {}; without it the file is published anew", path(&memory))),
                false => error.failure(),
            })?
        };
        let (expected, got) = (sources.len(), acknowledged.len());
        if got != expected {
            return Err(Failure::failed(format!("gateway: expected {expected} records in the answer, got {got}"))
                .hint("is that a gateway of this release? Nothing is lost: run the same command again"));
        }
        let records = acknowledged.iter().map(|row| row.record).collect();
        let jobs = sources.iter().zip(acknowledged).map(|(source, row)| self.begin(source, row));
        let jobs = jobs.collect::<Result<Vec<_>, _>>().map_err(|error| match error {
            PollError::Gateway(error) if known && error.not_found() => {
                let path = path(&memory);
                error.failure().hint(format!("another gateway? Remove {path} to publish the file to this one as well"))
            }
            PollError::Gateway(error) => error.failure(),
            PollError::Failure(failure) => failure,
        })?;
        if !known {
            memory.acknowledged(records)?;
        }
        Ok(jobs)
    }

    /// Until every record is final, has failed, or the time is over.
    fn wait(&self, jobs: &mut [Job]) -> Result<(), Failure> {
        let deadline = Instant::now() + Duration::from_secs(u64::from(self.args.timeout));
        let mut progress = Progress::new(jobs.len(), self.args.json);
        let mut pause = PAUSES.0;
        jobs.iter().filter(|job| job.stage == Stage::Done).for_each(|_| progress.done());
        while jobs.iter().any(|job| job.stage == Stage::Waiting) {
            for job in jobs.iter_mut().filter(|job| job.stage == Stage::Waiting) {
                match job.poll(&self.gateway, self.patient.as_ref()) {
                    Ok(text) => progress.tell(&job.source.name, &text),
                    Err(PollError::Gateway(error)) if error.passes() => {
                        progress.tell(&job.source.name, &format!("still waiting: {error}"));
                    }
                    Err(PollError::Gateway(error)) => return Err(error.failure()),
                    Err(PollError::Failure(failure)) => return Err(failure),
                }
                if job.stage == Stage::Done {
                    progress.done();
                }
                if Instant::now() >= deadline {
                    return Ok(());
                }
            }
            if jobs.iter().any(|job| job.stage == Stage::Waiting) {
                std::thread::sleep(pause.min(deadline.saturating_duration_since(Instant::now())));
                pause = (pause * 3 / 2).min(PAUSES.1);
            }
        }
        Ok(())
    }
}

fn report(args: &Args, jobs: &[Job], out: &mut Output) -> Result<u8, Failure> {
    if args.json {
        out.json(&json!({ "records": jobs.iter().map(Job::json).collect::<Vec<_>>() }))?;
    } else {
        jobs.iter().flat_map(Job::lines).for_each(|line| out.line(&line));
    }
    let failed = jobs.iter().filter(|job| matches!(job.stage, Stage::Failed(_))).count();
    if failed > 0 {
        note(&format!("error: {failed} of {} records cannot become final", jobs.len()));
        return Ok(EXIT_FAILED);
    }
    let waiting = jobs.iter().filter(|job| job.stage == Stage::Waiting).count();
    if waiting == 0 {
        return Ok(0);
    }
    let hint = "hint: nothing is lost: run the same command again for the receipts";
    if args.no_wait {
        note(hint);
        return Ok(0);
    }
    note(&format!("error: {waiting} of {} records not final after {} s", jobs.len(), args.timeout));
    note(hint);
    Ok(EXIT_NOT_FINAL)
}
