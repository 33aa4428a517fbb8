//! `link create` against a gateway that misbehaves, and `link verify` on what it wrote.

use crate::gateway::TOKEN;
use crate::link_gateway::{LinkGateway, Manners, Person, chains, now_ms};
use crate::run::{Done, blockhie};
use blockhie_core::keyfile;
use blockhie_core::{Receipt, SecretKey};
use blockhie_coupling::{LinkOpening, Seed};
use std::path::PathBuf;
use tempfile::TempDir;

const FILES: [&str; 5] = [
    "link-opening.json",
    "record.receipt.json",
    "device.receipt.json",
    "link-emr.receipt.json",
    "link-phd.receipt.json",
];

struct Desk {
    folder: TempDir,
    gateway: LinkGateway,
    person: Person,
    audience: SecretKey,
}

impl Desk {
    fn new(addressed: bool) -> Self {
        let person = Person::new(addressed);
        let (gateway, audience) = (LinkGateway::start(person.clone()), SecretKey::from_seed([50; 32]));
        let desk = Self { folder: tempfile::tempdir().unwrap(), gateway, person, audience };
        let (emr, phd) = chains();
        desk.write("emr.toml", emr.to_toml().as_bytes());
        desk.write("phd.toml", phd.to_toml().as_bytes());
        desk.write("token", TOKEN.as_bytes());
        keyfile::write_new(&desk.path("owner.key"), &desk.person.owner).unwrap();
        keyfile::write_new(&desk.path("holder.key"), &desk.person.holder).unwrap();
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    /// `link create` into `link/`, for thirty days unless `more` says how long.
    fn create(&self, more: &[&str]) -> Done {
        let mut args: Vec<String> = ["link", "create", "--record"].map(str::to_owned).into();
        args.extend([self.person.record.commitment.to_string(), "--device".into()]);
        args.extend([self.person.device.public().to_string(), "--owner".into(), self.text("owner.key")]);
        args.extend(["--audience".into(), self.audience.public().to_string(), "--gateway".into()]);
        args.extend([self.gateway.url.clone(), "--out".into(), self.text("link")]);
        args.extend(more.iter().map(|more| (*more).to_owned()));
        if !more.contains(&"--expiry") {
            args.extend(["--expires-in".into(), "30".into()]);
        }
        blockhie(&args)
    }

    fn create_as_holder(&self, more: &[&str]) -> Done {
        self.create(&[more, &["--holder", &self.text("holder.key")]].concat())
    }

    /// Writes a link's files without any gateway.
    fn hand_over(&self, expiry_ms: u64) -> (LinkOpening, [Receipt; 4]) {
        let terms = self.person.terms(Seed::new([60; 32]), self.audience.public(), expiry_ms);
        let (owner, holder) = (terms.sign(&self.person.owner), terms.sign(&self.person.holder));
        let (opening, receipts) = self.person.proof(&terms, owner, holder);
        std::fs::create_dir_all(self.path("link")).unwrap();
        self.write("link/link-opening.json", opening.to_json().as_bytes());
        for (name, receipt) in FILES[1..].iter().zip(&receipts) {
            self.write(&format!("link/{name}"), receipt.to_json().as_bytes());
        }
        (opening, receipts)
    }

    fn verify(&self, more: &[&str]) -> Done {
        self.verify_with("emr.toml", "phd.toml", more)
    }

    fn verify_with(&self, emr: &str, phd: &str, more: &[&str]) -> Done {
        let mut args: Vec<String> = ["link", "verify", "--dir"].map(str::to_owned).into();
        args.extend([self.text("link"), "--emr-genesis".into(), self.text(emr)]);
        args.extend(["--phd-genesis".into(), self.text(phd)]);
        args.extend(more.iter().map(|more| (*more).to_owned()));
        blockhie(&args)
    }

    fn verify_as_audience(&self) -> Done {
        self.verify(&["--audience", &self.audience.public().to_string()])
    }

    /// Names in the link's folder.
    fn kept(&self) -> Vec<String> {
        let Ok(entries) = self.path("link").read_dir() else { return Vec::new() };
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

#[test]
fn a_link_is_created_checked_by_its_audience_and_a_second_run_changes_nothing() {
    let desk = Desk::new(true);
    let done = desk.create_as_holder(&[]).expect(0);
    assert!(done.stdout.contains(": final"), "{done:?}");
    for step in ["emr: waits until", "emr: submitted", "phd: in block 1, 1 of 2 members", "phd: final"] {
        assert!(done.stderr.contains(step), "{step}: {}", done.stderr);
    }
    let mut names: Vec<&str> = FILES.into();
    names.push(".link-terms.json");
    names.sort_unstable();
    assert_eq!(desk.kept(), names);
    let opening = std::fs::read(desk.path("link/link-opening.json")).unwrap();

    let proved = desk.verify_as_audience().expect(0);
    for step in ["✓ record receipt", "✓ link-phd receipt", "✓ chains", "✓ expiry", "✓ audience", "✓ record", "✓ device"]
    {
        assert!(proved.stdout.contains(step), "{step}: {}", proved.stdout);
    }
    for step in
        ["✓ link-emr", "✓ link-phd", "✓ owner signature", "✓ holder signature", "proved: the device's owner and"]
    {
        assert!(proved.stdout.contains(step), "{step}: {}", proved.stdout);
    }
    assert!(proved.stderr.is_empty() && !proved.stdout.contains('\x1b'));

    let again = desk.create_as_holder(&["--json"]).expect(0).json();
    assert_eq!((again["state"].as_str(), desk.gateway.posts()), (Some("final"), (2, 1)));
    assert_eq!(std::fs::read(desk.path("link/link-opening.json")).unwrap(), opening);
    let report = desk.verify(&["--json"]).expect(0).json();
    assert_eq!((report["verdict"].as_str(), report["exit"].as_u64()), (Some("proved"), Some(0)));
    assert_eq!((report["link"].as_str(), report["audience_checked"].as_bool()), (again["link"].as_str(), Some(false)));
    assert_eq!(report["owner"].as_str().unwrap(), desk.person.owner.public().to_string());
    let seed = hex::encode(LinkOpening::parse(&opening).unwrap().seed.as_bytes());
    for done in [&done, &proved] {
        assert!(!done.stdout.contains(&seed) && !done.stderr.contains(&seed), "the seed is for the audience");
    }
}

#[cfg(unix)]
#[test]
fn the_files_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let desk = Desk::new(true);
    desk.create_as_holder(&[]).expect(0);
    for name in desk.kept() {
        let mode = std::fs::metadata(desk.path("link").join(&name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{name}");
    }
}

#[test]
fn without_an_addressee_the_institution_signs_and_its_operator_asks() {
    let desk = Desk::new(false);
    let refused = desk.create(&[]).expect(1);
    assert!(refused.stderr.contains("--token-file"), "{refused:?}");
    desk.create(&["--token-file", &desk.text("token")]).expect(0);
    let proved = desk.verify_as_audience().expect(0);
    assert!(proved.stdout.contains("of the record's issuer"), "{}", proved.stdout);
}

#[test]
fn what_is_lost_on_the_way_is_the_same_link_afterwards() {
    let desk = Desk::new(true);
    desk.gateway.behave(Manners { hang_up: 1, ..Manners::default() });
    assert!(desk.create_as_holder(&[]).expect(1).stderr.contains("run the same command again"));
    desk.gateway.behave(Manners { stuck: true, ..Manners::default() });
    let waiting = desk.create_as_holder(&["--no-wait"]).expect(0);
    assert!(waiting.stdout.contains(": submitted"), "{waiting:?}");
    assert_eq!(desk.kept(), [".link-terms.json"]);
    let late = desk.create_as_holder(&["--timeout", "1"]).expect(2);
    assert!(late.stderr.contains("not final within"), "{late:?}");
    desk.gateway.behave(Manners::default());
    desk.create_as_holder(&[]).expect(0);
    assert_eq!(desk.gateway.posts(), (4, 1));
    desk.verify_as_audience().expect(0);
}

#[test]
fn a_gateway_that_tells_another_link_is_not_believed() {
    let desk = Desk::new(true);
    desk.gateway.behave(Manners { lies: true, ..Manners::default() });
    let done = desk.create_as_holder(&[]).expect(1);
    assert!(done.stderr.contains("expected the link that was asked for"), "{done:?}");
    assert_eq!(desk.kept(), [".link-terms.json"]);
}

#[test]
fn a_holder_who_is_not_the_addressee_gets_no_files() {
    let desk = Desk::new(true);
    let done = desk.create(&["--holder", &desk.text("owner.key")]).expect(1);
    assert!(done.stderr.contains("holder signature"), "{done:?}");
    assert_eq!(desk.kept(), [".link-terms.json"]);
}

#[test]
fn a_folder_holds_one_link_and_an_end_has_to_come() {
    let desk = Desk::new(true);
    let later = (now_ms() + 3_600_000).to_string();
    desk.create_as_holder(&["--expiry", &later]).expect(0);
    let other = (now_ms() + 7_200_000).to_string();
    assert!(desk.create_as_holder(&["--expiry", &other]).expect(64).stderr.contains("another link"));
    desk.create_as_holder(&["--expiry", &later]).expect(0);
    for wrong in ["1", "9007199254740992", "2025-06-15T15:06:40Z"] {
        assert!(desk.create_as_holder(&["--expiry", wrong]).expect(64).stderr.contains("--expiry"));
    }
    desk.write("link/.link-terms.json", b"{}");
    assert!(desk.create_as_holder(&[]).expect(3).stderr.contains("terms of a link"));
}

#[test]
fn an_ended_link_and_one_told_to_another_prove_nothing() {
    let desk = Desk::new(true);
    desk.hand_over(now_ms() + 3_600_000);
    desk.verify_as_audience().expect(0);
    let stranger = SecretKey::from_seed([51; 32]).public().to_string();
    let done = desk.verify(&["--audience", &stranger]).expect(1);
    assert!(done.stdout.contains("✗ audience") && done.stdout.contains("refuted: audience"), "{}", done.stdout);
    let undecided = desk.verify(&[]).expect(0);
    assert!(undecided.stdout.contains("… audience"), "{}", undecided.stdout);
    desk.hand_over(now_ms() - 1);
    let done = desk.verify_as_audience().expect(1);
    assert!(done.stdout.contains("✗ expiry") && done.stdout.contains("refuted: expiry"), "{}", done.stdout);
}

#[test]
fn a_changed_byte_anywhere_never_proves_a_link() {
    let desk = Desk::new(true);
    desk.hand_over(now_ms() + 3_600_000);
    desk.verify_as_audience().expect(0);
    for name in FILES {
        let path = desk.path("link").join(name);
        let good = std::fs::read(&path).unwrap();
        // An odd step over the bytes, and each of the first and last ones.
        let step = (good.len() / 40).max(1) | 1;
        let places = (0..good.len()).filter(|at| at % step == 0 || *at < 3 || at + 3 > good.len());
        for (turn, at) in places.enumerate() {
            let mut bad = good.clone();
            bad[at] = match (bad[at], turn % 2) {
                (b'0'..=b'8' | b'a'..=b'e', 0) => bad[at] + 1,
                (b'9' | b'f', 0) => b'0',
                (byte, _) => byte ^ 0x01,
            };
            std::fs::write(&path, &bad).unwrap();
            let done = desk.verify_as_audience();
            assert!(matches!(done.code, 1 | 3), "{name} byte {at}: {done:#?}");
            assert!(done.code == 3 || done.stdout.contains('✗'), "{name} byte {at}: {done:#?}");
        }
        std::fs::write(&path, &good).unwrap();
    }
    desk.verify_as_audience().expect(0);
}

#[test]
fn receipts_in_each_others_place_prove_nothing() {
    let desk = Desk::new(true);
    desk.hand_over(now_ms() + 3_600_000);
    let texts = FILES.map(|name| std::fs::read(desk.path("link").join(name)).unwrap());
    for (at, name) in FILES.iter().enumerate().skip(1) {
        for (other, text) in texts.iter().enumerate().skip(1).filter(|(other, _)| *other != at) {
            desk.write(&format!("link/{name}"), text);
            let done = desk.verify_as_audience().expect(1);
            assert!(done.stdout.contains('✗'), "{name} is {}: {}", FILES[other], done.stdout);
        }
        desk.write(&format!("link/{name}"), &texts[at]);
    }
    desk.verify_as_audience().expect(0);
}

#[test]
fn what_is_not_final_exits_2_and_what_is_false_1_all_the_same() {
    let desk = Desk::new(true);
    let (_, receipts) = desk.hand_over(now_ms() + 3_600_000);
    for (name, receipt) in FILES[1..].iter().zip(receipts) {
        let short = Receipt { run: vec![], ..receipt.clone() };
        desk.write(&format!("link/{name}"), short.to_json().as_bytes());
        let done = desk.verify_as_audience().expect(2);
        assert!(done.stdout.contains("not final yet") && done.stdout.contains("… "), "{}", done.stdout);
        let stranger = SecretKey::from_seed([51; 32]).public().to_string();
        desk.verify(&["--audience", &stranger]).expect(1);
        desk.write(&format!("link/{name}"), receipt.to_json().as_bytes());
    }
}

#[test]
fn other_chains_open_chains_and_missing_files_are_told_apart() {
    let desk = Desk::new(true);
    desk.hand_over(now_ms() + 3_600_000);
    assert!(desk.verify_with("phd.toml", "emr.toml", &[]).expect(1).stdout.contains("✗ record receipt"));
    let (mut emr, _) = chains();
    (emr.members, emr.quorum, emr.spacing) = (Vec::new(), 0, 0);
    desk.write("open.toml", emr.to_toml().as_bytes());
    assert!(desk.verify_with("open.toml", "phd.toml", &[]).expect(64).stderr.contains("for development"));
    for name in FILES {
        let aside = desk.path("aside");
        std::fs::rename(desk.path("link").join(name), &aside).unwrap();
        assert!(desk.verify(&[]).expect(3).stderr.contains("cannot be read"), "{name}");
        let option = match name {
            "link-opening.json" => "--opening".to_owned(),
            name => format!("--{}", name.trim_end_matches(".json").replace('.', "-")),
        };
        desk.verify(&[&option, aside.to_str().unwrap()]).expect(0);
        std::fs::rename(aside, desk.path("link").join(name)).unwrap();
    }
}
