//! Why nothing advances: a metric for each reason, a log line when it changes or lasts, and what operators are told.

use super::Driver;
use blockhie_engine::SyncState;
use metrics::gauge;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// A state that lasts is said again after this.
const SAY_AGAIN: Duration = Duration::from_secs(10);
/// Reasons of the driver's own, beside those of the engine.
const OWN_REASONS: [&str; 2] = ["disk_full", "store_fails"];

/// What this node waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncReport {
    /// One word, the label of the metric `blockhie_sync_state`.
    pub reason: &'static str,
    /// With heights and peers.
    pub text: String,
    /// Since when it has been for this reason.
    pub since: Instant,
}

/// Tells of it.
pub(crate) struct SyncTeller {
    sender: watch::Sender<SyncReport>,
    said: Option<Instant>,
    /// Whether the clock was off when last looked at.
    clock_off: bool,
}

impl SyncTeller {
    pub(crate) fn new() -> (Self, watch::Receiver<SyncReport>) {
        let report = SyncReport { reason: "starting", text: "starting".into(), since: Instant::now() };
        let (sender, receiver) = watch::channel(report);
        (Self { sender, said: None, clock_off: false }, receiver)
    }

    /// Takes the state of this moment; whether a line is due.
    fn take(&mut self, reason: &'static str, text: String, now: Instant) -> bool {
        let before = self.sender.borrow().clone();
        let changed = before.reason != reason;
        let since = if changed { now } else { before.since };
        if changed || before.text != text {
            self.sender.send_replace(SyncReport { reason, text, since });
        }
        let lasts = self.said.is_none_or(|said| now.duration_since(said) >= SAY_AGAIN);
        let due = changed || (lasts && reason != "synced");
        if due {
            self.said = Some(now);
        }
        due
    }
}

impl Driver {
    /// Tells of what the node waits for, after a turn.
    pub(super) fn tell_sync(&mut self) {
        self.tell_clock();
        let (reason, text) = match (&self.refusing.disk, &self.refusing.store) {
            (Some(text), _) => ("disk_full", text.clone()),
            (None, Some(text)) => ("store_fails", text.clone()),
            (None, None) => {
                let state = self.engine.sync_state();
                (state.reason(), state.to_string())
            }
        };
        let before = self.sync.sender.borrow().reason;
        if self.sync.take(reason, text, Instant::now()) {
            let report = self.sync.sender.borrow().clone();
            let height = self.engine.ledger().tip().height;
            tracing::info!(reason, height, for_s = report.since.elapsed().as_secs(), "sync: {}", report.text);
        }
        if before != reason {
            for other in SyncState::REASONS.iter().chain(&OWN_REASONS) {
                gauge!("blockhie_sync_state", "reason" => *other).set(if *other == reason { 1.0 } else { 0.0 });
            }
        }
    }
}

impl Driver {
    /// The others' clocks less ours, and whether that stops mining. The engine notes it; here it is an alarm.
    fn tell_clock(&mut self) {
        #[allow(clippy::cast_precision_loss)] // a gauge is a float; differences stay below 2^53
        gauge!("blockhie_clock_offset_seconds").set(self.engine.clock_offset_ms().unwrap_or(0) as f64 / 1_000.0);
        let fault = self.engine.clock_fault();
        gauge!("blockhie_clock_off").set(f64::from(u8::from(fault.is_some())));
        if let Some(fault) = fault.filter(|_| !self.sync.clock_off) {
            tracing::error!("{fault}");
        }
        self.sync.clock_off = fault.is_some();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_due_when_the_reason_changes_and_while_it_lasts() {
        let (mut teller, report) = SyncTeller::new();
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        assert!(teller.take("bodies", "block 5".into(), at(0)));
        assert!(!teller.take("bodies", "block 6".into(), at(9)), "progress is no news");
        assert_eq!((report.borrow().text.as_str(), report.borrow().since), ("block 6", at(0)));
        assert!(teller.take("bodies", "block 6".into(), at(10)));
        assert!(teller.take("stalled", "a peer".into(), at(11)));
        assert_eq!(report.borrow().since, at(11));
        assert!(teller.take("synced", "synced".into(), at(12)));
        assert!(!teller.take("synced", "synced".into(), at(60)), "nothing to say");
        assert!(teller.take("no_peers", "no peers".into(), at(61)));
    }
}
