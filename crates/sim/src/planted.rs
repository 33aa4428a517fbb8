//! Bugs to plant, one at a time, so that it can be shown that the simulator sees them.
//!
//! Most are planted by decorating a seam (store, application, consensus, driver) in this crate. A few would have to sit
//! inside core or engine: those have small hooks behind the cargo feature `planted`, and a run reaches them through
//! [`Hook`], which only a program built with that feature can give (docs/adr/0023-planted-bugs.md).

use blockhie_engine::Engine;

/// Plants a bug by name inside an engine or its ledger.
pub type Hook = fn(&mut Engine, &'static str);

/// Where a bug is planted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// By decorating a seam.
    Seam,
    /// Inside core or engine, by a [`Hook`].
    Inside,
}

macro_rules! bugs {
    ($($bug:ident, $name:literal, $place:ident, $what:literal;)*) => {
        /// A bug.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Bug {
            $(#[doc = $what] $bug,)*
        }

        impl Bug {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$bug),*];

            /// Its name.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$bug => $name),* }
            }

            /// Where it is planted.
            #[must_use]
            pub fn place(self) -> Place {
                match self { $(Self::$bug => Place::$place),* }
            }

            /// What it does.
            #[must_use]
            pub fn what(self) -> &'static str {
                match self { $(Self::$bug => $what),* }
            }
        }
    };
}

bugs! {
    AckBeforeSync, "ack-before-sync", Seam, "the disk says written, and a crash takes the last three batches";
    TornBatch, "torn-batch", Seam, "a crash leaves half of the last batch";
    DropIndexRow, "drop-index-row", Seam, "one row in eight of the block index is not written";
    SkipUndoEntry, "skip-undo-entry", Seam, "the last entry of each undo is not taken back";
    JournalNotRemoved, "journal-not-removed", Seam, "what is committed stays in the mempool's journal";
    LoseFirstSeen, "lose-first-seen", Seam, "a committed transaction forgets when it was first seen";
    ForgetAbandoned, "forget-abandoned", Seam, "what a reorganisation abandons does not go back to the journal";
    WrongHistoryNode, "wrong-history-node", Seam, "every second node of the history log is written wrong";
    ActBeforeCommit, "act-before-commit", Seam, "answers and sends go out before the batch is written, and although it fails";
    AckFailedTurn, "ack-failed-turn", Seam, "a turn that could not be written is acknowledged all the same";
    WrongRun, "wrong-run", Seam, "receipts leave out a header of their run";
    ForgetVoid, "forget-void", Seam, "one node applies what is void";
    AcceptInvalidBody, "accept-invalid-body", Seam, "one node takes payloads that no rule allows";
    AcceptAnyWork, "accept-any-work", Seam, "one node does not look at the proof of work";
    WrongWork, "wrong-work", Seam, "one node counts blocks instead of their work";
    UndoForgetsSiblings, "undo-forgets-siblings", Seam, "what came through siblings is not taken back";
    SiblingOrder, "sibling-order", Seam, "siblings are committed in the reverse of the listed order";
    PruneForgetsMark, "prune-forgets-mark", Seam, "how far bodies are pruned is not written";
    LosesListed, "loses-listed", Seam, "which blocks the chain lists is not written";
    PruneAboveDepth, "prune-above-depth", Inside, "whatever is final is pruned, however near to the tip";
    PruneTakesKept, "prune-takes-kept", Inside, "bodies that were to be kept are pruned like others";
    StaleTakesBodies, "stale-takes-bodies", Inside, "a dropped stale block takes bodies along that wait or are committed";
    SiblingWeight, "sibling-weight", Inside, "a block gets the work of the siblings that it lists";
    SiblingAgain, "sibling-again", Inside, "what a sibling carries is committed although an ancestor committed it";
    AnySibling, "any-sibling", Inside, "a block may list any block that is held";
    HeadersUnchecked, "headers-unchecked", Inside, "the work and the signatures of headers are believed";
    ListUnmatched, "list-unmatched", Inside, "a block's list of transactions need not be that of its header";
    EqualTime, "equal-time", Inside, "a block may have its parent's time";
    BanHash, "ban-hash", Inside, "a bad outer signature condemns the hash";
    DoubleCommit, "double-commit", Inside, "a block may commit what an ancestor committed";
    TieLastSeen, "tie-last-seen", Inside, "of two chains with the same work the last seen wins";
    NoAlarm, "no-alarm", Inside, "a reorganisation below a final block raises no alarm";
    AnySpacing, "any-spacing", Inside, "a member may mine again at once";
    MempoolForgets, "mempool-forgets", Inside, "what a reorganisation abandons is in the journal and not in the mempool";
    ForgetSeen, "forget-seen", Inside, "what a peer is known to have is sent to it again";
    NoResend, "no-resend", Inside, "what a failed turn did not send is never sent";
}

impl Bug {
    /// The bug of this name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|bug| bug.name() == name)
    }

    /// Whether the store has to remember its batches, to forget some of them at a crash.
    #[must_use]
    pub(crate) fn needs_log(self) -> bool {
        matches!(self, Self::AckBeforeSync | Self::TornBatch)
    }

    /// Whether a single node has it: in all of them it would be another rule and no fault.
    #[must_use]
    pub(crate) fn of_one_node(self) -> bool {
        matches!(self, Self::ForgetVoid | Self::WrongWork)
    }
}
