//! A segment of readings: its receipt, opening and data.

use super::{Opened, judge};
use crate::failure::Failure;
use crate::files;
use blockhie_core::limits::MAX_RECEIPT_BYTES;
use blockhie_core::{BlockHash, ChainId, Header, PublicKey, Receipt, Trust, Verdict};
use blockhie_phd::opening::MAX_SEGMENT_OPENING_BYTES;
use blockhie_phd::{Samples, SegmentOpening};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Longest data of a segment read, bytes: above what the encoding allows.
pub(crate) const MAX_DATA_BYTES: usize = 64 << 20;
/// End of the names of openings in a folder of proofs.
const OPENING_END: &str = ".segment.opening.json";

/// What proves a segment.
pub(crate) struct Proof {
    pub(crate) receipt: Receipt,
    pub(crate) opening: SegmentOpening,
    pub(crate) data: Zeroizing<Vec<u8>>,
}

/// Names of data, opening and receipt of a segment: in the order of the sequence numbers when sorted as text.
pub(crate) fn file_names(first_seq: u64) -> [String; 3] {
    ["segment.data", "segment.opening.json", "segment.receipt.json"].map(|end| format!("{first_seq:020}.{end}"))
}

/// Reads one from its three files.
pub(crate) fn read(receipt: &Path, opening: &Path, data: &Path) -> Result<Proof, Failure> {
    let hint = "it has one text; ask whoever gave it for it again";
    let text = files::read(receipt, MAX_RECEIPT_BYTES, "receipt")?;
    let receipt = Receipt::parse(&text).map_err(|error| super::malformed(receipt, error, hint))?;
    let text = files::read(opening, MAX_SEGMENT_OPENING_BYTES, "segment opening")?;
    let opening = SegmentOpening::parse(&text).map_err(|error| super::malformed(opening, error, hint))?;
    Ok(Proof { receipt, opening, data: Zeroizing::new(files::read(data, MAX_DATA_BYTES, "segment")?) })
}

/// All proofs of a folder, by sequence number.
pub(crate) fn read_folder(folder: &Path) -> Result<Vec<Proof>, Failure> {
    let failed = |error: std::io::Error| {
        Failure::form(format!("--proofs {}: cannot be read: {error}", folder.display()))
            .hint("it is the folder that `blockhie device export --with-proofs` wrote")
    };
    let mut openings: Vec<PathBuf> = Vec::new();
    for entry in folder.read_dir().map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.ends_with(OPENING_END)) {
            openings.push(path);
        }
    }
    if openings.is_empty() {
        return Err(Failure::form(format!("--proofs {}: expected files *{OPENING_END}, got none", folder.display()))
            .hint("it is the folder that `blockhie device export --with-proofs` wrote"));
    }
    let beside = |opening: &Path, end: &str| {
        let name = opening.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        opening.with_file_name(name.trim_end_matches(OPENING_END).to_owned() + end)
    };
    let read = |path: &PathBuf| read(&beside(path, ".segment.receipt.json"), path, &beside(path, ".segment.data"));
    let mut proofs = openings.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    proofs.sort_by_key(|proof| proof.opening.first_seq);
    Ok(proofs)
}

/// Everything that `verify` checks but whom to trust, which is for whoever holds the proof to decide: its own last
/// header stands in as the checkpoint. Answers the samples.
pub(crate) fn judge_as_handed(
    proof: &Proof,
    chain: &ChainId,
    device: &PublicKey,
    first_seq: u64,
) -> Result<Samples, String> {
    if proof.opening.device.0 != *device.as_bytes() || proof.opening.first_seq != first_seq {
        return Err("opening: expected the device and segment that were asked for, got others".into());
    }
    let trust = Trust { checkpoint: Some(last_header(&proof.receipt, chain)?), ..Trust::default() };
    let opened = Opened::Segment(&proof.data, &proof.opening);
    let verification = judge(&proof.receipt, &trust, Some(&opened)).map_err(|error| error.to_string())?;
    if verification.verdict != Verdict::Proved {
        let step = verification.steps.iter().find(|step| step.holds != Some(true));
        return Err(step.map_or_else(|| "refuted".into(), |step| format!("{}: {}", step.name, step.detail)));
    }
    Samples::decode(&proof.data).map_err(|error| error.to_string())
}

/// Hash of the last header that a receipt shows.
pub(crate) fn last_header(receipt: &Receipt, chain: &ChainId) -> Result<BlockHash, String> {
    let last = receipt.run.last().unwrap_or(&receipt.block);
    let header = Header::from_preimage(&last.header.0, chain).map_err(|error| error.to_string())?;
    Ok(header.hash(chain))
}
