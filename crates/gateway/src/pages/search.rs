//! `/search`: a height, a hash of a block or a transaction, a device's key or a record's commitment.

use super::explorer::titles;
use super::{Frame, PageError, Visitor, show};
use crate::app::App;
use crate::devices::DeviceError;
use crate::error::ApiError;
use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use blockhie_core::{BlockQuery, Hash32, PublicKey, TxStatus};
use serde::Deserialize;

/// Something found.
struct Hit {
    what: String,
    path: String,
}

#[derive(Template)]
#[template(path = "search.html")]
struct SearchPage {
    frame: Frame,
    /// What was asked for, if anything was.
    query: Option<String>,
    hits: Vec<Hit>,
    /// What is wrong with the query.
    refused: Option<&'static str>,
    /// Chains that were not asked, and why.
    away: Vec<String>,
    is_operator: bool,
}

/// The form's field.
#[derive(Debug, Deserialize)]
pub(crate) struct Asked {
    q: Option<String>,
}

/// A query as it is meant.
enum Wanted {
    Height(u64),
    Hash(Hash32),
}

fn read(text: &str) -> Option<Wanted> {
    let text = text.to_ascii_lowercase();
    let text = text.strip_prefix("0x").unwrap_or(&text);
    if let Ok(hash) = text.parse() {
        return Some(Wanted::Hash(hash));
    }
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number).map(Wanted::Height)
}

/// `GET /search?q=…`. One hit is gone to at once.
pub(crate) async fn search(
    State(app): State<App>,
    visitor: Visitor,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, PageError> {
    let Query(Asked { q }) = asked.map_err(|error| ApiError::invalid(error.body_text()))?;
    let query = q.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let mut page = SearchPage {
        frame: Frame::new("search", &visitor),
        query,
        hits: vec![],
        refused: None,
        away: vec![],
        is_operator: visitor.is_some(),
    };
    let Some(query) = &page.query else { return Ok(show(&page)) };
    match read(query) {
        None => page.refused = Some("Expected a height, or 64 hexadecimal digits."),
        Some(wanted) => {
            find_on_chains(&app, &wanted, &mut page).await;
            if let Wanted::Hash(hash) = wanted {
                find_here(&app, hash, &mut page).await?;
            }
        }
    }
    Ok(match page.hits.as_slice() {
        [only] if page.away.is_empty() => Redirect::to(&only.path).into_response(),
        _ => show(&page),
    })
}

async fn find_on_chains(app: &App, wanted: &Wanted, page: &mut SearchPage) {
    for chain in app.chains() {
        let (slug, title) = (chain.slug(), titles(chain.kind()).0);
        let found = match wanted {
            Wanted::Height(height) => chain.rows(*height, 1).await.map(|rows| {
                rows.first().map(|row| Hit {
                    what: format!("Block {height} of the {title}"),
                    path: format!("/{slug}/blocks/{}", row.hash),
                })
            }),
            Wanted::Hash(hash) => {
                async {
                    if let Some(block) = chain.block(BlockQuery::Hash(*hash)).await? {
                        let what = format!("Block {} of the {title}", block.height);
                        return Ok(Some(Hit { what, path: format!("/{slug}/blocks/{hash}") }));
                    }
                    let hit =
                        || Hit { what: format!("A transaction of the {title}"), path: format!("/{slug}/tx/{hash}") };
                    // A node that prunes knows where it is and not what it says.
                    Ok((chain.status(*hash).await? != TxStatus::Unknown).then(hit))
                }
                .await
            }
        };
        match found {
            Ok(hit) => page.hits.extend(hit),
            Err(error) => page.away.push(format!("{title}: {error}")),
        }
    }
}

/// What this gateway keeps itself. Its records are the operator's to see; whether a device is here is public.
async fn find_here(app: &App, hash: Hash32, page: &mut SearchPage) -> Result<(), ApiError> {
    if page.is_operator && app.blocking(move |parts| Ok(parts.vault.entry(&hash)?)).await?.is_some() {
        page.hits
            .push(Hit { what: "A record in this gateway's vault".into(), path: format!("/publish/records/{hash}") });
    }
    if page.is_operator && app.phd.is_some() && super::links::is_here(app, hash).await? {
        page.hits.push(Hit { what: "A link kept here".into(), path: format!("/links/{hash}") });
    }
    if let Ok(device) = PublicKey::new(hash.0) {
        let known = app.blocking(move |parts| match parts.devices.device(&device) {
            Ok(_) => Ok(true),
            Err(DeviceError::NoDevice { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        });
        if known.await? {
            page.hits.push(Hit { what: "A device of this gateway".into(), path: format!("/devices/{hash}") });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_query_means() {
        let hash = "Ab".repeat(32);
        assert!(matches!(read(&hash), Some(Wanted::Hash(Hash32(bytes))) if bytes == [0xab; 32]));
        assert!(matches!(read(&format!("0x{hash}")), Some(Wanted::Hash(_))));
        assert!(matches!(read("17"), Some(Wanted::Height(17))));
        assert!(matches!(read(&"1".repeat(64)), Some(Wanted::Hash(_))), "a hash of digits is a hash");
        for text in ["", "+1", "-1", "1.5", "abc", "0x", "99999999999999999999", "<script>"] {
            assert!(read(text).is_none(), "{text}");
        }
    }
}
