//! Who may: the operator's token, browser sessions, and the page's own token against cross-site requests.

use crate::limits::{MAX_SESSIONS, SESSION_TIME};
use axum::http::{HeaderMap, Method, header};
use blockhie_core::keyfile::{self, KeyFileError};
use blockhie_core::{PublicKey, SecretKey};
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use zeroize::Zeroizing;

/// The session's cookie.
pub(crate) const COOKIE: &str = "blockhie_session";
/// The header that carries a page's token.
pub(crate) const CSRF_HEADER: &str = "x-csrf-token";

/// Who may call a route. There is no default: each route says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Anybody.
    Public,
    /// The operator: by token, or by session and page token. Others get a typed 401.
    Operator,
    /// The operator, or whoever signs the request with a key; whether the key may is for the handler to say, which
    /// answers "not found" to one that may not. Others get a typed 401.
    Holder,
    /// The operator in a browser. Others are sent to the login page.
    OperatorPage,
}

/// Who asks, on a route for [`Access::Holder`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caller {
    /// The operator.
    Operator,
    /// The holder of this key.
    Key(PublicKey),
}

impl Caller {
    /// Whether this is the operator, or the holder of one of these keys.
    #[must_use]
    pub(crate) fn is_one_of(&self, keys: &[PublicKey]) -> bool {
        match self {
            Self::Operator => true,
            Self::Key(key) => keys.contains(key),
        }
    }
}

/// The operator, as a request showed it.
#[derive(Clone)]
pub(crate) struct Operator {
    /// The page token of the session; `None` for a request with the operator's token.
    pub(crate) csrf: Option<String>,
}

impl fmt::Debug for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Operator")
    }
}

/// The token and the sessions. Only hashes are kept, and compared in constant time.
pub(crate) struct Gate {
    token: blake3::Hash,
    csrf_key: Zeroizing<[u8; 32]>,
    sessions: Mutex<BTreeMap<[u8; 32], Instant>>,
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gate(redacted)")
    }
}

impl Gate {
    /// Reads the operator's token from `path`, or makes one: 32 random bytes in hex, in a file that only its owner
    /// reads. The second value says whether it was made.
    ///
    /// # Errors
    /// [`KeyFileError`]; a token that others can read is refused.
    pub(crate) fn open(path: &Path) -> Result<(Self, bool), KeyFileError> {
        let made = !path.exists();
        // A token has the form of a key file: 64 hex digits, 0600.
        let secret = if made { keyfile::generate(path)? } else { keyfile::read(path)? };
        let token = Zeroizing::new(hex::encode(secret.seed()));
        let csrf_key = Zeroizing::new(*SecretKey::generate()?.seed());
        let gate = Self { token: blake3::hash(token.as_bytes()), csrf_key, sessions: Mutex::new(BTreeMap::new()) };
        Ok((gate, made))
    }

    /// Whether this is the operator's token.
    #[must_use]
    pub(crate) fn is_token(&self, text: &str) -> bool {
        // `blake3::Hash` compares in constant time.
        blake3::hash(text.as_bytes()) == self.token
    }

    /// Begins a session: the value of its cookie.
    ///
    /// # Errors
    /// What the operating system said when it had no randomness to give.
    pub(crate) fn begin(&self, now: Instant) -> Result<String, getrandom::Error> {
        let mut bytes = [0u8; 32];
        getrandom::fill(&mut bytes)?;
        let cookie = hex::encode(bytes);
        let mut sessions = self.lock();
        sessions.retain(|_, ends| *ends > now);
        if sessions.len() >= MAX_SESSIONS {
            let oldest = sessions.iter().min_by_key(|(_, ends)| **ends).map(|(id, _)| *id);
            oldest.and_then(|id| sessions.remove(&id));
        }
        sessions.insert(id_of(&cookie), now + SESSION_TIME);
        Ok(cookie)
    }

    /// Ends the session of a request, if it has one.
    pub(crate) fn end(&self, headers: &HeaderMap) {
        if let Some(cookie) = cookie(headers) {
            self.lock().remove(&id_of(cookie));
        }
    }

    /// The operator behind a request, if it is one. Whether a changing request of a session comes from a page of ours
    /// is a second question: [`Gate::same_site`].
    #[must_use]
    pub(crate) fn operator(&self, headers: &HeaderMap, now: Instant) -> Option<Operator> {
        if let Some(value) = headers.get(header::AUTHORIZATION) {
            let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
            let known = scheme.eq_ignore_ascii_case("bearer") && self.is_token(token.trim());
            return known.then_some(Operator { csrf: None });
        }
        let cookie = cookie(headers)?;
        // The map is searched by hash: what its timing tells is about the hash of a value nobody else can know.
        let ends = *self.lock().get(&id_of(cookie))?;
        (ends > now).then(|| Operator { csrf: Some(self.csrf_of(cookie)) })
    }

    /// Whether `given` is the page token of this session. Always true with the operator's token: no page of another
    /// site can send that.
    #[must_use]
    pub(crate) fn same_site(operator: &Operator, given: Option<&str>) -> bool {
        match &operator.csrf {
            None => true,
            Some(expected) => given.is_some_and(|given| same(expected, given)),
        }
    }

    fn csrf_of(&self, cookie: &str) -> String {
        blake3::keyed_hash(&self.csrf_key, cookie.as_bytes()).to_string()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<[u8; 32], Instant>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a method changes something.
#[must_use]
pub(crate) fn changes(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Whether the browser says that another site's page sent this.
#[must_use]
pub(crate) fn from_elsewhere(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site").map(|value| value.as_bytes());
    !matches!(site, None | Some(b"same-origin" | b"none"))
}

/// Constant time for any two texts.
fn same(left: &str, right: &str) -> bool {
    blake3::hash(left.as_bytes()) == blake3::hash(right.as_bytes())
}

fn id_of(cookie: &str) -> [u8; 32] {
    *blake3::hash(cookie.as_bytes()).as_bytes()
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn gate() -> (Gate, String, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let (gate, made) = Gate::open(&path).unwrap();
        assert!(made);
        let token = std::fs::read_to_string(&path).unwrap().trim().to_owned();
        (gate, token, folder)
    }

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name.parse().unwrap(), HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn the_token_is_made_once_and_only_it_opens() {
        let (gate, token, folder) = gate();
        assert_eq!(token.len(), 64);
        let (again, made) = Gate::open(&folder.path().join("token")).unwrap();
        assert!(!made && again.is_token(&token));
        let now = Instant::now();
        let bearer = |text: &str| gate.operator(&headers("authorization", text), now).is_some();
        assert!(bearer(&format!("Bearer {token}")) && bearer(&format!("bearer {token}")));
        assert!(!bearer(&format!("Bearer {}", &token[1..])) && !bearer(&format!("Basic {token}")));
        assert!(!bearer("Bearer ") && !bearer("Bearer") && !bearer(&token));
        assert!(gate.operator(&HeaderMap::new(), now).is_none());
    }

    #[cfg(unix)]
    #[test]
    fn a_token_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let (_, _, folder) = gate();
        let path = folder.path().join("token");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(Gate::open(&path), Err(KeyFileError::Permissions { .. })));
    }

    #[test]
    fn a_session_ends_and_needs_its_own_page_token() {
        let (gate, _, _folder) = gate();
        let now = Instant::now();
        let cookie = gate.begin(now).unwrap();
        let with = headers("cookie", &format!("a=b; {COOKIE}={cookie}; c=d"));
        let operator = gate.operator(&with, now).unwrap();
        let csrf = operator.csrf.clone().unwrap();
        assert!(Gate::same_site(&operator, Some(&csrf)));
        assert!(!Gate::same_site(&operator, Some(&csrf[1..])) && !Gate::same_site(&operator, None));
        assert_ne!(csrf, cookie);
        assert!(gate.operator(&with, now + SESSION_TIME).is_none());
        // a wrong token is not made good by a cookie
        let mut both = with.clone();
        both.insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer wrong"));
        assert!(gate.operator(&both, now).is_none());
        gate.end(&with);
        assert!(gate.operator(&with, now).is_none());
    }

    #[test]
    fn sessions_are_bounded_and_the_oldest_goes() {
        let (gate, _, _folder) = gate();
        let now = Instant::now();
        let first = gate.begin(now).unwrap();
        for later in 1..=MAX_SESSIONS {
            gate.begin(now + std::time::Duration::from_millis(u64::try_from(later).unwrap())).unwrap();
        }
        assert_eq!(gate.lock().len(), MAX_SESSIONS);
        assert!(gate.operator(&headers("cookie", &format!("{COOKIE}={first}")), now).is_none());
    }
}
