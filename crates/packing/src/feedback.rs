//! Picking again without what was refused.

use std::collections::BTreeSet;
use std::hash::Hash;

use crate::{PackingContext, PackingPolicy, WaitingPool};

/// Says which of the picked items may not go in a block. Closures `|picked: &[Id]| -> Result<Vec<Id>, E>` are judges.
pub trait Judge<Id> {
    /// What can go wrong in judging.
    type Error;

    /// Those of `picked`, which is oldest first, that are refused. Others that it names are ignored.
    ///
    /// # Errors
    /// Where it cannot say; picking then ends, and what was refused before is put back.
    fn refused(&mut self, picked: &[Id]) -> Result<Vec<Id>, Self::Error>;
}

impl<Id, E, F: FnMut(&[Id]) -> Result<Vec<Id>, E>> Judge<Id> for F {
    type Error = E;

    fn refused(&mut self, picked: &[Id]) -> Result<Vec<Id>, E> {
        self(picked)
    }
}

/// An item that was taken out of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused<Id> {
    /// Its name.
    pub id: Id,
    /// When it began to wait, in milliseconds.
    pub since_ms: u64,
    /// Its size in bytes.
    pub bytes: u32,
}

/// What [`pick_accepted`] came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted<Id> {
    /// What goes in, oldest first.
    pub picked: Vec<Id>,
    /// What was refused, in the order in which it was; it is out of the pool.
    pub refused: Vec<Refused<Id>>,
    /// How often the policy was asked.
    pub rounds: usize,
    /// Nothing of the last pick was refused, so that `picked` is what the policy picks from the pool as it is now. If
    /// not, the rounds ran out: `picked` is the last pick without what was refused of it, may leave room, and was not
    /// judged again.
    pub settled: bool,
}

/// Picks, lets `judge` refuse, takes what is refused out of the pool, and picks again, until nothing is refused or after
/// `rounds` picks (0 counts as 1). The result has the policy's guarantees over the pool without the refused.
///
/// The caller puts back what may become acceptable later with [`WaitingPool::insert`], with the same start: it keeps its
/// age, and arrives anew.
///
/// ```
/// use blockhie_packing::{FairFirst, PackingContext, WaitingPool, pick_accepted};
/// # let ctx = PackingContext { capacity: 2, bytes: 99, node_index: 1, node_count: 1, parent: [0; 32], now_ms: 9, seed: 0 };
/// let mut pool = WaitingPool::new();
/// (0..5_u64).for_each(|id| drop(pool.insert(id, id, 1)));
/// let odd = |picked: &[u64]| Ok::<_, ()>(picked.iter().copied().filter(|id| id % 2 == 1).collect::<Vec<_>>());
/// let accepted = pick_accepted(&FairFirst, &mut pool, &ctx, 9, odd).unwrap();
/// assert_eq!((accepted.picked, accepted.refused.len(), pool.len()), (vec![0, 2], 1, 4));
/// ```
///
/// # Errors
/// The judge's.
pub fn pick_accepted<Id: Ord + Clone + Hash, J: Judge<Id>>(
    policy: &dyn PackingPolicy<Id>,
    pool: &mut WaitingPool<Id>,
    ctx: &PackingContext,
    rounds: usize,
    mut judge: J,
) -> Result<Accepted<Id>, J::Error> {
    let mut accepted = Accepted { picked: Vec::new(), refused: Vec::new(), rounds: 0, settled: false };
    while !accepted.settled && accepted.rounds < rounds.max(1) {
        accepted.rounds += 1;
        accepted.picked = policy.pick(pool, ctx);
        let refused = match judge.refused(&accepted.picked) {
            Ok(refused) => refused,
            Err(error) => {
                for Refused { id, since_ms, bytes } in accepted.refused {
                    pool.insert(id, since_ms, bytes);
                }
                return Err(error);
            }
        };
        let mut picked: BTreeSet<&Id> = accepted.picked.iter().collect();
        let before = accepted.refused.len();
        for id in refused.into_iter().filter(|id| picked.remove(id)) {
            if let Some((since_ms, bytes)) = pool.take(&id) {
                accepted.refused.push(Refused { id, since_ms, bytes });
            }
        }
        let out: BTreeSet<&Id> = accepted.refused[before..].iter().map(|refused| &refused.id).collect();
        accepted.settled = out.is_empty();
        accepted.picked = accepted.picked.iter().filter(|id| !out.contains(id)).cloned().collect();
    }
    Ok(accepted)
}
