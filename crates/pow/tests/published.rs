//! The arithmetic against the published aserti3-2d test vectors (`docs/protocol/aserti3-2d.txt` names their source),
//! and all of the rule against plain Python integers (`docs/protocol/difficulty.py`).

#![allow(clippy::unwrap_used, reason = "tests")]

use blockhie_core::{CompactTarget, U256};
use blockhie_pow::{Difficulty, asert_bound, asert_target};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn protocol(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/protocol").join(file)
}

/// Bitcoin's compact form, in which the published targets go down to 1.
fn bitcoin_value(bits: u32) -> U256 {
    let (size, mantissa) = (bits >> 24, U256::from(bits & 0x7f_ffff));
    if size <= 3 { mantissa >> (8 * (3 - size)) } else { mantissa << (8 * (size - 3)) }
}

fn bitcoin_compact(target: U256) -> u32 {
    let size = target.bits().div_ceil(8);
    let mantissa = if size <= 3 { target << (8 * (3 - size)) } else { target >> (8 * (size - 3)) }.low_u32();
    let size = u32::try_from(size).unwrap();
    if mantissa & 0x80_0000 == 0 { size << 24 | mantissa } else { (size + 1) << 24 | mantissa >> 8 }
}

#[test]
fn the_published_runs_come_out_bit_for_bit() {
    let text = std::fs::read_to_string(protocol("aserti3-2d.txt")).unwrap();
    let number = |word: &str| word.parse::<i128>().unwrap();
    let bits = |word: &str| u32::from_str_radix(word.trim_start_matches("0x"), 16).unwrap();
    let (mut anchor, mut runs, mut lines) = ((0, 0, 0), 0, 0);
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        match line.split_whitespace().collect::<Vec<_>>().as_slice() {
            ["run", _, height, time, target] => {
                anchor = (number(height), number(time), bits(target));
                runs += 1;
            }
            [height, time, target] => {
                let lag = number(time) - anchor.1 - 600 * (number(height) - anchor.0 + 1);
                let got = asert_bound(lag, 172_800, bitcoin_value(anchor.2), U256::one(), bitcoin_value(0x1d00_ffff));
                assert_eq!(bitcoin_compact(got), bits(target), "run {runs}: {line}");
                lines += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((runs, lines), (10, 630));
}

/// Random numbers that are the same everywhere (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// At least 1, of 1 to `bits` bits, each length as likely.
    fn length(&mut self, bits: u64) -> u64 {
        (self.next() >> (63 - self.next() % bits)).max(1)
    }

    fn target(&mut self) -> CompactTarget {
        let mantissa = 0x8000 + self.next() % (0x80_0000 - 0x8000);
        let compact = (3 + self.next() % 30) << 24 | mantissa;
        CompactTarget::new(u32::try_from(compact).unwrap()).unwrap()
    }

    fn wide(&mut self) -> U256 {
        U256([self.next(), self.next(), self.next(), self.next()]) >> (self.next() % 256)
    }

    fn ordered(&mut self) -> (CompactTarget, CompactTarget) {
        let (a, b) = (self.target(), self.target());
        (a.min(b), a.max(b))
    }
}

/// Questions to the Python, one a line, and what this crate answers.
fn questions() -> Vec<(String, String)> {
    let mut random = Random(4);
    let mut lines = Vec::new();
    for _ in 0..4_000 {
        let half_life = random.length(53);
        let (first, most) = random.ordered();
        // Mostly within the half-lives that matter, and sometimes far outside.
        let far = i128::from(half_life) * i128::from(random.next() % 65_536) * i128::from(random.next() % 600);
        let lag = far >> (8 + random.next() % 9);
        let lag = if random.next().is_multiple_of(2) { lag } else { -lag } + i128::from(random.next() % 3) - 1;
        lines.push((
            format!("target {lag} {half_life} {} {}", first.get(), most.get()),
            asert_target(lag, half_life, first, most).get().to_string(),
        ));
        let target = random.wide();
        lines.push((format!("encode {target}"), CompactTarget::from_u256(target).get().to_string()));
    }
    for _ in 0..200 {
        let (first_target, most_target) = random.ordered();
        let interval_ms = u32::try_from(random.length(32)).unwrap();
        let rule = Difficulty { first_target, most_target, half_life_ms: random.length(53), interval_ms };
        let (mut time, mut lag) = (random.length(52), 0);
        let (mut asked, mut answered) = (format!("lag {time}"), String::from("0"));
        for _ in 0..30 {
            // At least 1 ms later, on the scale of T, of 288·T and beyond.
            let next = time + 1 + random.next() % (u64::from(interval_ms) << (random.next() % 10));
            lag = rule.next_lag(lag, time, next);
            time = next;
            write!(asked, " {time}").unwrap();
            write!(answered, " {lag}").unwrap();
        }
        write!(asked, " / {interval_ms} {} {} {}", rule.half_life_ms, first_target.get(), most_target.get()).unwrap();
        lines.push((asked, answered));
        let targets: Vec<CompactTarget> = (0..random.next() % 40).map(|_| random.target()).collect();
        let sum = targets.iter().fold(U256::zero(), |sum, target| sum + target.work());
        let words: String = targets.iter().map(|target| format!(" {}", target.get())).collect();
        lines.push((format!("work{words}"), sum.to_string()));
    }
    lines
}

#[test]
fn plain_python_integers_agree_on_random_chains() {
    let Some(python) = std::env::var_os("BLOCKHIE_PYTHON") else {
        eprintln!("SKIPPED: BLOCKHIE_PYTHON is not set (run `cargo xtask test`)");
        return;
    };
    let script = protocol("difficulty.py");
    let published = Command::new(&python).arg(&script).arg("--published").output().unwrap();
    assert!(published.status.success(), "{}", String::from_utf8_lossy(&published.stdout));
    let lines = questions();
    let mut child = Command::new(&python).arg(&script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let asked: String = lines.iter().map(|(question, _)| format!("{question}\n")).collect();
    // From a thread of its own: both pipes are shorter than what goes through them.
    let writer = std::thread::spawn(move || input.write_all(asked.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().count(), lines.len());
    for (answer, (question, expected)) in text.lines().zip(&lines) {
        assert_eq!(answer, expected, "{question}");
    }
}
