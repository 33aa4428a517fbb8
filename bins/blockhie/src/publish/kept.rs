//! What stays in the output folder for each file: its opening, its receipt, the patient's copy. Nothing is kept
//! unchecked, and no opening or receipt of an earlier version is overwritten.

use crate::failure::Failure;
use crate::files;
use crate::output::note;
use crate::verify::{Opened, judge};
use blockhie_core::limits::MAX_RECEIPT_BYTES;
use blockhie_core::{Hash32, Header, PublicKey, Receipt, Trust, Verdict, Verification, sha256};
use blockhie_emr::copy::{Contents, Recipient, patient_copy};
use blockhie_emr::opening::MAX_OPENING_BYTES;
use blockhie_emr::{Opening, commitment, content_digest};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Paths of one file's outputs.
#[derive(Debug, Clone)]
pub(crate) struct Outputs {
    folder: PathBuf,
    name: String,
}

impl Outputs {
    pub(crate) fn new(folder: &Path, name: &str) -> Self {
        Self { folder: folder.to_owned(), name: name.to_owned() }
    }

    pub(crate) fn opening(&self) -> PathBuf {
        self.folder.join(format!("{}.opening.json", self.name))
    }

    pub(crate) fn receipt(&self) -> PathBuf {
        self.folder.join(format!("{}.receipt.json", self.name))
    }

    pub(crate) fn age(&self) -> PathBuf {
        self.folder.join(format!("{}.age", self.name))
    }

    /// The opening kept, if it is one.
    pub(crate) fn kept_opening(&self) -> Result<Option<Opening>, Failure> {
        let bytes = files::read_if_there(&self.opening(), MAX_OPENING_BYTES, "opening")?;
        Ok(bytes.and_then(|bytes| Opening::parse(&bytes).ok()))
    }

    /// The text of the receipt kept, if there is one.
    pub(crate) fn kept_receipt(&self) -> Result<Option<String>, Failure> {
        let bytes = files::read_if_there(&self.receipt(), MAX_RECEIPT_BYTES, "receipt")?;
        Ok(bytes.and_then(|bytes| String::from_utf8(bytes).ok()))
    }

    /// Keeps an opening. Outputs of another one are renamed first, the old opening last, so that a crash in between is
    /// put right by the next run.
    pub(crate) fn keep_opening(&self, opening: &Opening) -> Result<(), Failure> {
        let text = opening.to_json();
        let old = files::read_if_there(&self.opening(), MAX_OPENING_BYTES, "opening")?;
        if let Some(old) = old.filter(|old| old != text.as_bytes()) {
            let mark = &sha256(&[&old]).to_string()[..8];
            let aside = Self { folder: self.folder.clone(), name: format!("{}.{mark}", self.name) };
            for (from, to) in
                [(self.receipt(), aside.receipt()), (self.age(), aside.age()), (self.opening(), aside.opening())]
            {
                if from.exists() {
                    files::rename(&from, &to)?;
                }
            }
            note(&format!("{}: an earlier version's outputs are now called {}.*", self.name, aside.name));
        }
        files::write(&self.opening(), text.as_bytes())
    }

    /// Makes the patient's copy.
    pub(crate) fn keep_copy(
        &self,
        recipient: &Recipient,
        record: &[u8],
        opening: &Opening,
        receipt: &str,
        time_ms: u64,
    ) -> Result<(), Failure> {
        let contents = Contents { record, opening: &opening.to_json(), receipt, time_ms };
        let copy =
            patient_copy(recipient, contents).map_err(|error| Failure::failed(format!("patient's copy: {error}")))?;
        files::write(&self.age(), &copy)
    }
}

/// Whether an opening is for these bytes, this addressee and this record.
pub(crate) fn check_opening(
    bytes: &[u8],
    addressee: Option<&PublicKey>,
    opening: &Opening,
    record: &Hash32,
) -> Result<(), String> {
    if opening.addressee != addressee.copied().map(Hash32::from) {
        return Err("opening: expected the addressee that was asked for, got another".into());
    }
    if u64::try_from(bytes.len()) != Ok(opening.length) {
        return Err(format!("opening: expected {} bytes, got {}", bytes.len(), opening.length));
    }
    let issuer = PublicKey::new(opening.issuer.0).map_err(|error| format!("opening: issuer: {error}"))?;
    let content = content_digest(&opening.salt, &opening.media_type, bytes);
    let got = commitment(&opening.chain_id, &issuer, addressee, &content);
    if got == *record { Ok(()) } else { Err(format!("opening: expected record {record}, got {got}")) }
}

/// Whether a receipt is one of this record: everything that `verify` checks but whom to trust, which is for whoever
/// holds the receipt to decide. So its own last header stands in as the checkpoint.
pub(crate) fn check_receipt(text: &str, bytes: &[u8], opening: &Opening) -> Result<(Receipt, Verification), String> {
    let receipt = Receipt::parse(text.as_bytes()).map_err(|error| error.to_string())?;
    let last = receipt.run.last().unwrap_or(&receipt.block);
    let header = Header::from_preimage(&last.header.0, &opening.chain_id).map_err(|error| error.to_string())?;
    let trust = Trust { checkpoint: Some(header.hash(&opening.chain_id)), ..Trust::default() };
    let opened = Opened::Record(bytes, opening);
    let verification = judge(&receipt, &trust, Some(&opened)).map_err(|error| error.to_string())?;
    if verification.verdict == Verdict::Proved {
        return Ok((receipt, verification));
    }
    let step = verification.steps.iter().find(|step| step.holds != Some(true));
    Err(step.map_or_else(|| "receipt: refuted".into(), |step| format!("receipt: {}: {}", step.name, step.detail)))
}

/// How many different miners stand behind a receipt.
pub(crate) fn miners(receipt: &Receipt, opening: &Opening) -> usize {
    let block = receipt.history.is_empty().then_some(&receipt.block);
    let headers = block.into_iter().chain(&receipt.run);
    let miner = |preimage| Header::from_preimage(preimage, &opening.chain_id).ok().map(|header| header.miner);
    headers.filter_map(|signed| miner(&signed.header.0)).collect::<BTreeSet<_>>().len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::vectors::Vectors;

    #[test]
    fn the_right_opening_and_receipt_are_told_from_wrong_ones() {
        let vectors = Vectors::read();
        let (bytes, opening) = (vectors.record(), vectors.opening());
        let receipt = vectors.receipt("full");
        let record = vectors.commitment();
        let addressee = opening.addressee.map(|key| PublicKey::new(key.0).unwrap());
        assert_eq!(check_opening(&bytes, addressee.as_ref(), &opening, &record), Ok(()));
        assert!(check_opening(&bytes[1..], addressee.as_ref(), &opening, &record).is_err());
        assert!(check_opening(&bytes, addressee.as_ref(), &opening, &Hash32::ZERO).is_err());
        let other = blockhie_core::SecretKey::from_seed([9; 32]).public();
        assert!(check_opening(&bytes, Some(&other), &opening, &record).is_err());
        let (parsed, verification) = check_receipt(&receipt, &bytes, &opening).unwrap();
        assert_eq!((miners(&parsed, &opening), verification.height > 0), (2, true));
        let block_only = check_receipt(&vectors.receipt("block only"), &bytes, &opening).unwrap().0;
        assert_eq!(miners(&block_only, &opening), 1);
        assert!(check_receipt(&receipt, b"other", &opening).unwrap_err().contains("record"));
        for spoiled in ["gap in the run", "wrong signature", "changed transaction", "wrong index", "second transaction"]
        {
            assert!(check_receipt(&vectors.receipt(spoiled), &bytes, &opening).is_err(), "{spoiled}");
        }
    }

    #[test]
    fn an_earlier_versions_outputs_are_renamed_and_not_lost() {
        let folder = tempfile::tempdir().unwrap();
        let outputs = Outputs::new(folder.path(), "a.json");
        let opening = Vectors::read().opening();
        let other = Opening { length: 1, ..opening.clone() };
        outputs.keep_opening(&opening).unwrap();
        files::write(&outputs.receipt(), b"old receipt").unwrap();
        outputs.keep_opening(&opening).unwrap();
        assert_eq!(outputs.kept_receipt().unwrap().unwrap(), "old receipt", "the same opening leaves all as it is");
        outputs.keep_opening(&other).unwrap();
        assert_eq!(outputs.kept_opening().unwrap(), Some(other));
        assert_eq!(outputs.kept_receipt().unwrap(), None);
        let mark = &sha256(&[opening.to_json().as_bytes()]).to_string()[..8];
        let aside = Outputs::new(folder.path(), &format!("a.json.{mark}"));
        assert_eq!(aside.kept_opening().unwrap(), Some(opening));
        assert_eq!(aside.kept_receipt().unwrap().unwrap(), "old receipt");
    }
}
