//! The patient's copy: an age file of a tar with the record, its opening and its receipt, which stock tools open:
//! `age -d -i KEY NAME.age | tar x`.

use age::{Encryptor, x25519};
use std::fmt;
use std::io::{self, Write};
use std::str::FromStr;

/// The record's exact bytes.
pub const RECORD_FILE: &str = "record";
/// Its opening.
pub const OPENING_FILE: &str = "opening.json";
/// Its receipt.
pub const RECEIPT_FILE: &str = "receipt.json";

/// A text that is not a recipient.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecipientError {
    /// A secret key where a public one is meant. It is not repeated.
    #[error(
        "age recipient: expected a public key age1…, got a secret key (not shown); `age-keygen -y` prints the public one"
    )]
    Secret,
    /// Anything else.
    #[error("age recipient: expected an X25519 public key age1…, got {got:?} ({reason})")]
    Malformed {
        /// The text, cut to 80 characters.
        got: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// A patient's age key (X25519).
#[derive(Clone)]
pub struct Recipient(x25519::Recipient);

impl FromStr for Recipient {
    type Err = RecipientError;
    fn from_str(text: &str) -> Result<Self, RecipientError> {
        if text.to_ascii_uppercase().contains("AGE-SECRET-KEY-") {
            return Err(RecipientError::Secret);
        }
        let malformed = |reason| RecipientError::Malformed { got: text.chars().take(80).collect(), reason };
        text.parse().map(Self).map_err(malformed)
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recipient({self})")
    }
}

/// What goes into the copy.
#[derive(Clone, Copy)]
pub struct Contents<'a> {
    /// The record's exact bytes.
    pub record: &'a [u8],
    /// Text of opening.json.
    pub opening: &'a str,
    /// Text of receipt.json.
    pub receipt: &'a str,
    /// Time shown on the files, ms since the epoch.
    pub time_ms: u64,
}

/// Writes the age file to `out`; the plain tar is never held whole.
///
/// # Errors
/// What `out` answers.
pub fn write_patient_copy<W: Write>(out: W, recipient: &Recipient, contents: Contents<'_>) -> io::Result<W> {
    let encryptor =
        Encryptor::with_recipients(std::iter::once(&recipient.0 as &dyn age::Recipient)).map_err(io::Error::other)?;
    let mut tar = tar::Builder::new(encryptor.wrap_output(out)?);
    let files = [
        (RECORD_FILE, contents.record),
        (OPENING_FILE, contents.opening.as_bytes()),
        (RECEIPT_FILE, contents.receipt.as_bytes()),
    ];
    for (name, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(u64::try_from(bytes.len()).map_err(io::Error::other)?);
        header.set_mode(0o600);
        header.set_mtime(contents.time_ms / 1000);
        tar.append_data(&mut header, name, bytes)?;
    }
    tar.into_inner()?.finish()
}

/// The age file in memory.
///
/// # Errors
/// As [`write_patient_copy`].
pub fn patient_copy(recipient: &Recipient, contents: Contents<'_>) -> io::Result<Vec<u8>> {
    write_patient_copy(Vec::new(), recipient, contents)
}
