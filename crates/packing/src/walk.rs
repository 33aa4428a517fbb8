//! The search tree over m-subsets, best first.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A subset that differs from the best: members `0..moved` at home, member `moved` at `place`, those above it frozen in
/// `frozen`. The derived order is the order of the heap: larger sum first, then smaller displacement, then the other
/// fields, which no two states share: a total order, so ties are broken alike everywhere.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct State {
    sum: u128,
    displacement: Reverse<usize>,
    moved: usize,
    place: usize,
    /// Exclusive bound of `place`: the next frozen member, or the end of the ranks.
    bound: usize,
    frozen: Option<usize>,
}

/// A frozen member's place and the next one above it: a list that many states share.
struct Frozen {
    place: usize,
    next: Option<usize>,
}

/// Walks the subsets of `members` among `len` ranks best first, rank 0 being the longest wait. It reads the wait of a
/// rank when it needs it: for the k-th subset none beyond `members + k - 2`.
///
/// Each subset has one parent and at most two children, none with a larger sum, so there is no set of visited ones.
/// The tie rule puts a subset before all that it dominates (same or earlier rank at each place), which keeps the first
/// k inside the first `members + k - 1` ranks even when sums are equal.
pub(crate) struct Walker {
    members: usize,
    len: usize,
    home: u128,
    heap: BinaryHeap<State>,
    list: Vec<Frozen>,
    last: Option<State>,
    rank: usize,
    done: bool,
}

impl Walker {
    /// `home` is the sum of the waits of ranks `0..members`, the best subset; `members ≤ len`.
    pub(crate) fn new(members: usize, len: usize, home: u128) -> Self {
        debug_assert!(members <= len, "more members than ranks");
        let (heap, list) = (BinaryHeap::new(), Vec::new());
        Self { members, len, home, heap, list, last: None, rank: 0, done: false }
    }

    /// Goes to the next subset; `false`, and stays, if there is none. O(log k). `wait` gives the wait of a rank.
    pub(crate) fn advance(&mut self, mut wait: impl FnMut(usize) -> u64) -> bool {
        if self.done {
            return false;
        }
        match (self.rank, self.last) {
            (0, _) => {
                self.rank = 1;
                return true;
            }
            (_, None) => self.leave_home(&mut wait),
            (_, Some(state)) => self.expand(state, &mut wait),
        }
        let Some(state) = self.heap.pop() else {
            self.done = true;
            return false;
        };
        self.rank += 1;
        self.last = Some(state);
        true
    }

    /// The rank reached, from 1; 0 before the first [`advance`](Self::advance).
    pub(crate) fn rank(&self) -> usize {
        self.rank
    }

    /// The sum of the present subset.
    pub(crate) fn sum(&self) -> u128 {
        self.last.map_or(self.home, |state| state.sum)
    }

    /// The ranks of the present subset, ascending.
    pub(crate) fn places(&self) -> Vec<usize> {
        let Some(state) = self.last else {
            return (0..self.members).collect();
        };
        let mut places: Vec<usize> = (0..state.moved).collect();
        places.reserve(self.members - state.moved);
        places.push(state.place);
        let mut next = state.frozen;
        while let Some(at) = next {
            places.push(self.list[at].place);
            next = self.list[at].next;
        }
        places
    }

    fn leave_home(&mut self, wait: &mut impl FnMut(usize) -> u64) {
        // Nothing can move, or there is nowhere to go.
        if self.members == 0 || self.members == self.len {
            return;
        }
        self.heap.push(State {
            sum: step(self.home, self.members - 1, wait),
            displacement: Reverse(1),
            moved: self.members - 1,
            place: self.members,
            bound: self.len,
            frozen: None,
        });
    }

    fn expand(&mut self, state: State, wait: &mut impl FnMut(usize) -> u64) {
        let displacement = Reverse(state.displacement.0 + 1);
        if state.place + 1 < state.bound {
            let sum = step(state.sum, state.place, wait);
            self.heap.push(State { sum, displacement, place: state.place + 1, ..state });
        }
        if state.moved > 0 {
            self.list.push(Frozen { place: state.place, next: state.frozen });
            self.heap.push(State {
                sum: step(state.sum, state.moved - 1, wait),
                displacement,
                moved: state.moved - 1,
                place: state.moved,
                bound: state.place,
                frozen: Some(self.list.len() - 1),
            });
        }
    }
}

/// The sum after the member at rank `from` moved one rank down.
fn step(sum: u128, from: usize, wait: &mut impl FnMut(usize) -> u64) -> u128 {
    sum - u128::from(wait(from)) + u128::from(wait(from + 1))
}
