//! `cargo xtask demo`: a person's record and a device's readings on two real chains, linked, and proved with everything
//! stopped.

mod devices;
mod links;
mod records;

use crate::running::{Running, stop_all};
use crate::system::{Binaries, Chain, GatewayPlan, Kind};
use anyhow::{Context, Result, bail, ensure};
use devices::{Feed, Pushed};
use records::Work;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Within how many seconds the two halves of a link go out, each at its own time. Anybody who watches both chains could
/// pair halves that come close together: a gateway's default is an hour, and the demo would last as long.
const LINK_WINDOW_S: u32 = 2;

/// What the demo is told.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// Folder of records instead of the samples.
    records: Option<PathBuf>,
    /// File of readings instead of the sample.
    readings: Option<PathBuf>,
    /// Readings a second, for a file without times.
    rate: Option<String>,
    /// LOINC code of what was measured.
    code: Option<String>,
    /// Go on running until ctrl-c.
    serve: bool,
    /// Keep everything in this folder.
    keep: Option<PathBuf>,
}

impl Options {
    /// Reads the arguments; an error is one of usage.
    pub(crate) fn parse(words: &[&str]) -> Result<Self> {
        let mut options = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value =
                || words.next().map(ToString::to_string).with_context(|| format!("{word}: expected a value"));
            match *word {
                "--records" => options.records = Some(value()?.into()),
                "--readings" => options.readings = Some(value()?.into()),
                "--rate" => options.rate = Some(value()?),
                "--code" => options.code = Some(value()?),
                "--keep" => options.keep = Some(value()?.into()),
                "--serve" => options.serve = true,
                other => bail!("demo: unknown argument `{other}`"),
            }
        }
        if options.readings.is_none() && (options.rate.is_some() || options.code.is_some()) {
            bail!("--rate and --code are for --readings");
        }
        Ok(options)
    }
}

/// Key files of the people in it.
struct People {
    /// Owns the device, and the record is about them.
    person: PathBuf,
    person_public: String,
    device: PathBuf,
    device_public: String,
    /// Public key of whom the link is shown to.
    doctor_public: String,
    /// Public key of somebody else.
    stranger_public: String,
}

struct Demo {
    binaries: Binaries,
    dir: PathBuf,
    started: Instant,
    emr: Chain,
    phd: Chain,
    people: People,
}

/// Runs it. The last line is `demo: ok`.
pub(crate) fn run(root: &Path, options: &Options) -> Result<()> {
    let started = Instant::now();
    let (work, feed) = (Work::new(root, options.records.as_deref())?, Feed::new(root, options)?);
    let binaries = Binaries::build(root)?;
    let temporary = tempfile::tempdir().context("make a temporary folder")?;
    let dir = match &options.keep {
        Some(keep) => {
            ensure!(!keep.exists(), "--keep {}: expected a folder that is not there yet", keep.display());
            std::fs::create_dir_all(keep).with_context(|| format!("make {}", keep.display()))?;
            keep.canonicalize()?
        }
        None => temporary.path().to_owned(),
    };
    let emr = Chain::make(&binaries, &dir, Kind::Emr, &["north-hospital", "south-hospital"])?;
    let phd = Chain::make(&binaries, &dir, Kind::Phd, &["east-sensors", "west-sensors"])?;
    let people = People::make(&binaries, &dir)?;
    let demo = Demo { binaries, dir, started, emr, phd, people };
    demo.step("built emr-node, phd-node, gateway and blockhie");
    demo.walk(&work, &feed, options)?;
    println!("demo: ok");
    Ok(())
}

impl People {
    fn make(binaries: &Binaries, dir: &Path) -> Result<Self> {
        let key = |name: &str| {
            let file = dir.join(format!("{name}.key"));
            binaries.keygen(&file).map(|public| (file, public))
        };
        let ((person, person_public), (device, device_public)) = (key("person")?, key("device")?);
        let (doctor_public, stranger_public) = (key("doctor")?.1, key("stranger")?.1);
        Ok(Self { person, person_public, device, device_public, doctor_public, stranger_public })
    }
}

/// All servers of the demo.
struct Servers {
    gateway: Running,
    plan: GatewayPlan,
    nodes: Vec<Running>,
}

impl Servers {
    fn url(&self) -> String {
        self.gateway.url()
    }
}

impl Demo {
    fn step(&self, what: &str) {
        println!("[{:>6.1} s] {what}", self.started.elapsed().as_secs_f64());
    }

    fn walk(&self, work: &Work, feed: &Feed, options: &Options) -> Result<()> {
        let servers = self.start()?;
        let published = self.publish_all(work, &servers)?;
        let pushed = self.push_all(feed, &servers)?;
        self.link(&published[0].commitment, &servers)?;
        if options.serve {
            self.serve(&servers)?;
        }
        let Servers { gateway, nodes, .. } = servers;
        stop_all([gateway].into_iter().chain(nodes))?;
        self.step("everything is stopped; what follows needs files only");
        self.verify_records(&published)?;
        self.verify_readings(&pushed)?;
        self.verify_link()?;
        self.refute_record(&published[0])?;
        self.refute_sample(&pushed)?;
        self.refute_audience()?;
        self.summary(published.len(), &pushed, options.keep.is_some());
        Ok(())
    }

    fn start(&self) -> Result<Servers> {
        let mut nodes = self.emr.start_all()?;
        self.step(&format!("two nodes of the EMR-Chain run: {} and {}", nodes[0].address(), nodes[1].address()));
        nodes.extend(self.phd.start_all()?);
        self.step(&format!("two nodes of the PHD-Chain run: {} and {}", nodes[2].address(), nodes[3].address()));
        let plan = GatewayPlan {
            dir: self.dir.join("gateway"),
            key: self.emr.key(0),
            emr: nodes[0].url(),
            phd: nodes[2].url(),
            link_window_s: LINK_WINDOW_S,
        };
        let gateway = plan.start(&self.binaries, "127.0.0.1:0")?;
        self.step(&format!("the gateway of both runs: {}", gateway.url()));
        Ok(Servers { gateway, plan, nodes })
    }

    fn serve(&self, servers: &Servers) -> Result<()> {
        let (url, device) = (servers.url(), &self.people.device_public);
        println!("\nThe system is running. Open {url}");
        println!("The person's device: {url}/devices/{device}");
        println!("Token of the operator: {}", servers.plan.token().display());
        println!("Press enter to stop it and to verify everything offline.");
        let mut line = String::new();
        let read = std::io::stdin().read_line(&mut line).context("wait for enter")?;
        if read == 0 {
            // No terminal: it runs until somebody ends this process.
            loop {
                std::thread::park();
            }
        }
        Ok(())
    }

    /// `blockhie` with its progress shown.
    fn show(&self, arguments: &[&str]) -> Result<()> {
        self.binaries.tool("blockhie").args(arguments).run()
    }

    /// What a check that must exit with `code` printed.
    fn check(&self, code: i32, arguments: &[&str]) -> Result<String> {
        let (got, printed) = self.binaries.try_run("blockhie", arguments)?;
        let line = arguments.join(" ");
        ensure!(got == code, "blockhie {line}: expected exit {code}, got {got}\n{printed}");
        Ok(printed)
    }

    fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.dir.join(name);
        std::fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        Ok(folder)
    }

    fn summary(&self, records: usize, pushed: &Pushed, kept: bool) {
        println!();
        let segments = count(pushed.segments.len(), "segment");
        println!("records   {records} published, final, given back, proved offline");
        println!("readings  {} in {segments}, pushed, final, given back, proved offline", pushed.readings);
        println!("link      1 between a record and the device of one person, final on both chains, proved offline");
        println!("refuted   a changed record, a changed sample, a link shown to somebody else");
        if kept {
            println!("data      {} (receipts in published/, readings/ and link/)", self.dir.display());
        }
        println!("wall time {:.1} s", self.started.elapsed().as_secs_f64());
    }
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read_and_wrong_ones_refused() {
        let options = Options::parse(&["--records", "r", "--readings", "x.csv", "--rate", "100", "--serve"]).unwrap();
        assert_eq!((options.records, options.rate.as_deref()), (Some("r".into()), Some("100")));
        assert!(options.serve && options.keep.is_none());
        for wrong in [&["--records"][..], &["--nonsense"], &["--rate", "1"], &["--code", "8867-4"]] {
            assert!(Options::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
