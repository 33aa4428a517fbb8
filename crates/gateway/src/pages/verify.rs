//! `/verify`: the form, and the steps drawn.

use super::{Frame, PageError, Visitor, show};
use crate::app::App;
use crate::clock::utc;
use crate::form::read_form;
use crate::verify::{Report, verify};
use askama::Template;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use blockhie_core::Verdict;

#[derive(Template)]
#[template(path = "verify.html")]
struct VerifyPage {
    frame: Frame,
    open: bool,
    report: Option<Shown>,
    refused: Option<String>,
}

struct Shown {
    class: &'static str,
    title: &'static str,
    explanation: &'static str,
    steps: Vec<ShownStep>,
    txhash: Option<String>,
    height: u64,
    block_time: String,
    proved_time: Option<String>,
    issuer: Option<String>,
    members: String,
    note: Option<&'static str>,
    slug: &'static str,
    title_of_chain: &'static str,
}

struct ShownStep {
    class: &'static str,
    mark: &'static str,
    /// The mark in a word, for who does not see it.
    word: &'static str,
    name: &'static str,
    detail: String,
}

/// `GET /verify`.
pub(crate) async fn form(State(app): State<App>, visitor: Visitor) -> Response {
    show(&page(&app, &visitor, None, None))
}

/// `POST /verify`.
pub(crate) async fn check(State(app): State<App>, visitor: Visitor, request: Request) -> Result<Response, PageError> {
    let checked = match read_form(request).await {
        Ok(form) => {
            let work = app.clone();
            app.blocking(move |_| verify(&work, &form)).await
        }
        Err(error) => Err(error),
    };
    Ok(match checked {
        Ok(report) => show(&page(&app, &visitor, Some(Shown::new(report)), None)),
        Err(error) => {
            let refused = Some(error.message().to_owned());
            (error.status(), show(&page(&app, &visitor, None, refused))).into_response()
        }
    })
}

fn page(app: &App, visitor: &Visitor, report: Option<Shown>, refused: Option<String>) -> VerifyPage {
    let open = app.chains().any(|chain| chain.known().is_ok_and(|known| known.genesis.is_open()));
    VerifyPage { frame: Frame::new("verify", visitor), open, report, refused }
}

impl Shown {
    fn new(report: Report) -> Self {
        let (class, title, explanation) = match report.verdict {
            Verdict::Proved => ("good", "Proved", "Everything holds."),
            Verdict::Refuted => ("bad", "Refuted", "A check failed: the step marked ✗ says which."),
            Verdict::NotFinal => ("wait", "Not final yet", "All holds so far, but too few members have built on it."),
        };
        let steps = report.steps.into_iter().map(|step| {
            let (class, mark, word) = match step.holds {
                Some(true) => ("good", "✓", "holds"),
                Some(false) => ("bad", "✗", "fails"),
                None => ("wait", "…", "is undecided"),
            };
            ShownStep { class, mark, word, name: step.name, detail: step.detail }
        });
        Self {
            class,
            title,
            explanation,
            steps: steps.collect(),
            txhash: report.txhash.map(|hash| hash.to_string()),
            height: report.height,
            block_time: utc(report.block_time_ms),
            proved_time: report.proved_time_ms.filter(|_| class == "good").map(utc),
            issuer: report.issuer,
            members: report.members.join(", "),
            note: report.note,
            slug: report.chain,
            title_of_chain: if report.chain == "phd" { "PHD-Chain" } else { "EMR-Chain" },
        }
    }
}
