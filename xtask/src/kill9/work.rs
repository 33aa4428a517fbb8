//! What people do meanwhile: publish, push, link, each again until it is acknowledged; and the proof that it all lasted.

use super::now_ms;
use super::town::Town;
use crate::running::get;
use crate::system::{Binaries, text};
use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long one job may go on meeting processes that are away.
const PATIENCE: Duration = Duration::from_secs(180);
/// Before a job that met one is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(200);
/// Between two jobs of one kind: a person, not a load test.
const JOB_PAUSE: Duration = Duration::from_millis(100);
/// Between two links, on top of that.
const LINK_PAUSE: Duration = Duration::from_millis(800);
/// Readings in one push, in two segments.
const READINGS: usize = 20;

/// What is done, and what came of it.
pub(super) struct Work {
    binaries: Binaries,
    dir: PathBuf,
    url: String,
    token: PathBuf,
    person: PathBuf,
    device: PathBuf,
    device_public: String,
    audience_public: String,
    /// Commitment of the record that is linked.
    record: String,
    started_ms: u64,
    over: AtomicBool,
    failure: Mutex<Option<String>>,
    records: AtomicUsize,
    pushes: AtomicUsize,
    /// Their names.
    links: Mutex<Vec<String>>,
    /// Commands that met a process that was away.
    met: AtomicUsize,
}

/// The middle of a job's text; made up.
fn observation(serial: usize) -> String {
    format!(
        "{{\"resourceType\":\"Observation\",\"id\":\"made-up-{serial}\",\"status\":\"final\",\"code\":{{\"text\":\"pulse\"}},\
         \"valueQuantity\":{{\"value\":{},\"unit\":\"/min\"}}}}\n",
        60 + serial % 40
    )
}

/// The file of one push.
fn readings(serial: usize) -> String {
    (0..READINGS).map(|at| format!("{}\n", 60 + (serial * 7 + at * 3) % 50)).collect()
}

impl Work {
    /// Keys, one record of the person and the enrolled device.
    pub(super) fn prepare(binaries: &Binaries, dir: &Path, town: &Town) -> Result<Self> {
        let key = |name: &str| {
            let file = dir.join(format!("{name}.key"));
            binaries.keygen(&file).map(|public| (file, public))
        };
        let ((person, person_public), (device, device_public)) = (key("person")?, key("device")?);
        let (audience_public, url, token) = (key("doctor")?.1, town.gateway_url(), town.plan().token());
        let file = dir.join("linked.json");
        std::fs::write(&file, observation(0))?;
        let out = dir.join("linked");
        let publish = ["record", "publish", text(&file)?, "--gateway", &url, "--token-file", text(&token)?];
        let more = ["--addressee", &person_public, "--out", text(&out)?, "--json"];
        let published = binaries.json("blockhie", &[&publish[..], &more].concat())?;
        let record = published["records"][0]["record"].as_str().context("a published record has a commitment")?;
        let register = ["device", "register", "--owner", text(&person)?, "--device", text(&device)?];
        binaries.run("blockhie", &[&register[..], &["--gateway", &url]].concat())?;
        for folder in ["records", "pushes"] {
            std::fs::create_dir(dir.join(folder)).with_context(|| format!("make {folder}"))?;
        }
        Ok(Self {
            binaries: binaries.clone(),
            dir: dir.to_owned(),
            url,
            token,
            person,
            device,
            device_public,
            audience_public,
            record: record.to_owned(),
            started_ms: now_ms(),
            over: AtomicBool::new(false),
            failure: Mutex::new(None),
            records: AtomicUsize::new(0),
            pushes: AtomicUsize::new(0),
            links: Mutex::default(),
            met: AtomicUsize::new(0),
        })
    }

    /// Starts one thread for each kind of job.
    pub(super) fn begin(work: &Arc<Self>) -> Vec<JoinHandle<()>> {
        let jobs: [fn(&Self) -> Result<()>; 3] = [Self::publish_next, Self::push_next, Self::link_next];
        let start = |job: fn(&Self) -> Result<()>| {
            let work = Arc::clone(work);
            std::thread::spawn(move || {
                while !work.over.load(Ordering::Relaxed) {
                    if let Err(error) = job(&work) {
                        work.over.store(true, Ordering::Relaxed);
                        *work.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(format!("{error:#}"));
                    }
                    std::thread::sleep(JOB_PAUSE);
                }
            })
        };
        jobs.into_iter().map(start).collect()
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Lets the jobs under way end.
    pub(super) fn end(&self, workers: Vec<JoinHandle<()>>) -> Result<()> {
        self.over.store(true, Ordering::Relaxed);
        for worker in workers {
            ensure!(worker.join().is_ok(), "a worker panicked");
        }
        match self.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(failure) => bail!(failure),
            None => Ok(()),
        }
    }

    fn links(&self) -> MutexGuard<'_, Vec<String>> {
        // A name is pushed whole or not at all.
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts for a person.
    pub(super) fn told(&self) -> String {
        let of = |count: &AtomicUsize| count.load(Ordering::Relaxed);
        let (records, readings, links) = (of(&self.records), of(&self.pushes) * READINGS, self.links().len());
        format!("{records} records, {readings} readings, {links} links ({} commands met a dead process)", of(&self.met))
    }

    /// A command, again until it exits 0; answers what it printed.
    fn insist(&self, arguments: &[&str]) -> Result<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (code, printed) = self.binaries.try_run("blockhie", arguments)?;
            if code == 0 {
                return Ok(printed);
            }
            self.met.fetch_add(1, Ordering::Relaxed);
            if Instant::now() >= deadline {
                bail!("blockhie {}: exit {code} even after {} s\n{printed}", arguments.join(" "), PATIENCE.as_secs());
            }
            std::thread::sleep(RETRY_PAUSE);
        }
    }

    fn record_file(&self, serial: usize) -> PathBuf {
        self.dir.join("records").join(format!("{serial}.json"))
    }

    fn receipts(&self) -> PathBuf {
        self.dir.join("receipts")
    }

    fn publish(&self, files: &[PathBuf], more: &[&str]) -> Result<()> {
        let out = self.receipts();
        let files = files.iter().map(|file| text(file)).collect::<Result<Vec<_>>>()?;
        let fixed = ["--gateway", &self.url, "--token-file", text(&self.token)?, "--out", text(&out)?];
        self.insist(&[&["record", "publish"][..], &files, &fixed, more].concat()).map(drop)
    }

    /// Acknowledged is what `--no-wait` exits 0 for: the command then remembers it and never sends it again.
    fn publish_next(&self) -> Result<()> {
        let serial = self.records.load(Ordering::Relaxed);
        let file = self.record_file(serial);
        std::fs::write(&file, observation(serial + 1))?;
        self.publish(&[file], &["--no-wait"])?;
        self.records.store(serial + 1, Ordering::Relaxed);
        Ok(())
    }

    fn push_next(&self) -> Result<()> {
        let serial = self.pushes.load(Ordering::Relaxed);
        let file = self.dir.join("pushes").join(format!("{serial}.csv"));
        std::fs::write(&file, readings(serial))?;
        let first_seq = (serial * READINGS).to_string();
        let start_ms = (self.started_ms + 1_000 * (serial * READINGS) as u64).to_string();
        let segment = (READINGS / 2).to_string();
        let push = ["device", "push", text(&file)?, "--device", text(&self.device)?, "--gateway", &self.url];
        let what = ["--rate", "1", "--code", "8867-4", "--first-seq", &first_seq, "--start", &start_ms];
        self.insist(&[&push[..], &what, &["--segment", &segment, "--no-wait"]].concat())?;
        self.pushes.store(serial + 1, Ordering::Relaxed);
        Ok(())
    }

    fn link_folder(&self, serial: usize) -> PathBuf {
        self.dir.join(format!("link-{serial}"))
    }

    fn link(&self, serial: usize, more: &[&str]) -> Result<String> {
        let (out, person) = (self.link_folder(serial), text(&self.person)?);
        let ends = ["link", "create", "--record", &self.record, "--device", &self.device_public];
        let signers = ["--owner", person, "--holder", person, "--audience", &self.audience_public];
        let rest = ["--expires-in", "30", "--gateway", &self.url, "--out", text(&out)?, "--timeout", "120"];
        self.insist(&[&ends[..], &signers, &rest, more].concat())
    }

    /// Acknowledged is what `--no-wait` exits 0 for; the halves go out in the next seconds.
    fn link_next(&self) -> Result<()> {
        let serial = self.links().len();
        let printed = self.link(serial, &["--no-wait", "--json"])?;
        let link = printed.split_once("\"link\":\"").and_then(|(_, rest)| rest.get(..64));
        self.links().push(link.with_context(|| format!("expected a link in {printed}"))?.to_owned());
        std::thread::sleep(LINK_PAUSE);
        Ok(())
    }

    /// Gets the receipts of everything acknowledged. Nothing that the gateway may have lost is handed in again: a record
    /// that it forgot is an error of the command, readings are missing in the export, and links are asked for first.
    pub(super) fn collect(&self) -> Result<()> {
        let records: Vec<PathBuf> =
            (0..self.records.load(Ordering::Relaxed)).map(|serial| self.record_file(serial)).collect();
        self.publish(&records, &["--timeout", "120"])?;
        let token = std::fs::read_to_string(&self.token).context("read the gateway's token")?;
        let address = self.url.trim_start_matches("http://");
        let links = self.links().clone();
        for (serial, link) in links.iter().enumerate() {
            get(address, &format!("/api/v1/links/{link}"), token.trim())
                .with_context(|| format!("link {serial} was acknowledged"))?;
            self.link(serial, &[])?;
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.export() {
                Ok(()) => return Ok(()),
                Err(error) if Instant::now() >= deadline => return Err(error),
                Err(_) => std::thread::sleep(RETRY_PAUSE),
            }
        }
    }

    fn exported(&self) -> PathBuf {
        self.dir.join("export")
    }

    fn export(&self) -> Result<()> {
        let out = self.exported();
        let device = ["device", "export", "--device", &self.device_public, "--format", "csv", "--with-proofs"];
        let rest = ["--gateway", &self.url, "--key", text(&self.person)?, "--out", text(&out)?];
        self.binaries.run("blockhie", &[&device[..], &rest].concat())?;
        let wanted: String = (0..self.pushes.load(Ordering::Relaxed)).map(readings).collect();
        let got = std::fs::read_to_string(out.join("readings.csv")).context("read the export")?;
        let (expected, lines) = (wanted.lines().count(), got.lines().count());
        ensure!(got == wanted, "readings: expected the {expected} acknowledged ones, got {lines}, or others");
        Ok(())
    }

    /// Everything, with files only.
    pub(super) fn verify(&self, town: &Town) -> Result<()> {
        let (emr, phd) = (text(town.emr().genesis())?, text(town.phd().genesis())?);
        for serial in 0..self.records.load(Ordering::Relaxed) {
            let out = self.receipts();
            let (receipt, opening) =
                (out.join(format!("{serial}.json.receipt.json")), out.join(format!("{serial}.json.opening.json")));
            let file = self.record_file(serial);
            let record = ["--record", text(&file)?, "--opening", text(&opening)?, "--genesis", emr];
            self.prove(&[&["verify", "--receipt", text(&receipt)?][..], &record].concat())?;
        }
        let out = self.exported();
        let file = out.join("readings.csv");
        self.prove(&["verify", "--readings", text(&file)?, "--proofs", text(&out)?, "--genesis", phd])?;
        for serial in 0..self.links().len() {
            let folder = self.link_folder(serial);
            let genesis = ["--emr-genesis", emr, "--phd-genesis", phd, "--audience", &self.audience_public];
            self.prove(&[&["link", "verify", "--dir", text(&folder)?][..], &genesis].concat())?;
        }
        Ok(())
    }

    fn prove(&self, arguments: &[&str]) -> Result<()> {
        self.binaries.run("blockhie", arguments).map(drop)
    }
}
