//! `verify` of segments and of files of readings, offline, on what `device export` wrote.

use crate::device::{Desk, TIMED};
use crate::run::{Done, blockhie};

impl Desk {
    /// Three segments, pushed and exported with proofs.
    fn exported(format: &str, more: &[&str]) -> Self {
        let desk = Self::registered();
        desk.push("timed.csv", &["--segment", "4", "--unit", "mV"]).expect(0);
        desk.push("plain.csv", &["--rate", "117", "--first-seq", "12"]).expect(0);
        desk.export(format, &[&["--key", "owner.key", "--with-proofs"], more].concat()).expect(0);
        desk
    }

    fn verify(&self, file: &str, more: &[&str]) -> Done {
        let (file, out, genesis) = (self.text(file), self.text("out"), self.text("phd.toml"));
        let args = ["verify", "--readings", &file, "--proofs", &out, "--genesis", &genesis];
        blockhie(&[&args, more].concat())
    }

    fn verify_segment(&self, first_seq: &str, more: &[&str]) -> Done {
        let name = |end: &str| self.text(&format!("out/{first_seq:0>20}.segment.{end}"));
        let (data, opening, receipt) = (name("data"), name("opening.json"), name("receipt.json"));
        let genesis = self.text("phd.toml");
        let args = ["verify", "--receipt", &receipt, "--segment", &data, "--segment-opening", &opening];
        blockhie(&[&args, ["--genesis", &genesis].as_slice(), more].concat())
    }
}

/// Pushes a file by itself, exports and verifies it, then changes one row.
fn whole_way(text: &str, row: usize, push: &[&str]) {
    let desk = Desk::registered();
    desk.write("recording.csv", text);
    desk.push("recording.csv", push).expect(0);
    desk.export("csv", &["--key", "owner.key", "--with-proofs"]).expect(0);
    assert!(desk.read("out/readings.csv") == text, "other bytes came back");
    desk.verify("out/readings.csv", &[]).expect(0);
    // The recording itself is as good as the export.
    desk.verify("recording.csv", &[]).expect(0);
    let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
    let header = usize::from(lines[0].starts_with(|first: char| first.is_alphabetic()));
    let line = &mut lines[header + row];
    let at = line.rfind(|c: char| c.is_ascii_digit()).unwrap();
    let digit = if &line[at..=at] == "7" { "8" } else { "7" };
    line.replace_range(at..=at, digit);
    desk.write("out/readings.csv", &lines.concat());
    let done = desk.verify("out/readings.csv", &[]).expect(1);
    let per_segment = push.iter().position(|arg| *arg == "--segment").map_or(6_000, |at| push[at + 1].parse().unwrap());
    let (segment, within) = (row / per_segment * per_segment, row % per_segment);
    let named = format!("segment {segment} of device {}, row {within} (reading {row})", desk.device.public());
    let number = format!("line {}", header + row + 1);
    assert!(done.stdout.contains(&named) && done.stdout.contains(&number), "{done:?}");
    assert!(done.stdout.contains("✗ readings") && done.stdout.contains("refuted"), "{done:?}");
}

#[test]
fn one_changed_sample_is_refuted_with_its_segment_and_row() {
    whole_way(TIMED, 6, &["--segment", "4"]);
    let dated = "datetime,hr\n2016-11-24 13:58:58.081000,514\n2016-11-24 13:58:59,515\n2016-11-24 13:58:59.5,516\n";
    whole_way(&dated.replace("59.5", "59.500000"), 1, &["--segment", "2"]);
    whole_way("530\n518\n506", 2, &["--rate", "100", "--segment", "2"]);
}

/// The sample waveforms, where they are at hand.
#[test]
fn real_waveforms_go_the_whole_way() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/phd");
    for (name, row, rate) in [("ppg-100hz.csv", 2_001, Some("100")), ("ppg-117hz-timed.csv", 12_345, None)] {
        let Ok(text) = std::fs::read_to_string(format!("{folder}/{name}")) else { continue };
        let rate = rate.map_or_else(Vec::new, |rate| vec!["--rate", rate]);
        whole_way(&text, row, &rate);
    }
}

#[test]
fn a_file_is_proved_in_each_form_and_any_changed_line_is_refuted() {
    for (format, name) in [("csv", "readings.csv"), ("jsonl", "readings.jsonl"), ("fhir", "readings.fhir.json")] {
        let desk = Desk::exported(format, &[]);
        let file = format!("out/{name}");
        let done = desk.verify(&file, &[]).expect(0);
        for said in ["✓ segment 0", "✓ segment 12", "gaps: readings 10 to 11", "all 15 readings", "proved: all 15"]
        {
            assert!(done.stdout.contains(said), "{format}: {said}: {}", done.stdout);
        }
        let text = desk.read(&file);
        for (at, line) in text.lines().enumerate() {
            let mut lines: Vec<&str> = text.lines().collect();
            let changed = line.replacen(|c: char| c.is_ascii_alphanumeric() || c == ']', "#", 1);
            lines[at] = &changed;
            desk.write(&file, &lines.join("\n"));
            let done = desk.verify(&file, &[]).expect(1);
            assert!(done.stdout.contains(&format!("line {}:", at + 1)), "{format}: {done:?}");
            lines.remove(at);
            desk.write(&file, &lines.join("\n"));
            desk.verify(&file, &[]).expect(1);
        }
        desk.write(&file, &(text + "1\n"));
        assert!(desk.verify(&file, &[]).expect(1).stdout.contains("expected the end of the file"));
    }
    // In a line of many values the one is named.
    let desk = Desk::exported("fhir", &[]);
    let text = desk.read("out/readings.fhir.json");
    desk.write("out/readings.fhir.json", &text.replace("530 518 506", "530 518 507"));
    let done = desk.verify("out/readings.fhir.json", &[]).expect(1);
    assert!(done.stdout.contains("segment 12 of device") && done.stdout.contains("row 2"), "{done:?}");
    assert!(done.stdout.contains("expected \"506\", got \"507\""), "{done:?}");
}

#[test]
fn a_part_by_time_is_proved_with_the_same_bounds() {
    let bounds = ["--from", "1750000000030", "--to", "2025-06-15T15:06:40.060Z"];
    let desk = Desk::registered();
    desk.push("timed.csv", &["--segment", "4"]).expect(0);
    desk.export("csv", &[&["--key", "owner.key", "--with-proofs"], bounds.as_slice()].concat()).expect(0);
    assert_eq!(desk.read("out/readings.csv"), "timer,hr\r\n34.2,510\r\n42.7,-0.5\r\n51.3,508\r\n59.8,510\r\n");
    assert_eq!(desk.kept().len(), 1 + 3, "one segment is enough");
    let done = desk.verify("out/readings.csv", &bounds).expect(0);
    assert!(done.stdout.contains("all 4 readings"), "{done:?}");
    desk.export("jsonl", &["--key", "owner.key", "--with-proofs", "--to", "1750000000050"]).expect(0);
    let without = desk.verify("out/readings.jsonl", &[]).expect(1);
    assert!(without.stdout.contains("--from or --to"), "{without:?}");
    desk.verify("out/readings.jsonl", &["--to", "1750000000050"]).expect(0);
}

#[test]
fn a_segment_is_proved_by_itself() {
    let desk = Desk::exported("csv", &[]);
    let done = desk.verify_segment("4", &[]).expect(0);
    for said in
        ["✓ payload", "READINGS: 4 to 7", "✓ device", "✓ segment", "4 samples of code 8867-4", "exactly this segment"]
    {
        assert!(done.stdout.contains(said), "{said}: {}", done.stdout);
    }
    let json = desk.verify_segment("4", &["--json"]).expect(0).json();
    assert_eq!((json["segment_checked"].as_bool(), json["effect"].as_str()), (Some(true), Some("depends on state")));
    // Another segment's data, and any changed byte.
    std::fs::copy(
        desk.path("out/00000000000000000008.segment.data"),
        desk.path("out/00000000000000000004.segment.data"),
    )
    .unwrap();
    let done = desk.verify_segment("4", &[]).expect(1);
    assert!(done.stdout.contains(&format!("segment 4 of device {}", desk.device.public())), "{done:?}");
    let done = desk.verify("out/readings.csv", &[]).expect(1);
    assert!(done.stdout.contains("✗ segment 4") && done.stdout.contains("refuted: segment 4"), "{done:?}");
}

#[test]
fn a_changed_byte_of_a_proof_never_proves_anything() {
    let desk = Desk::exported("csv", &[]);
    for end in ["data", "opening.json", "receipt.json"] {
        let path = desk.path(&format!("out/00000000000000000000.segment.{end}"));
        let good = std::fs::read(&path).unwrap();
        let step = (good.len() / 25).max(1);
        for at in (0..good.len()).step_by(step) {
            let mut bad = good.clone();
            bad[at] ^= 1;
            std::fs::write(&path, &bad).unwrap();
            let done = desk.verify("out/readings.csv", &[]);
            assert!(matches!(done.code, 1 | 3), "{end} byte {at}: {done:?}");
        }
        std::fs::write(&path, &good).unwrap();
    }
    desk.verify("out/readings.csv", &[]).expect(0);
}

#[test]
fn what_is_missing_or_not_final_has_its_exit_code() {
    let desk = Desk::exported("csv", &[]);
    desk.verify("out/none.csv", &[]).expect(3);
    assert!(desk.verify("out/readings.csv", &["--quorum", "3"]).expect(64).stdout.is_empty());
    // A receipt without its last header shows one member of two.
    let path = desk.path("out/00000000000000000004.segment.receipt.json");
    let good = std::fs::read_to_string(&path).unwrap();
    let (head, _) = good.split_once("\"run\":[").unwrap();
    std::fs::write(&path, format!("{head}\"run\":[]}}\n")).unwrap();
    let done = desk.verify("out/readings.csv", &[]).expect(2);
    assert!(done.stdout.contains("… segment 4") && done.stdout.contains("1 of 4 segments"), "{done:?}");
    std::fs::remove_file(&path).unwrap();
    desk.verify("out/readings.csv", &[]).expect(3);
    std::fs::write(&path, good).unwrap();
    // Without one of the segments its rows are missing.
    for end in ["data", "opening.json", "receipt.json"] {
        std::fs::remove_file(desk.path(&format!("out/00000000000000000004.segment.{end}"))).unwrap();
    }
    let done = desk.verify("out/readings.csv", &[]).expect(1);
    assert!(done.stdout.contains("gaps: readings 4 to 7"), "{done:?}");
    std::fs::remove_dir_all(desk.path("out")).unwrap();
    std::fs::create_dir(desk.path("out")).unwrap();
    assert!(desk.verify("timed.csv", &[]).expect(3).stderr.contains("--with-proofs"));
}

#[test]
fn proofs_of_other_readings_do_not_mix() {
    // The same device on another gateway of the chain, and another device.
    for (seed, said) in [(22, "expected no overlaps, got readings 2 to 5 twice"), (24, "expected device")] {
        let (desk, other) = (Desk::exported("csv", &[]), Desk::of(seed));
        other.register("owner.key").expect(0);
        other.write("plain.csv", "1\n2\n3\n4\n");
        other.push("plain.csv", &["--rate", "1", "--first-seq", "2"]).expect(0);
        other.export("csv", &["--key", "owner.key", "--with-proofs"]).expect(0);
        for end in ["data", "opening.json", "receipt.json"] {
            let name = format!("00000000000000000002.segment.{end}");
            std::fs::copy(other.path("out").join(&name), desk.path("out").join(&name)).unwrap();
        }
        let done = desk.verify("out/readings.csv", &[]).expect(1);
        assert!(done.stdout.contains(said), "{done:?}");
    }
}
