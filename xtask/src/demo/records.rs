//! Records: published, given back, proved, refuted.

use super::{Demo, Servers, count};
use crate::running::get;
use crate::system::text;
use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};

/// Public half of a key pair that anybody may know, so that the patient's copy of the demo can be opened:
/// AGE-SECRET-KEY-1YY2LAJ8KLSGZT3TVKUG93CUSNJ9FV6WAY6PRVQT4060QR2YV7NSS02A4PW
const DEMO_PATIENT: &str = "age1ryxkmfgnnx0v48r093cw32f5g99ygpn8a8rqt7j2qk7j42rdngxsqn0yd2";

/// What is published: some records each by itself, others in one transaction.
pub(super) struct Work {
    single: Vec<PathBuf>,
    batch: Vec<PathBuf>,
}

/// A record that is final.
pub(super) struct Published {
    record: PathBuf,
    out: PathBuf,
    /// Names it everywhere, hex.
    pub(super) commitment: String,
}

impl Work {
    /// The samples, or the files of a folder each by itself and the samples as the batch.
    pub(super) fn new(root: &Path, folder: Option<&Path>) -> Result<Self> {
        let samples = files_of(&root.join("xtask/samples/records"))?;
        let (first, rest) = samples.split_first().context("there are samples")?;
        Ok(match folder {
            Some(folder) => Self { single: files_of(folder)?, batch: samples },
            None => Self { single: vec![first.clone()], batch: rest.to_vec() },
        })
    }
}

/// The files of a folder by name.
fn files_of(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("records in {}", folder.display()))?;
    let mut files: Vec<PathBuf> =
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<std::io::Result<_>>()?;
    files.retain(|file| file.is_file());
    files.sort();
    ensure!(!files.is_empty(), "records in {}: expected at least one file, got none", folder.display());
    files.iter().map(|file| file.canonicalize().context("find a record")).collect()
}

impl Demo {
    /// Publishes all and has all given back. The first one is among those that name the person.
    pub(super) fn publish_all(&self, work: &Work, servers: &Servers) -> Result<Vec<Published>> {
        let (single, batch) = (self.dir.join("published"), self.dir.join("published-in-one"));
        let person = self.people.person_public.as_str();
        self.publish(&work.single, servers, &single, &["--patient", DEMO_PATIENT, "--addressee", person])?;
        let records = count(work.single.len(), "record");
        self.step(&format!("{records} of the person published and final: vault, own copy, proof on the chain"));
        self.publish(&work.batch, servers, &batch, &["--batch"])?;
        let records = count(work.batch.len(), "record");
        self.step(&format!("{records} published and final, all in one transaction"));
        let all = work.single.iter().map(|record| (record, &single));
        let all = all.chain(work.batch.iter().map(|record| (record, &batch)));
        let published = all.map(|(record, out)| self.fetch_back(record, out, servers)).collect::<Result<Vec<_>>>()?;
        let records = count(published.len(), "record");
        self.step(&format!("{records} came back from the vault byte for byte"));
        Ok(published)
    }

    fn publish(&self, records: &[PathBuf], servers: &Servers, out: &Path, more: &[&str]) -> Result<()> {
        let (url, token) = (servers.url(), servers.plan.token());
        let files = records.iter().map(|file| text(file)).collect::<Result<Vec<_>>>()?;
        let fixed = ["--gateway", &url, "--token-file", text(&token)?, "--out", text(out)?];
        self.show(&[&["record", "publish"][..], &files, &fixed, more].concat())
    }

    /// What the vault gives back is what was submitted, byte for byte.
    fn fetch_back(&self, record: &Path, out: &Path, servers: &Servers) -> Result<Published> {
        let token = std::fs::read_to_string(servers.plan.token()).context("read the gateway's token")?;
        let (code, printed) = self.verify_record(record, out)?;
        let commitment = printed.split_once("those of record ").and_then(|(_, rest)| rest.get(..64));
        let Some(commitment) = commitment else { bail!("{}: verify exits {code}:\n{printed}", record.display()) };
        let got = get(servers.gateway.address(), &format!("/api/v1/records/{commitment}"), token.trim())?;
        let wanted = std::fs::read(record).context("read a record")?;
        ensure!(got == wanted, "{}: the vault gave back other bytes", record.display());
        Ok(Published { record: record.to_owned(), out: out.to_owned(), commitment: commitment.to_owned() })
    }

    fn verify_record(&self, record: &Path, out: &Path) -> Result<(i32, String)> {
        let name = record.file_name().and_then(|name| name.to_str()).context("a record's name in UTF-8")?;
        let (receipt, opening) = (out.join(format!("{name}.receipt.json")), out.join(format!("{name}.opening.json")));
        let (receipt, opening, genesis) = (text(&receipt)?, text(&opening)?, text(self.emr.genesis())?);
        let files = ["--receipt", receipt, "--record", text(record)?, "--opening", opening];
        self.binaries.try_run("blockhie", &[&["verify"][..], &files, &["--genesis", genesis]].concat())
    }

    /// Proves all of them; shows the steps of the first.
    pub(super) fn verify_records(&self, published: &[Published]) -> Result<()> {
        for (at, one) in published.iter().enumerate() {
            let (code, printed) = self.verify_record(&one.record, &one.out)?;
            if at == 0 {
                print!("{printed}");
            }
            ensure!(code == 0, "{}: verify: expected exit 0, got {code}\n{printed}", one.record.display());
        }
        self.step(&format!("{} proved offline, by a quorum of the members", count(published.len(), "record")));
        Ok(())
    }

    /// One changed byte must not pass.
    pub(super) fn refute_record(&self, one: &Published) -> Result<()> {
        let name = one.record.file_name().context("a record has a name")?;
        let changed = self.folder("changed")?.join(name);
        let mut bytes = std::fs::read(&one.record)?;
        ensure!(!bytes.is_empty(), "{}: expected a record with a byte to change", one.record.display());
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
        std::fs::write(&changed, bytes)?;
        let (code, printed) = self.verify_record(&changed, &one.out)?;
        ensure!(code == 1, "a changed record: verify: expected exit 1, got {code}\n{printed}");
        self.step("the same record with one byte changed is refuted (exit 1)");
        Ok(())
    }
}
