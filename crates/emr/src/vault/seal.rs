//! Encryption of the vault: XChaCha20-Poly1305 with random nonces; sealed = nonce(24) ‖ ciphertext ‖ tag(16).

use blockhie_core::SecretKey;
use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{Tag, XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;

/// 32 secret bytes, wiped when dropped.
pub(super) type Key = Zeroizing<[u8; 32]>;

/// A fresh key.
pub(super) fn random_key() -> Result<Key, getrandom::Error> {
    let mut key = Zeroizing::new([0; 32]);
    getrandom::fill(key.as_mut_slice())?;
    Ok(key)
}

/// The key under which an institution's vault wraps the records' own keys: HKDF-SHA256 of the seed, so that the
/// signing key itself never encrypts.
pub(super) fn wrapping_key(institution: &SecretKey) -> Key {
    derived(institution, b"blockhie/vault-wrap/v1")
}

fn derived(institution: &SecretKey, info: &[u8]) -> Key {
    let mut key = Zeroizing::new([0; 32]);
    Hkdf::<Sha256>::new(None, institution.seed())
        .expand(info, key.as_mut_slice())
        .expect("32 bytes are within HKDF's bound of 255 blocks");
    key
}

/// Seals `plaintext` under `key`, bound to `context`.
pub(super) fn seal(key: &Key, context: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, getrandom::Error> {
    let mut nonce = [0; NONCE_BYTES];
    getrandom::fill(&mut nonce)?;
    // Room for all of it from the start: growing would leave plaintext behind in freed memory.
    let mut sealed = Vec::with_capacity(NONCE_BYTES + plaintext.len() + TAG_BYTES);
    sealed.extend(nonce);
    sealed.extend(plaintext);
    let tag = XChaCha20Poly1305::new((&**key).into())
        .encrypt_inout_detached(&XNonce::from(nonce), context, (&mut sealed[NONCE_BYTES..]).into())
        .expect("a slice is shorter than the cipher's bound of 256 GB");
    sealed.extend(tag);
    Ok(sealed)
}

/// Opens what [`seal`] made. `None` when key, context or bytes are others.
pub(super) fn unseal(key: &Key, context: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, rest) = sealed.split_first_chunk::<NONCE_BYTES>()?;
    let (ciphertext, tag) = rest.split_last_chunk::<TAG_BYTES>()?;
    let mut plaintext = Zeroizing::new(ciphertext.to_vec());
    XChaCha20Poly1305::new((&**key).into())
        .decrypt_inout_detached(&XNonce::from(*nonce), context, plaintext.as_mut_slice().into(), &Tag::from(*tag))
        .ok()?;
    Some(plaintext)
}

/// Wraps small secrets of an institution (a key, a seed) under a key derived from its own, for what is kept beside the
/// vault. Another purpose gives another key; the signing key itself never encrypts.
pub struct KeyWrap(Key);

impl std::fmt::Debug for KeyWrap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyWrap(redacted)")
    }
}

impl KeyWrap {
    /// For a purpose: a domain string of its own, such as `blockhie/segment-wrap/v1`.
    #[must_use]
    pub fn new(institution: &SecretKey, purpose: &str) -> Self {
        Self(derived(institution, purpose.as_bytes()))
    }

    /// nonce(24) ‖ ciphertext ‖ tag(16), bound to `context`.
    ///
    /// # Errors
    /// What the operating system said when it had no randomness to give.
    pub fn wrap(&self, context: &[u8], secret: &[u8]) -> Result<Vec<u8>, getrandom::Error> {
        seal(&self.0, context, secret)
    }

    /// Opens what [`KeyWrap::wrap`] made; `None` when institution, purpose, context or bytes are others.
    #[must_use]
    pub fn unwrap(&self, context: &[u8], wrapped: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        unseal(&self.0, context, wrapped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrapped_secret_opens_for_its_purpose_and_context_only() {
        let institution = SecretKey::from_seed([7; 32]);
        let wrap = KeyWrap::new(&institution, "one");
        let wrapped = wrap.wrap(b"place", b"secret").unwrap();
        assert_eq!(wrap.unwrap(b"place", &wrapped).unwrap().as_slice(), b"secret");
        assert!(wrap.unwrap(b"other", &wrapped).is_none());
        assert!(KeyWrap::new(&institution, "other").unwrap(b"place", &wrapped).is_none());
        assert!(KeyWrap::new(&SecretKey::from_seed([8; 32]), "one").unwrap(b"place", &wrapped).is_none());
    }

    #[test]
    fn any_changed_byte_key_or_context_is_refused() {
        let key = random_key().unwrap();
        let sealed = seal(&key, b"context", b"record").unwrap();
        assert_eq!(sealed.len(), NONCE_BYTES + 6 + TAG_BYTES);
        assert_eq!(unseal(&key, b"context", &sealed).unwrap().as_slice(), b"record");
        assert!(unseal(&random_key().unwrap(), b"context", &sealed).is_none());
        assert!(unseal(&key, b"other", &sealed).is_none());
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(unseal(&key, b"context", &changed).is_none(), "byte {at}");
            assert!(unseal(&key, b"context", &sealed[..at]).is_none(), "cut to {at}");
        }
        assert_ne!(seal(&key, b"context", b"record").unwrap(), sealed, "a fresh nonce each time");
    }

    #[test]
    fn the_wrapping_key_is_that_of_rfc_5869() {
        // python3: hmac.digest(hmac.digest(bytes(32), bytes([7]*32), 'sha256'), b'blockhie/vault-wrap/v1\1', 'sha256')
        let key = wrapping_key(&SecretKey::from_seed([7; 32]));
        assert_eq!(hex::encode(key.as_slice()), "69815a2e888abe832a68f2b2d8e54e6237bcd4f216d2ba7bc7a0897e3ffa411d");
    }
}
