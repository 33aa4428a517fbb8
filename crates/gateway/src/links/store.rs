//! Rows of links in the index. Every value is sealed under the institution's key, bound to its row:
//!
//! - `link/row/` ‖ link → [`LinkRow`]
//! - `link/outbox/` ‖ link → [`OutboxEntry`]
//! - `link/open/` ‖ link → nothing, while its entry is not final

use crate::error::ApiError;
use crate::index::Index;
use crate::limits::{MAX_LINKS, MAX_LINKS_OPEN, SWEEP_PAGE};
use blockhie_core::{ErrorClass, Hash32, PublicKey, SecretKey, StoreError};
use blockhie_coupling::{LinkOpening, OutboxEntry, OutboxStore};
use blockhie_emr::vault::{KeyWrap, VaultIndex};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use zeroize::Zeroizing;

/// Why a link is not taken, or not given.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    /// No such link.
    #[error("link {link}: not here")]
    Missing {
        /// Its name.
        link: Hash32,
    },
    /// Its seed was used before, for something else.
    #[error("link {link}: its seed is that of another link; draw a new one")]
    OtherLink {
        /// Its name.
        link: Hash32,
    },
    /// No room.
    #[error("{what}: expected at most {limit}")]
    Full {
        /// Of what.
        what: &'static str,
        /// How many.
        limit: usize,
    },
    /// The operating system gave no randomness.
    #[error("no randomness from the operating system: {0}")]
    Random(#[from] getrandom::Error),
    /// The index.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<LinkError> for ApiError {
    fn from(error: LinkError) -> Self {
        let text = error.to_string();
        match error {
            LinkError::Missing { .. } => Self::not_found(text),
            LinkError::OtherLink { .. } => Self::conflict(text),
            LinkError::Full { .. } => Self::new(ErrorClass::Exhausted, text),
            LinkError::Random(_) => Self::unavailable(text),
            LinkError::Store(error) => error.into(),
        }
    }
}

/// A link as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LinkRow {
    /// When it came, ms since the epoch.
    pub(crate) created_ms: u64,
    /// The record's commitment.
    pub(crate) record: Hash32,
    /// The device.
    pub(crate) device: PublicKey,
    /// The device's owner.
    pub(crate) owner: PublicKey,
    /// The record's holder: its addressee, or its issuer if it has none.
    pub(crate) holder: PublicKey,
    /// Whom it is told.
    pub(crate) audience: PublicKey,
    /// What that one gets. It holds the seed.
    pub(crate) opening: LinkOpening,
}

impl LinkRow {
    /// Whether it is the same link: the same parties, told to the same audience until the same moment.
    fn is_same(&self, other: &Self) -> bool {
        Self { created_ms: 0, ..self.clone() } == Self { created_ms: 0, ..other.clone() }
    }
}

/// The store.
pub(crate) struct Links {
    index: Arc<Index>,
    wrap: KeyWrap,
    /// Held while rows are looked for and made.
    adding: Mutex<()>,
}

impl fmt::Debug for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Links")
    }
}

const ROWS: &[u8] = b"link/row/";
const ROWS_END: &[u8] = b"link/row0";
const OPEN: &[u8] = b"link/open/";
const OPEN_END: &[u8] = b"link/open0";

fn key(prefix: &[u8], link: &Hash32) -> Vec<u8> {
    [prefix, &link.0].concat()
}

fn row_key(link: &Hash32) -> Vec<u8> {
    key(ROWS, link)
}

fn outbox_key(link: &Hash32) -> Vec<u8> {
    key(b"link/outbox/", link)
}

fn trailing_hash(key: &[u8]) -> Result<Hash32, StoreError> {
    key.last_chunk().map(|hash| Hash32(*hash)).ok_or_else(|| corrupt("32 bytes at the end of its key", key.len()))
}

fn corrupt(expected: &str, got: impl ToString) -> StoreError {
    StoreError::Corrupt { what: "row of a link".into(), expected: expected.into(), got: got.to_string() }
}

impl Links {
    /// Over what the index holds; another institution's key opens none of it.
    pub(crate) fn new(index: Arc<Index>, institution: &SecretKey) -> Self {
        Self { index, wrap: KeyWrap::new(institution, "blockhie/link-wrap/v1"), adding: Mutex::default() }
    }

    fn read<T: DeserializeOwned>(&self, place: &[u8]) -> Result<Option<T>, StoreError> {
        let Some(sealed) = self.index.get(place)? else { return Ok(None) };
        let text = self.wrap.unwrap(place, &sealed);
        let text = text.ok_or_else(|| corrupt("one sealed by this institution", "another"))?;
        // What stands there is not repeated: it may be a seed.
        serde_json::from_slice(&text).map(Some).map_err(|_| corrupt("a row of this release", "another"))
    }

    fn seal<T: Serialize>(&self, place: &[u8], row: &T) -> Result<Vec<u8>, getrandom::Error> {
        let text = Zeroizing::new(serde_json::to_vec(row).expect("structs of texts and integers have a JSON form"));
        self.wrap.wrap(place, &text)
    }

    /// A link that is here.
    pub(crate) fn row(&self, link: &Hash32) -> Result<LinkRow, LinkError> {
        self.read(&row_key(link))?.ok_or(LinkError::Missing { link: *link })
    }

    /// At most `limit` links, by name.
    pub(crate) fn list(&self, limit: usize) -> Result<Vec<(Hash32, LinkRow)>, LinkError> {
        let places = self.index.range(ROWS, ROWS_END, limit)?;
        let read = |(place, _): (Vec<u8>, Vec<u8>)| {
            let link = trailing_hash(&place)?;
            Ok((link, self.row(&link)?))
        };
        places.into_iter().map(read).collect()
    }

    /// Keeps a link. Answers whether it is new; the same again is fine.
    pub(crate) fn keep(&self, link: &Hash32, row: &LinkRow) -> Result<bool, LinkError> {
        let _adding = self.adding.lock().unwrap_or_else(PoisonError::into_inner);
        match self.row(link) {
            Ok(kept) if kept.is_same(row) => return Ok(false),
            Ok(_) => return Err(LinkError::OtherLink { link: *link }),
            Err(LinkError::Missing { .. }) => {}
            Err(error) => return Err(error),
        }
        if self.index.range(OPEN, OPEN_END, MAX_LINKS_OPEN)?.len() >= MAX_LINKS_OPEN {
            return Err(LinkError::Full { what: "links that are not final yet", limit: MAX_LINKS_OPEN });
        }
        if self.index.range(ROWS, ROWS_END, MAX_LINKS)?.len() >= MAX_LINKS {
            return Err(LinkError::Full { what: "links of this gateway", limit: MAX_LINKS });
        }
        let place = row_key(link);
        let sealed = self.seal(&place, row)?;
        self.index.put_all(vec![(place, Some(sealed))])?;
        Ok(true)
    }

    /// Links that are kept and not in the outbox: a crash came between.
    pub(crate) fn stranded(&self) -> Result<Vec<LinkRow>, LinkError> {
        let (mut found, mut start) = (Vec::new(), ROWS.to_vec());
        loop {
            let page = self.index.range(&start, ROWS_END, SWEEP_PAGE)?;
            let Some((last, _)) = page.last() else { return Ok(found) };
            start = [last.as_slice(), &[0]].concat();
            for (place, _) in &page {
                let link = trailing_hash(place)?;
                if self.index.get(&outbox_key(&link))?.is_none() {
                    found.push(self.row(&link)?);
                }
            }
        }
    }
}

impl OutboxStore for Links {
    fn get(&self, id: &Hash32) -> Result<Option<OutboxEntry>, StoreError> {
        self.read(&outbox_key(id))
    }

    fn unsettled(&self) -> Result<Vec<OutboxEntry>, StoreError> {
        let open = self.index.range(OPEN, OPEN_END, MAX_LINKS_OPEN)?;
        let read = |(place, _): (Vec<u8>, Vec<u8>)| self.read(&outbox_key(&trailing_hash(&place)?));
        open.into_iter().map(read).filter_map(Result::transpose).collect()
    }

    fn put(&self, entry: &OutboxEntry) -> Result<(), StoreError> {
        let place = outbox_key(&entry.id);
        let sealed = self.seal(&place, entry).map_err(|error| StoreError::Io {
            action: "seal a link",
            reason: error.to_string(),
            hint: None,
        })?;
        let open = (key(OPEN, &entry.id), (!entry.is_final()).then(Vec::new));
        self.index.put_all(vec![(place, Some(sealed)), open])
    }

    fn remove(&self, id: &Hash32) -> Result<(), StoreError> {
        self.index.put_all(vec![(outbox_key(id), None), (key(OPEN, id), None)])
    }
}
