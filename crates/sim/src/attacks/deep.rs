//! Reorganisations of a given depth, with a crash in the middle.

use super::{Quiet, broken};
use crate::faults::CrashPoint;
use crate::setup::Work;

/// One node is cut off from two others.
const NODES: usize = 3;
/// A step while it waits for the depth.
const STEP_MS: u64 = 500;
/// After the cut ends everything is at rest within so long.
const REST_MS: u64 = 60_000;

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deep {
    /// Blocks that the node left.
    pub left: u64,
    /// Blocks that it took instead.
    pub taken: u64,
    /// Whether it died in the turn that reorganised it.
    pub died: bool,
}

/// A node alone grows a branch of `depth` blocks, while two others grow a heavier one; then they meet, and the node dies
/// in the very turn in which it changes over, where `point` says. In the end there is one tip and `fsck` finds nothing.
///
/// # Errors
/// What did not hold.
pub fn deep_reorganisation(depth: u64, point: Option<CrashPoint>, seed: u64) -> Result<Deep, String> {
    let quiet = Quiet { siblings: (16, 8), ..Quiet::of(seed, NODES, Work::None) };
    let mut world = quiet.world();
    world.run_until(3_000);
    world.cut_off(0);
    let (fork, mut end_ms) = (world.height_of(0), 3_000);
    while world.height_of(0) < fork + depth || world.height_of(1) <= world.height_of(0) {
        end_ms += STEP_MS;
        world.run_until(end_ms);
        broken(&world)?;
    }
    let (left, crashes) = (world.height_of(0) - fork, world.tally.crashes);
    let before = world.tally.reorganisations;
    world.dies_reorganising = point.map(|point| (0, point));
    world.join_again();
    let most_ms = end_ms + REST_MS;
    while world.tally.reorganisations == before && end_ms < most_ms {
        end_ms += STEP_MS;
        world.run_until(end_ms);
        world.start_all();
        broken(&world)?;
    }
    let taken = world.height_of(0).saturating_sub(fork);
    world.stop_finding();
    while world.differ().is_some() && end_ms < most_ms {
        end_ms += STEP_MS;
        world.run_until(end_ms);
        world.start_all();
    }
    world.check_end();
    broken(&world)?;
    Ok(Deep { left, taken, died: world.tally.crashes > crashes })
}
