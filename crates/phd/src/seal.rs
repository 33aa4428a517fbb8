//! Seals of segments: XChaCha20-Poly1305 under a key of that segment. Key, salt and nonce are derived from the device's
//! secret (see `docs/adr/0014-derived-segment-keys.md`).

use crate::place::{Place, segment_digest};
use blockhie_core::{Hash32, Salt, SecretKey, sha256};
use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{Tag, XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use sha2::Sha256;
use std::fmt;
use std::str::FromStr;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

const NONCE_BYTES: usize = 24;
const SALT_BYTES: usize = 32;
const TAG_BYTES: usize = 16;
/// What a seal adds to the data: nonce, salt and tag.
pub const SEAL_OVERHEAD_BYTES: usize = NONCE_BYTES + SALT_BYTES + TAG_BYTES;

/// Why sealed bytes do not open. None of them repeats a key or plaintext.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Too short for nonce, salt and tag.
    #[error("sealed segment: expected at least {SEAL_OVERHEAD_BYTES} bytes, got {got}")]
    Short {
        /// Its length.
        got: usize,
    },
    /// Key, place or bytes are others than those that were sealed.
    #[error("sealed segment {first_seq}: expected bytes sealed under this key for this place, got others")]
    Broken {
        /// First sequence number of the place.
        first_seq: u64,
    },
    /// It opens, but not to what the chain commits.
    #[error("sealed segment {first_seq}: content: expected {expected}, got {got}")]
    Content {
        /// First sequence number of the place.
        first_seq: u64,
        /// The digest on the chain.
        expected: Hash32,
        /// The digest of what was found.
        got: Hash32,
    },
}

/// A text that is no segment key. It is not repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("segment key: expected 64 lowercase hex digits")]
pub struct SegmentKeyError;

/// The key of one segment, 32 bytes. Who has it can open that segment and no other. Wiped when dropped, not shown by
/// `Debug`; as text 64 lowercase hex digits.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct SegmentKey([u8; 32]);

impl SegmentKey {
    /// From its bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The key that the device derives for a place: HKDF-SHA256 of its seed.
    #[must_use]
    pub fn derive(device: &SecretKey, place: &Place) -> Self {
        Self(expand(device, &[b"blockhie/segment-key/v1\0", &place.to_bytes()]))
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for SegmentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SegmentKey(redacted)")
    }
}

impl FromStr for SegmentKey {
    type Err = SegmentKeyError;
    fn from_str(text: &str) -> Result<Self, SegmentKeyError> {
        blockhie_core::bytes::from_hex("segment key", text).map(Self).map_err(|_| SegmentKeyError)
    }
}

impl Serialize for SegmentKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Hash32(self.0).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for SegmentKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            return Zeroizing::new(String::deserialize(deserializer)?).parse().map_err(D::Error::custom);
        }
        Hash32::deserialize(deserializer).map(|bytes| Self(bytes.0))
    }
}

fn expand<const N: usize>(device: &SecretKey, info: &[&[u8]]) -> [u8; N] {
    let mut out = [0; N];
    Hkdf::<Sha256>::new(None, device.seed())
        .expand_multi_info(info, &mut out)
        .expect("32 bytes are within HKDF's bound of 255 blocks");
    out
}

/// The salt of these bytes at this place. Derived, so that the same segment pushed again commits to the same content.
#[must_use]
pub fn derive_salt(device: &SecretKey, place: &Place, data: &[u8]) -> Salt {
    Salt::new(expand(device, &[b"blockhie/segment-salt/v1\0", &place.to_bytes(), sha256(&[data]).as_bytes()]))
}

/// Seals `data`: nonce(24) ‖ ciphertext of (salt ‖ data) ‖ tag(16), bound to the place. The nonce is derived from key,
/// place, salt and data: the same segment is sealed to the same bytes, and other data never meet a used nonce.
#[must_use]
pub fn seal(key: &SegmentKey, place: &Place, salt: &Salt, data: &[u8]) -> Vec<u8> {
    let content = segment_digest(place, salt, data);
    let mut nonce = [0; NONCE_BYTES];
    Hkdf::<Sha256>::new(None, key.as_bytes())
        .expand_multi_info(&[b"blockhie/segment-nonce/v1\0", content.as_bytes()], &mut nonce)
        .expect("24 bytes are within HKDF's bound of 255 blocks");
    // Room for all of it from the start: growing would leave plaintext behind in freed memory.
    let mut sealed = Vec::with_capacity(SEAL_OVERHEAD_BYTES + data.len());
    sealed.extend(nonce);
    sealed.extend(salt.as_bytes());
    sealed.extend(data);
    let tag = XChaCha20Poly1305::new(key.as_bytes().into())
        .encrypt_inout_detached(&XNonce::from(nonce), &place.to_bytes(), (&mut sealed[NONCE_BYTES..]).into())
        .expect("a slice is shorter than the cipher's bound of 256 GB");
    sealed.extend(tag);
    sealed
}

/// Opens what [`seal`] made and compares it with `content`, the digest that the chain commits.
///
/// # Errors
/// [`SealError`].
pub fn unseal(
    key: &SegmentKey,
    place: &Place,
    sealed: &[u8],
    content: &Hash32,
) -> Result<(Salt, Zeroizing<Vec<u8>>), SealError> {
    let first_seq = place.first_seq;
    let parts = sealed.split_first_chunk::<NONCE_BYTES>().and_then(|(nonce, rest)| {
        let (ciphertext, tag) = rest.split_last_chunk::<TAG_BYTES>()?;
        (ciphertext.len() >= SALT_BYTES).then_some((nonce, ciphertext, tag))
    });
    let (nonce, ciphertext, tag) = parts.ok_or(SealError::Short { got: sealed.len() })?;
    let mut opened = Zeroizing::new(ciphertext.to_vec());
    XChaCha20Poly1305::new(key.as_bytes().into())
        .decrypt_inout_detached(
            &XNonce::from(*nonce),
            &place.to_bytes(),
            opened.as_mut_slice().into(),
            &Tag::from(*tag),
        )
        .map_err(|_| SealError::Broken { first_seq })?;
    let (salt, data) = opened.split_first_chunk::<SALT_BYTES>().expect("the ciphertext holds a salt at least");
    let (salt, data) = (Salt::new(*salt), Zeroizing::new(data.to_vec()));
    let got = segment_digest(place, &salt, &data);
    if got != *content {
        return Err(SealError::Content { first_seq, expected: *content, got });
    }
    Ok((salt, data))
}
