//! Which nodes of a seed prune, and how deep.

use super::{HASHES_PER_S, NodeSetup, Prunes, Work};
use crate::rng::Rng;
use crate::world::senders;
use blockhie_core::{Genesis, Keep};
use blockhie_pow::first_target_for;

/// Seeds in which nodes prune, in a million.
const SEEDS_PPM: u32 = 333_333;
/// Nodes that prune in these, in a million; one at least, where enough are left.
const NODES_PPM: u32 = 250_000;
/// Blocks come often there, so that much lies deep in the end.
const INTERVAL_MS: u32 = 500;

/// Makes some nodes prune, in some seeds. Answers for how many blocks one beside the chain is then kept: a run has
/// some hundred blocks and not thousands.
///
/// One at least of those that follow the rules keeps everything, and a quorum is more than all that prune or are
/// byzantine: what is final was taken by one that keeps it.
pub(super) fn draw(seed: u64, nodes: &mut [NodeSetup], genesis: &mut Genesis, work: Work) -> Option<u64> {
    let mut rng = Rng::stream(seed, "pruning");
    if genesis.is_open() || !rng.chance(SEEDS_PPM) {
        return None;
    }
    let mut honest: Vec<usize> = (0..nodes.len()).filter(|at| !nodes[*at].byzantine).collect();
    let evil = nodes.len() - honest.len();
    // This one keeps all.
    honest.remove(rng.index(honest.len()));
    // As many as leave enough others to make a block final when the byzantine ones are silent.
    let most = honest.len().saturating_sub(evil);
    if most == 0 {
        return None;
    }
    let first = honest[rng.index(honest.len())];
    let some: Vec<usize> =
        honest.iter().copied().filter(|at| *at == first || rng.chance(NODES_PPM)).take(most).collect();
    let stale = *rng.pick(&[3, 6, 12]);
    for at in &some {
        let depth = stale + u64::from(genesis.sibling_window) + 1 + rng.below(3);
        let ours = if rng.chance(500_000) { senders(seed, 1) } else { Vec::new() };
        let keep = Keep { depth, senders: ours.iter().map(blockhie_core::SecretKey::public).collect() };
        nodes[*at].prunes = Some(Prunes { keep, dies: rng.chance(750_000) });
    }
    genesis.quorum = genesis.quorum.max(u8::try_from(some.len() + evil + 1).expect("at most 7"));
    genesis.block_interval_ms = INTERVAL_MS;
    genesis.half_life_ms = 144 * u64::from(INTERVAL_MS);
    if work == Work::Proof {
        genesis.first_target = first_target_for(nodes.len(), HASHES_PER_S, INTERVAL_MS);
    }
    Some(stale)
}
