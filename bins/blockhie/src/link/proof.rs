//! A link's five files and what they prove together.

use crate::failure::Failure;
use crate::files;
use crate::verify::malformed;
use blockhie_core::limits::MAX_RECEIPT_BYTES;
use blockhie_core::{PublicKey, Receipt, Step, Trust, TrustError, Verdict, Verification, verify_receipt};
use blockhie_coupling::{LinkOpening, LinkReceipts, MAX_LINK_OPENING_BYTES, check_link};
use std::path::{Path, PathBuf};

/// Name of the opening in a link's folder.
pub(super) const OPENING: &str = "link-opening.json";
/// The four receipts: as the interface calls them, as the folder calls them, as the steps call them.
pub(super) const RECEIPTS: [(&str, &str, &str); 4] = [
    ("record", "record.receipt.json", "record receipt"),
    ("device", "device.receipt.json", "device receipt"),
    ("link-emr", "link-emr.receipt.json", "link-emr receipt"),
    ("link-phd", "link-phd.receipt.json", "link-phd receipt"),
];

/// A link's opening and receipts, each of its form.
pub(super) struct Proof {
    pub(super) opening: LinkOpening,
    /// In the order of [`RECEIPTS`].
    pub(super) receipts: [Receipt; 4],
}

/// What came out.
pub(super) struct Judged {
    pub(super) verdict: Verdict,
    /// One for each receipt, then those of the link.
    pub(super) steps: Vec<Step>,
    /// Owner of the device, once the receipts hold.
    pub(super) owner: Option<PublicKey>,
}

impl Proof {
    /// Reads the opening, then the receipts in the order of [`RECEIPTS`].
    pub(super) fn read(opening: &Path, receipts: &[PathBuf; 4]) -> Result<Self, Failure> {
        let hint = "it has one text; ask whoever gave it for it again";
        let text = files::read(opening, MAX_LINK_OPENING_BYTES, "link opening")?;
        let parsed = LinkOpening::parse(&text).map_err(|error| malformed(opening, error, hint))?;
        let receipt = |path: &PathBuf| {
            let text = files::read(path, MAX_RECEIPT_BYTES, "receipt")?;
            Receipt::parse(&text).map_err(|error| malformed(path, error, hint))
        };
        let [record, device, link_emr, link_phd] = receipts;
        let receipts = [receipt(record)?, receipt(device)?, receipt(link_emr)?, receipt(link_phd)?];
        Ok(Self { opening: parsed, receipts })
    }

    /// Each receipt by the trust at its place, then the link. A step that does not hold refutes also what is not final.
    pub(super) fn judge(
        &self,
        trust: &[Trust<'_>; 4],
        audience: Option<&PublicKey>,
        now_ms: u64,
    ) -> Result<Judged, TrustError> {
        let mut verified = Vec::with_capacity(4);
        let mut steps = Vec::new();
        for ((receipt, trust), (_, _, name)) in self.receipts.iter().zip(trust).zip(RECEIPTS) {
            let verification = verify_receipt(receipt, trust)?;
            steps.push(summary(name, &verification));
            verified.push(verification);
        }
        let verdicts = verified.iter().map(|verification| verification.verdict).collect::<Vec<_>>();
        if verdicts.contains(&Verdict::Refuted) {
            return Ok(Judged { verdict: Verdict::Refuted, steps, owner: None });
        }
        let [record, device, link_emr, link_phd] =
            <&[Verification; 4]>::try_from(verified.as_slice()).expect("one for each of the four receipts");
        let receipts = LinkReceipts { record, device, link_emr, link_phd };
        let link = check_link(&self.opening, &receipts, audience, now_ms);
        let refuted = link.iter().any(|step| step.holds == Some(false));
        steps.extend(link);
        let verdict = match (refuted, verdicts.contains(&Verdict::NotFinal)) {
            (true, _) => Verdict::Refuted,
            (false, true) => Verdict::NotFinal,
            (false, false) => Verdict::Proved,
        };
        let owner = device.transaction.as_ref().map(|tx| *tx.from());
        Ok(Judged { verdict, steps, owner })
    }
}

/// A receipt's own steps in one line.
fn summary(name: &'static str, verification: &Verification) -> Step {
    let (holds, undecided) = match verification.verdict {
        Verdict::Refuted => (Some(false), Some(false)),
        Verdict::NotFinal => (None, None),
        Verdict::Proved => {
            let members = &verification.members;
            let by = if members.is_empty() { String::new() } else { format!(", built on by {}", members.join(", ")) };
            return Step { name, holds: Some(true), detail: format!("in block {}{by}", verification.height) };
        }
    };
    let step = verification.steps.iter().find(|step| step.holds == undecided);
    let detail = step.map_or_else(String::new, |step| format!("{}: {}", step.name, step.detail));
    Step { name, holds, detail }
}
