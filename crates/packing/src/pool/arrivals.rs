//! The order in which items came.

use crate::PoolEntry;

/// No slot.
const NONE: usize = usize::MAX;

#[derive(Debug, Clone)]
struct Slot<Id> {
    /// `None` in a slot that is free.
    id: Option<Id>,
    since_ms: u64,
    bytes: u32,
    before: usize,
    /// The next free slot, in one that is free.
    after: usize,
}

/// A linked list in a vector: push at the end and remove anywhere in O(1), and no slot moves.
#[derive(Debug, Clone)]
pub(crate) struct Arrivals<Id> {
    slots: Vec<Slot<Id>>,
    first: usize,
    last: usize,
    free: usize,
}

impl<Id> Default for Arrivals<Id> {
    fn default() -> Self {
        Self { slots: Vec::new(), first: NONE, last: NONE, free: NONE }
    }
}

impl<Id> Arrivals<Id> {
    /// Adds an item at the end; answers the slot by which it is taken out.
    pub(crate) fn push(&mut self, id: Id, since_ms: u64, bytes: u32) -> usize {
        let slot = Slot { id: Some(id), since_ms, bytes, before: self.last, after: NONE };
        let at = if let Some(free) = self.slots.get_mut(self.free) {
            let at = std::mem::replace(&mut self.free, free.after);
            *free = slot;
            at
        } else {
            self.slots.push(slot);
            self.slots.len() - 1
        };
        match self.slots.get_mut(self.last) {
            Some(last) => last.after = at,
            None => self.first = at,
        }
        self.last = at;
        at
    }

    /// Takes out what stands in this slot: start of waiting and size.
    pub(crate) fn remove(&mut self, at: usize) -> (u64, u32) {
        let slot = &mut self.slots[at];
        debug_assert!(slot.id.is_some(), "a free slot has no place in the order");
        slot.id = None;
        let (before, after) = (slot.before, std::mem::replace(&mut slot.after, self.free));
        let taken = (slot.since_ms, slot.bytes);
        self.free = at;
        match self.slots.get_mut(before) {
            Some(slot) => slot.after = after,
            None => self.first = after,
        }
        match self.slots.get_mut(after) {
            Some(slot) => slot.before = before,
            None => self.last = before,
        }
        taken
    }

    /// All, in the order in which they were pushed.
    pub(crate) fn iter(&self) -> impl Iterator<Item = PoolEntry<'_, Id>> {
        let mut at = self.first;
        std::iter::from_fn(move || {
            let slot = self.slots.get(at)?;
            at = slot.after;
            Some(PoolEntry { id: slot.id.as_ref()?, since_ms: slot.since_ms, bytes: slot.bytes })
        })
    }
}
