//! Bugs that the simulator plants to show that it sees them (docs/adr/0023-planted-bugs.md). Without the cargo feature
//! `planted`, which no node is built with, the question is answered `false` at compile time; with it, until
//! [`Ledger::plant`] is called.

use super::Ledger;

impl Ledger {
    /// Whether this bug is planted.
    #[cfg(not(feature = "planted"))]
    #[allow(clippy::unused_self, reason = "the same call as with the feature")]
    pub(super) const fn is_planted(&self, _: &str) -> bool {
        false
    }

    /// Whether this bug is planted.
    #[cfg(feature = "planted")]
    #[must_use]
    pub fn is_planted(&self, bug: &str) -> bool {
        self.planted == Some(bug)
    }

    /// Plants a bug.
    #[cfg(feature = "planted")]
    pub fn plant(&mut self, bug: &'static str) {
        self.planted = Some(bug);
    }
}
