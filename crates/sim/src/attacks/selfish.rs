//! Selfish mining: what share of the chain a withholder of blocks gets.

use super::{Quiet, broken};
use crate::rng::Rng;
use crate::setup::{HASHES_PER_S, Work};
use crate::world::Holder;
use blockhie_core::{PublicKey, SecretKey};

/// Heights at the beginning that are not counted.
const WARM_UP: u64 = 50;

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Share {
    /// Of the hash rate, hundredths.
    pub work: f64,
    /// Of the blocks of the best chain, hundredths.
    pub blocks: f64,
    /// The same by Eyal and Sirer's formula without spacing, for an attacker whose block never wins a tie.
    pub theory: f64,
    /// Blocks that were counted.
    pub counted: u64,
    /// The longest branch that was not shown at once.
    pub longest: u64,
}

/// Eyal and Sirer 2014, equation 8, with γ = 0.
fn theory(a: f64) -> f64 {
    (a * (1.0 - a).powi(2) * 4.0 * a - a.powi(3)) / (1.0 - a * (1.0 + (2.0 - a) * a))
}

/// `honest` members that mine as they should and somebody who holds `keys` keys of the same hash rate each, for so many
/// virtual ms.
///
/// # Errors
/// An invariant that did not hold.
pub fn selfish_share(
    (honest, keys): (usize, usize),
    holder: Holder,
    spacing: u8,
    seed: u64,
    for_ms: u64,
) -> Result<Share, String> {
    let secrets: Vec<SecretKey> =
        (0..keys).map(|at| SecretKey::from_seed(Rng::stream(seed, &format!("key {at}")).bytes())).collect();
    // His node has a key of its own and does not mine with it.
    let quiet = Quiet { keys: secrets.clone(), spacing, ..Quiet::of(seed, honest + 1, Work::Proof) };
    let mut world = quiet.world();
    world.start_selfish(honest, secrets.clone(), keys as u64 * HASHES_PER_S, holder);
    world.run_until(for_ms);
    broken(&world)?;
    let publics: Vec<PublicKey> = secrets.iter().map(SecretKey::public).collect();
    let counted = world.height_of(0).saturating_sub(WARM_UP);
    let own = world.mined_by(0, WARM_UP, &publics);
    let work = keys as f64 / (honest + keys) as f64;
    let blocks = 100.0 * own as f64 / counted.max(1) as f64;
    let longest = world.selfish.as_ref().map_or(0, |selfish| selfish.longest);
    Ok(Share { work: 100.0 * work, blocks, theory: 100.0 * theory(work), counted, longest })
}
