//! A transaction's way, drawn: submitted → in block h → k of q members → final.

use crate::txview::{State, TxView};

/// A step of the way.
pub(crate) struct Step {
    pub(crate) text: String,
    /// `done`, `now` or `ahead`.
    pub(crate) class: &'static str,
}

/// The four steps.
pub(crate) fn steps(way: &TxView) -> Vec<Step> {
    let reached = match way.state {
        State::Queued | State::Unknown | State::Void => 0,
        State::Submitted => 1,
        State::InBlock => 3,
        State::Final => 4,
    };
    let block = way.height.map_or("in a block".into(), |height| format!("in block {height}"));
    let members = match (way.members, way.quorum) {
        (Some(_), Some(0)) => "an open chain has no members".into(),
        (Some(members), Some(quorum)) => format!("{} of {quorum} members", members.min(quorum)),
        _ => "members build on it".into(),
    };
    let first = if way.state == State::Queued { "queued" } else { "submitted" };
    let texts = [first.to_owned(), block, members, "final".to_owned()];
    let class = |at: usize| match way.state {
        State::Void => "ahead",
        State::Final => "done",
        _ if at + 1 < reached => "done",
        _ if at + 1 == reached || (reached == 0 && at == 0) => "now",
        _ => "ahead",
    };
    texts.into_iter().enumerate().map(|(at, text)| Step { text, class: class(at) }).collect()
}

/// Colour and words for a state.
pub(crate) fn label(state: State) -> (&'static str, &'static str) {
    match state {
        State::Final => ("good", "final"),
        State::InBlock => ("wait", "in a block"),
        State::Submitted => ("wait", "submitted"),
        State::Queued => ("wait", "queued"),
        State::Unknown => ("wait", "not known now"),
        State::Void => ("bad", "void"),
    }
}
