//! `device` against a gateway that misbehaves.

use crate::device_gateway::{DeviceGateway, genesis};
use crate::run::{Done, blockhie, blockhie_with_stdin};
use blockhie_core::{SecretKey, keyfile};
use std::path::PathBuf;
use tempfile::TempDir;

/// Ten readings with times.
pub(crate) const TIMED: &str = "timer,hr\r\n0.0,515\r\n8.54790319355,514\r\n17.0958063871,514.50\r\n25.6,513\r\n34.2,510\r\n\
                                42.7,-0.5\r\n51.3,508\r\n59.8,510\r\n68.4,512\r\n76.9,515\r\n";

pub(crate) struct Desk {
    pub(crate) folder: TempDir,
    pub(crate) gateway: DeviceGateway,
    pub(crate) device: SecretKey,
}

impl Desk {
    /// Keys of an owner, of a device and of a stranger; the device is not registered.
    pub(crate) fn new() -> Self {
        Self::of(22)
    }

    /// With the device of this secret.
    pub(crate) fn of(seed: u8) -> Self {
        let device = SecretKey::from_seed([seed; 32]);
        let desk = Self { folder: tempfile::tempdir().unwrap(), gateway: DeviceGateway::start(), device };
        keyfile::write_new(&desk.path("owner.key"), &SecretKey::from_seed([21; 32])).unwrap();
        keyfile::write_new(&desk.path("sensor.key"), &desk.device).unwrap();
        keyfile::write_new(&desk.path("stranger.key"), &SecretKey::from_seed([23; 32])).unwrap();
        desk.write("phd.toml", &genesis().to_toml());
        desk.write("timed.csv", TIMED);
        desk.write("plain.csv", "530\n518\n506\n494\n483\n");
        desk
    }

    pub(crate) fn registered() -> Self {
        let desk = Self::new();
        desk.register("owner.key").expect(0);
        desk
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// `device COMMAND … --gateway URL`; arguments that name a file here become its path.
    pub(crate) fn device(&self, command: &str, args: &[&str]) -> Done {
        let mut all = vec!["device".to_owned(), command.to_owned(), "--gateway".into(), self.gateway.url.clone()];
        all.extend(args.iter().map(|arg| if self.path(arg).exists() { self.text(arg) } else { (*arg).to_owned() }));
        blockhie(&all)
    }

    pub(crate) fn register(&self, owner: &str) -> Done {
        self.device("register", &["--owner", owner, "--device", "sensor.key"])
    }

    pub(crate) fn push(&self, file: &str, more: &[&str]) -> Done {
        let mut args = vec![file, "--device", "sensor.key", "--code", "8867-4", "--start", "1750000000000"];
        args.extend(more);
        self.device("push", &args)
    }

    pub(crate) fn export(&self, format: &str, more: &[&str]) -> Done {
        let (device, out) = (self.device.public().to_string(), self.text("out"));
        let mut args = vec!["--device", &device, "--format", format, "--out", &out];
        args.extend(more);
        self.device("export", &args)
    }

    /// Names in the output folder.
    pub(crate) fn kept(&self) -> Vec<String> {
        let Ok(entries) = self.path("out").read_dir() else { return Vec::new() };
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

const OWNER: [&str; 2] = ["--key", "owner.key"];
const SENSOR: [&str; 2] = ["--key", "sensor.key"];

#[test]
fn a_device_is_registered_once_and_retired_by_its_owner() {
    let desk = Desk::new();
    let public = desk.device.public().to_string();
    let pushed = desk.push("plain.csv", &["--rate", "100"]).expect(1);
    assert!(pushed.stderr.contains("device register"), "{pushed:?}");
    let first = desk.register("owner.key").expect(0);
    assert!(first.stdout.contains(&format!("device {public}: enrolled, final, in block 1")), "{first:?}");
    assert_eq!(desk.register("owner.key").expect(0).stdout, first.stdout, "the same again");
    assert!(desk.register("stranger.key").expect(1).stderr.contains("take a new key"));
    let json = desk.device("register", &["--owner", "owner.key", "--device", "sensor.key", "--json"]).expect(0).json();
    assert_eq!((json["state"].as_str(), json["device"].as_str()), (Some("final"), Some(public.as_str())));
    desk.device("retire", &["--owner", "stranger.key", "--device", &public]).expect(1);
    let done = desk.device("retire", &["--owner", "owner.key", "--device", &public]).expect(0);
    assert!(done.stdout.contains("retired, final"), "{done:?}");
    let late = desk.push("plain.csv", &["--rate", "100"]).expect(1);
    assert!(late.stderr.contains("cannot push any more"), "{late:?}");
}

#[test]
fn a_recording_is_cut_pushed_once_and_told() {
    let desk = Desk::registered();
    let done = desk.push("timed.csv", &["--segment", "4"]).expect(0);
    assert!(done.stdout.contains("10 readings in 3 segments: final"), "{done:?}");
    assert!(done.stdout.contains("2025-06-15T15:06:40Z to 2025-06-15T15:06:40.0769Z"), "{done:?}");
    assert_eq!(desk.gateway.segments(), [(0, 4, false), (4, 4, false), (8, 2, false)]);
    let again = desk.push("timed.csv", &["--segment", "4", "--json"]).expect(0).json();
    assert!(again["segments"].as_array().unwrap().iter().all(|row| row["fresh"] == false), "{again}");
    assert_eq!((again["state"].as_str(), again["readings"].as_u64()), (Some("final"), Some(10)));

    let other = desk.push("plain.csv", &["--rate", "100"]).expect(1);
    assert!(other.stderr.contains("--first-seq 10"), "{other:?}");
    let more = desk.push("plain.csv", &["--rate", "100", "--first-seq", "12", "--inline", "--segment", "3"]).expect(0);
    assert!(more.stderr.contains("warning: --inline"), "{more:?}");
    assert_eq!(desk.gateway.segments()[3..], [(12, 3, true), (15, 2, true)]);
    // A file with times needs no rate and minds none.
    assert!(desk.push("timed.csv", &["--segment", "4", "--rate", "117"]).expect(0).stderr.contains("not used"));
}

#[test]
fn without_a_start_it_is_guessed_the_same_way_each_time() {
    let desk = Desk::registered();
    let args = ["plain.csv", "--device", "sensor.key", "--code", "8867-4", "--rate", "100", "--json"];
    let first = desk.device("push", &args).expect(0);
    assert!(first.stderr.contains("no --start given"), "{first:?}");
    let again = desk.device("push", &args).expect(0).json();
    assert_eq!(first.json()["start_ms"], again["start_ms"]);
    assert_eq!(again["segments"][0]["fresh"], false);
}

#[test]
fn a_gateway_that_hangs_up_or_is_busy_costs_nothing() {
    let desk = Desk::registered();
    desk.gateway.behave(|manners| manners.hang_up = 1);
    let cut = desk.push("timed.csv", &["--segment", "4"]).expect(1);
    assert!(cut.stderr.contains("run the same command again"), "{cut:?}");
    let done = desk.push("timed.csv", &["--segment", "4"]).expect(0);
    assert!(done.stdout.contains("(3 were there)"), "{done:?}");
    desk.gateway.behave(|manners| manners.busy = 2);
    desk.push("plain.csv", &["--rate", "100", "--first-seq", "10"]).expect(0);
    // Many segments go in several requests.
    let long: String = (0..150).map(|at| format!("{at}\n")).collect();
    desk.write("long.csv", &long);
    desk.push("long.csv", &["--rate", "100", "--first-seq", "100", "--segment", "1"]).expect(0);
    assert_eq!((desk.gateway.segments().len(), desk.gateway.manners().largest), (3 + 1 + 150, 64));
}

#[test]
fn what_does_not_become_final_exits_2_and_is_not_lost() {
    let desk = Desk::registered();
    desk.gateway.behave(|manners| manners.stuck = true);
    let done = desk.push("plain.csv", &["--rate", "100", "--timeout", "1"]).expect(2);
    assert!(done.stderr.contains("1 of 2 members") && done.stderr.contains("nothing is lost"), "{done:?}");
    let done = desk.push("plain.csv", &["--rate", "100", "--no-wait"]).expect(0);
    assert!(done.stdout.contains("not final yet"), "{done:?}");
    let early = desk.export("csv", &[OWNER[0], OWNER[1], "--with-proofs"]).expect(2);
    assert!(early.stderr.contains("no receipt yet"), "{early:?}");
    assert!(desk.kept().is_empty());
}

#[test]
fn readings_come_back_to_owner_device_and_operator_only() {
    let desk = Desk::registered();
    desk.push("timed.csv", &["--segment", "4"]).expect(0);
    for key in [OWNER, SENSOR] {
        desk.export("csv", &key).expect(0);
        assert_eq!(desk.read("out/readings.csv"), TIMED);
        std::fs::remove_file(desk.path("out/readings.csv")).unwrap();
    }
    let (device, out) = (desk.device.public().to_string(), desk.text("out"));
    let args = ["device", "export", "--device", &device, "--format", "csv", "--out", &out, "--token-file", "-"];
    let args = [args.as_slice(), &["--gateway", &desk.gateway.url, "--with-proofs"]].concat();
    blockhie_with_stdin(&args, "token\n").expect(0);
    assert_eq!(desk.read("out/readings.csv"), TIMED);
    let refused = desk.export("csv", &["--key", "stranger.key"]).expect(1);
    assert!(refused.stderr.contains("its owner's or its own"), "{refused:?}");
}

#[test]
fn without_its_key_a_segment_opens_only_for_the_device() {
    let desk = Desk::registered();
    desk.push("timed.csv", &["--segment", "4", "--sealed-only"]).expect(0);
    let owner = desk.export("csv", &[OWNER[0], OWNER[1], "--with-proofs"]).expect(0);
    assert!(owner.stderr.contains("segment 8 is left out") && owner.stdout.contains(": 0 readings"), "{owner:?}");
    let device = desk.export("csv", &[SENSOR[0], SENSOR[1], "--with-proofs"]).expect(0);
    assert!(device.stdout.contains("10 readings of 3 segments"), "{device:?}");
    assert_eq!(desk.read("out/readings.csv"), TIMED);
    // A later push hands the keys in.
    let json = desk.export("csv", &[SENSOR[0], SENSOR[1], "--with-proofs", "--json"]).expect(0).json();
    assert_eq!(json["segments"], serde_json::json!([0, 4, 8]));
}

#[test]
fn what_does_not_fit_its_proof_is_not_kept() {
    let desk = Desk::registered();
    desk.push("timed.csv", &[]).expect(0);
    desk.gateway.behave(|manners| manners.lies = true);
    let done = desk.export("csv", &[OWNER[0], OWNER[1], "--with-proofs"]).expect(1);
    assert!(done.stderr.contains("segment 0") && done.stderr.contains("content"), "{done:?}");
    assert!(desk.kept().is_empty(), "{:?}", desk.kept());
}

#[test]
fn being_called_wrongly_is_told() {
    let desk = Desk::registered();
    let public = desk.device.public().to_string();
    assert!(desk.push("plain.csv", &[]).expect(64).stderr.contains("--rate"));
    assert!(desk.push("plain.csv", &["--rate", "0"]).expect(64).stderr.contains("rate"));
    desk.push("plain.csv", &["--rate", "1e2"]).expect(64);
    desk.push("plain.csv", &["--rate", "100", "--unit", "a b"]).expect(64);
    desk.push("plain.csv", &["--rate", "100", "--first-seq", "18446744073709551615"]).expect(64);
    desk.write("bad.csv", "1\n2\nthree\n");
    assert!(desk.push("bad.csv", &["--rate", "100"]).expect(3).stderr.contains("line 3"));
    assert!(desk.push("nothing.csv", &["--rate", "100"]).expect(3).stderr.contains("cannot be read"));
    desk.export("csv", &[]).expect(64);
    desk.export("pdf", &OWNER).expect(64);
    desk.export("csv", &[OWNER[0], OWNER[1], "--from", "2026-01-01"]).expect(64);
    desk.export("csv", &[OWNER[0], OWNER[1], "--from", "5", "--to", "5"]).expect(64);
    desk.device("register", &["--owner", "owner.key", "--device", "owner.key"]).expect(64);
    desk.device("register", &["--owner", "phd.toml", "--device", "sensor.key"]).expect(3);
    desk.device("retire", &["--owner", "owner.key", "--device", &public[1..]]).expect(64);
    let mut nobody = desk;
    nobody.gateway.url = "http://127.0.0.1:1".into();
    assert!(nobody.push("plain.csv", &["--rate", "100"]).expect(1).stderr.contains("is the gateway running"));
}
