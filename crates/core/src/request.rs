//! Signed HTTP requests: how a patient or a device shows who asks, with the key it has anyway.
//!
//! The header is `Authorization: BlockHIE key=<64 hex>,time=<ms>,signature=<128 hex>`. The signature is over
//! `"blockhie/request/v1\0" ‖ u16 len ‖ method ‖ u16 len ‖ path and query ‖ time u64 ‖ SHA-256(body)`. It holds
//! [`VALID_MS`] around the receiver's clock, and within that time it can be sent again by whoever saw it: what it
//! authorises must do no harm when it is done twice (`docs/adr/0019-signed-requests.md`).

use crate::bytes::{Signature, sha256};
use crate::crypto::{PublicKey, SecretKey};
use std::fmt;
use std::str::FromStr;

/// How far a request's time may be from the receiver's clock, ms, in either direction.
pub const VALID_MS: u64 = 60_000;
/// The scheme's name in `Authorization`.
pub const SCHEME: &str = "BlockHIE";
/// Bytes of the longest header value: scheme, key, 16 digits of time and signature.
pub const MAX_HEADER_BYTES: usize = 256;
/// Times above this are not written exactly by every JSON reader; a request has none of them.
const MAX_TIME_MS: u64 = (1 << 53) - 1;
const DOMAIN: &[u8] = b"blockhie/request/v1\0";

/// Why a request is not that of its key's holder.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The header has another form, or its key is none. What was given is not repeated.
    #[error("signed request: expected `BlockHIE key=<64 hex>,time=<ms>,signature=<128 hex>`, got another header")]
    Form,
    /// Too old, or from a clock that runs ahead.
    #[error("signed request: time: expected within {VALID_MS} ms of {now_ms}, got {got_ms} (is the clock right?)")]
    Time {
        /// The receiver's clock, ms since the epoch.
        now_ms: u64,
        /// The request's.
        got_ms: u64,
    },
    /// Made for another method, path or body, or by another key.
    #[error("signed request: the signature is not that of {key} over this method, path, time and body")]
    Signature {
        /// Whose it should be.
        key: PublicKey,
    },
    /// Its length has no place in what is signed.
    #[error("signed request: {part}: expected at most 65,535 bytes, got {got}")]
    Length {
        /// `method` or `path`.
        part: &'static str,
        /// Its bytes.
        got: usize,
    },
}

/// The value of a signed request's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignedRequest {
    /// Who asks.
    pub key: PublicKey,
    /// When, ms since the epoch by the sender's clock.
    pub time_ms: u64,
    /// Over method, path and query, time and body.
    pub signature: Signature,
}

impl SignedRequest {
    /// The value of `Authorization` for a request: `method` in upper case, `path` as it stands in the request line,
    /// query included. A method or path above 65,535 bytes gives a value that no receiver takes.
    #[must_use]
    pub fn sign(secret: &SecretKey, method: &str, path: &str, body: &[u8], now_ms: u64) -> String {
        let signature = secret.sign(&sign_bytes(method, path, now_ms, body));
        Self { key: secret.public(), time_ms: now_ms, signature }.to_string()
    }

    /// Who signed a request, judged at `now_ms`.
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn check(header: &str, method: &str, path: &str, body: &[u8], now_ms: u64) -> Result<PublicKey, RequestError> {
        let request: Self = header.parse()?;
        for (part, text) in [("method", method), ("path", path)] {
            if u16::try_from(text.len()).is_err() {
                return Err(RequestError::Length { part, got: text.len() });
            }
        }
        if request.time_ms.abs_diff(now_ms) > VALID_MS {
            return Err(RequestError::Time { now_ms, got_ms: request.time_ms });
        }
        if !request.key.verify(&sign_bytes(method, path, request.time_ms, body), &request.signature) {
            return Err(RequestError::Signature { key: request.key });
        }
        Ok(request.key)
    }
}

impl fmt::Display for SignedRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME} key={},time={},signature={}", self.key, self.time_ms, self.signature)
    }
}

impl FromStr for SignedRequest {
    type Err = RequestError;

    /// One text for each value: no white space elsewhere, this order, no leading zeros.
    fn from_str(text: &str) -> Result<Self, RequestError> {
        let form = || RequestError::Form;
        let rest = text.strip_prefix(SCHEME).and_then(|rest| rest.strip_prefix(" key=")).ok_or_else(form)?;
        let (key, rest) = rest.split_once(",time=").ok_or_else(form)?;
        let (time, signature) = rest.split_once(",signature=").ok_or_else(form)?;
        let time_ms: u64 = time.parse().map_err(|_| RequestError::Form)?;
        let request = Self {
            key: key.parse().map_err(|_| RequestError::Form)?,
            time_ms,
            signature: signature.parse().map_err(|_| RequestError::Form)?,
        };
        if time_ms > MAX_TIME_MS || time != time_ms.to_string() {
            return Err(RequestError::Form);
        }
        Ok(request)
    }
}

/// What is signed. A length above `u16::MAX` is written as that: the receiver refuses it before it looks.
fn sign_bytes(method: &str, path: &str, time_ms: u64, body: &[u8]) -> Vec<u8> {
    let mut bytes = DOMAIN.to_vec();
    for part in [method, path] {
        let length = u16::try_from(part.len()).unwrap_or(u16::MAX);
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    bytes.extend_from_slice(&time_ms.to_be_bytes());
    bytes.extend_from_slice(&sha256(&[body]).0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: u64 = 1_790_000_000_000;
    const PATH: &str = "/api/v1/devices/ab/readings?from=1&to=2";

    fn secret() -> SecretKey {
        SecretKey::from_seed([9; 32])
    }

    fn signed() -> String {
        SignedRequest::sign(&secret(), "GET", PATH, b"", NOW)
    }

    #[test]
    fn the_signer_is_found() {
        assert_eq!(SignedRequest::check(&signed(), "GET", PATH, b"", NOW), Ok(secret().public()));
        let posted = SignedRequest::sign(&secret(), "POST", "/x", b"body", NOW);
        assert_eq!(SignedRequest::check(&posted, "POST", "/x", b"body", NOW), Ok(secret().public()));
        assert!(posted.len() <= MAX_HEADER_BYTES);
    }

    #[test]
    fn the_signed_bytes_are_those_of_the_contract() {
        let mut expected = b"blockhie/request/v1\0\x00\x04POST\x00\x02/x".to_vec();
        expected.extend_from_slice(&NOW.to_be_bytes());
        expected.extend_from_slice(&sha256(&[b"body"]).0);
        assert_eq!(sign_bytes("POST", "/x", NOW, b"body"), expected);
    }

    #[test]
    fn another_request_is_not_the_one_that_was_signed() {
        let other = |method: &str, path: &str, body: &[u8]| {
            let refused = SignedRequest::check(&signed(), method, path, body, NOW);
            assert!(matches!(refused, Err(RequestError::Signature { .. })), "{method} {path}: {refused:?}");
        };
        other("DELETE", PATH, b"");
        other("get", PATH, b"");
        other("GET", "/api/v1/devices/ab/readings?from=1&to=3", b"");
        other("GET", "/api/v1/devices/ab/readings", b"");
        other("GET", PATH, b"x");
        // The lengths keep method and path apart.
        other("GET/", &PATH[1..], b"");
        let stranger = SecretKey::from_seed([1; 32]).public();
        let claimed = signed().replace(&secret().public().to_string(), &stranger.to_string());
        let refused = SignedRequest::check(&claimed, "GET", PATH, b"", NOW);
        assert_eq!(refused, Err(RequestError::Signature { key: stranger }));
        let later = signed().replace(&NOW.to_string(), &(NOW + 1).to_string());
        let refused = SignedRequest::check(&later, "GET", PATH, b"", NOW);
        assert_eq!(refused, Err(RequestError::Signature { key: secret().public() }));
    }

    #[test]
    fn it_holds_a_minute_in_either_direction() {
        for now in [NOW - VALID_MS, NOW + VALID_MS] {
            assert!(SignedRequest::check(&signed(), "GET", PATH, b"", now).is_ok());
        }
        for now_ms in [0, NOW - VALID_MS - 1, NOW + VALID_MS + 1, u64::MAX] {
            let refused = SignedRequest::check(&signed(), "GET", PATH, b"", now_ms);
            assert_eq!(refused, Err(RequestError::Time { now_ms, got_ms: NOW }));
        }
    }

    #[test]
    fn one_text_for_each_value() {
        let good = signed();
        assert_eq!(good.parse::<SignedRequest>().map(|request| request.to_string()), Ok(good.clone()));
        let mut others = vec![String::new(), SCHEME.into(), format!(" {good}"), format!("{good} ")];
        others.extend([",", "=", " "].map(|mark| good.replacen(mark, "", 1)));
        others.push(good.to_uppercase());
        others.push(good.replacen(SCHEME, "Bearer", 1));
        others.push(good.replacen("time=", "time=0", 1));
        others.push(good.replacen("time=", "time=+", 1));
        others.push(good.replacen(&NOW.to_string(), &(MAX_TIME_MS + 1).to_string(), 1));
        others.push(good.replacen(&secret().public().to_string(), &"0".repeat(64), 1));
        others.push(format!("{good},time=1"));
        others.push(good[..good.len() - 2].to_owned());
        for other in others {
            assert_eq!(other.parse::<SignedRequest>(), Err(RequestError::Form), "{other}");
        }
    }

    #[test]
    fn a_path_without_a_place_for_its_length_is_refused() {
        let path = "/".repeat(70_000);
        let header = SignedRequest::sign(&secret(), "GET", &path, b"", NOW);
        let refused = SignedRequest::check(&header, "GET", &path, b"", NOW);
        assert_eq!(refused, Err(RequestError::Length { part: "path", got: 70_000 }));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn any_text_is_read_or_refused(text in "(BlockHIE key=)?[ -~]{0,300}") {
            if let Ok(request) = text.parse::<SignedRequest>() {
                prop_assert_eq!(request.to_string(), text);
            }
        }

        #[test]
        fn every_changed_character_is_noticed(at in 0usize..200, flip in 1u8..128) {
            let mut bytes = signed().into_bytes();
            let at = at % bytes.len();
            bytes[at] = (bytes[at] ^ flip) & 0x7f;
            let header = String::from_utf8(bytes).unwrap();
            prop_assume!(header != signed());
            prop_assert!(SignedRequest::check(&header, "GET", PATH, b"", NOW).is_err());
        }
    }
}
