//! Readings: the encoding inside a segment, and the files that they come from and go to.

use crate::same;
use blockhie_core::{Hash32, PublicKey, SecretKey};
use blockhie_phd::formats::{read_csv, write_csv, write_fhir, write_jsonl};
use blockhie_phd::{Decimal, Samples};
use std::sync::LazyLock;

static DEVICE: LazyLock<PublicKey> = LazyLock::new(|| SecretKey::from_seed([4; 32]).public());

/// What a decoder took is encoded, decoded to the same, and written in every form.
fn all_forms(samples: &Samples) {
    let encoded = samples.encode().expect("samples that were decoded or cut from a table that was read");
    same(&Samples::decode(&encoded).expect("what was just encoded"), samples);
    // The long forms of a million samples take seconds and show nothing that a thousand do not.
    if samples.len() > 1_000 {
        return;
    }
    let segments = [(7, samples)];
    for line in write_jsonl(&segments).lines() {
        serde_json::from_str::<serde_json::Value>(line).expect("a line of JSON");
    }
    let bundle = write_fhir(&Hash32::ZERO, &DEVICE, &segments);
    serde_json::from_str::<serde_json::Value>(&bundle).expect("a bundle in JSON");
    let _ = (samples.between(Some(samples.start_ms), None), samples.end_us());
}

/// The encoding of a segment's samples.
pub fn samples(bytes: &[u8]) {
    if let Ok(samples) = Samples::decode(bytes) {
        all_forms(&samples);
        let _ = write_csv(&[(0, &samples)]);
    }
}

/// A CSV file: read, cut into segments, and written again byte for byte.
pub fn csv(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(table) = read_csv(text) else { return };
    let rate = Decimal::new(25, 1);
    for per_segment in [usize::MAX, 7] {
        let segments = table.segments("8867-4", "/min", 1_750_000_000_000, rate, per_segment).expect("a rate is given");
        let numbered: Vec<(u64, &Samples)> = (0..).zip(&segments).collect();
        same(&write_csv(&numbered)[..], text);
        for samples in &segments {
            // A table may hold what no segment may: a year after 9999, say. It is refused by name.
            if samples.encode().is_ok() {
                all_forms(samples);
            }
        }
    }
}
