//! RFC 9162 (Certificate Transparency 2.0) Merkle trees over 32-byte leaves: heads, inclusion paths and the peaks of
//! an append-only log. Leaf `H(0x00 ‖ hash)`, node `H(0x01 ‖ left ‖ right)`, empty tree `H("")`.

use crate::bytes::{Hash32, sha256};

/// Longest inclusion path: a tree of 2^64 leaves.
pub const MAX_PATH_LEN: usize = 64;

/// Hash of a leaf whose content is `hash`.
#[must_use]
pub fn leaf(hash: &Hash32) -> Hash32 {
    sha256(&[&[0], &hash.0])
}

/// Hash of an inner node.
#[must_use]
pub fn node(left: &Hash32, right: &Hash32) -> Hash32 {
    sha256(&[&[1], &left.0, &right.0])
}

/// Head of the tree over `hashes`, in order.
#[must_use]
pub fn head(hashes: &[Hash32]) -> Hash32 {
    let mut peaks = Peaks::default();
    for hash in hashes {
        peaks.push(hash);
    }
    peaks.head()
}

/// Inclusion path of leaf `index` among `hashes`, from the leaf's sibling up (RFC 9162, 2.1.3.1).
/// `None` when there is no such leaf.
#[must_use]
pub fn path(hashes: &[Hash32], index: usize) -> Option<Vec<Hash32>> {
    if index >= hashes.len() {
        return None;
    }
    let mut level: Vec<Hash32> = hashes.iter().map(leaf).collect();
    let mut at = index;
    let mut path = Vec::new();
    while level.len() > 1 {
        if let Some(sibling) = level.get(at ^ 1) {
            path.push(*sibling);
        }
        level = level.chunks(2).map(|pair| if let [l, r] = pair { node(l, r) } else { pair[0] }).collect();
        at /= 2;
    }
    Some(path)
}

/// Head that results from `hash` at `index` of a tree of `size` leaves along `path` (RFC 9162, 2.1.3.2).
/// `None` when the path has not exactly the length that index and size need.
#[must_use]
pub fn head_from_path(hash: &Hash32, index: u64, size: u64, path: &[Hash32]) -> Option<Hash32> {
    if index >= size || path.len() > MAX_PATH_LEN {
        return None;
    }
    let (mut at, mut last) = (index, size - 1);
    let mut acc = leaf(hash);
    for sibling in path {
        if last == 0 {
            return None;
        }
        if at & 1 == 1 || at == last {
            acc = node(sibling, &acc);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            acc = node(&acc, sibling);
        }
        at >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(acc)
}

/// The perfect subtrees of an append-only log of `size` leaves, largest first: all that is needed to append and to
/// compute the head.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Peaks {
    size: u64,
    peaks: Vec<Hash32>,
}

impl Peaks {
    /// Leaves so far.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf; answers the inner nodes that became whole, as (level, index, hash) with level ≥ 1.
    pub fn push(&mut self, hash: &Hash32) -> Vec<(u8, u64, Hash32)> {
        let mut made = Vec::new();
        let mut acc = leaf(hash);
        let (mut rest, mut level) = (self.size, 0u8);
        while rest & 1 == 1 {
            let left = self.peaks.pop().expect("a peak stands for every set bit of size");
            acc = node(&left, &acc);
            rest >>= 1;
            level += 1;
            made.push((level, rest, acc));
        }
        self.peaks.push(acc);
        self.size += 1;
        made
    }

    /// The tree head.
    #[must_use]
    pub fn head(&self) -> Hash32 {
        let mut peaks = self.peaks.iter().rev();
        match peaks.next() {
            None => sha256(&[]),
            Some(last) => peaks.fold(*last, |acc, peak| node(peak, &acc)),
        }
    }
}

/// Inclusion path of leaf `index` in the log cut to `size` leaves, read from whole inner nodes.
///
/// `at(level, index)` gives the hash of the perfect subtree (level 0: the leaf hash, `H(0x00 ‖ hash)`).
/// `Ok(None)` when `index ≥ size` or a node is missing.
///
/// # Errors
/// What `at` answers.
pub fn log_path<E>(
    index: u64,
    size: u64,
    at: &mut dyn FnMut(u8, u64) -> Result<Option<Hash32>, E>,
) -> Result<Option<Vec<Hash32>>, E> {
    if index >= size {
        return Ok(None);
    }
    let mut path = Vec::new();
    // Descend from the root: [start, start + len) always holds the leaf. The sibling met first stands last.
    let (mut start, mut len) = (0u64, size);
    while len > 1 {
        let half = (len.next_power_of_two()) / 2;
        let sibling = if index - start < half {
            let s = range_head(start + half, len - half, at)?;
            len = half;
            s
        } else {
            let s = range_head(start, half, at)?;
            start += half;
            len -= half;
            s
        };
        match sibling {
            Some(hash) => path.push(hash),
            None => return Ok(None),
        }
    }
    path.reverse();
    Ok(Some(path))
}

/// Head over the leaves [start, start + len): whole subtrees are read, the right edge is folded.
fn range_head<E>(
    start: u64,
    len: u64,
    at: &mut dyn FnMut(u8, u64) -> Result<Option<Hash32>, E>,
) -> Result<Option<Hash32>, E> {
    let (mut from, mut rest) = (start, len);
    let mut parts = Vec::new();
    while rest > 0 {
        let level = rest.ilog2();
        let Some(part) = at(u8::try_from(level).expect("ilog2 of u64 is below 64"), from >> level)? else {
            return Ok(None);
        };
        parts.push(part);
        from += 1 << level;
        rest -= 1 << level;
    }
    let mut parts = parts.into_iter().rev();
    let last = parts.next();
    Ok(last.map(|last| parts.fold(last, |acc, part| node(&part, &acc))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hashes(n: usize) -> Vec<Hash32> {
        (0..n).map(|i| sha256(&[&i.to_be_bytes()])).collect()
    }

    /// The definition of RFC 9162, 2.1.1, word for word.
    fn by_definition(hashes: &[Hash32]) -> Hash32 {
        match hashes {
            [] => sha256(&[]),
            [one] => leaf(one),
            many => {
                let k = many.len().next_power_of_two() / 2;
                node(&by_definition(&many[..k]), &by_definition(&many[k..]))
            }
        }
    }

    #[test]
    fn heads_are_those_of_the_definition() {
        for n in 0..70 {
            assert_eq!(head(&hashes(n)), by_definition(&hashes(n)), "{n} leaves");
        }
    }

    #[test]
    fn every_path_leads_to_the_head_and_no_other_does() {
        for n in 1..34usize {
            let all = hashes(n);
            let mut nodes = std::collections::BTreeMap::new();
            let mut peaks = Peaks::default();
            for (i, hash) in all.iter().enumerate() {
                nodes.insert((0u8, i as u64), leaf(hash));
                nodes.extend(peaks.push(hash).into_iter().map(|(l, i, h)| ((l, i), h)));
            }
            for i in 0..n {
                let p = path(&all, i).unwrap();
                let (index, size) = (i as u64, n as u64);
                assert_eq!(head_from_path(&all[i], index, size, &p), Some(head(&all)));
                let mut at = |l, i| Ok::<_, ()>(nodes.get(&(l, i)).copied());
                assert_eq!(log_path(index, size, &mut at).unwrap().unwrap(), p);
                let mut longer = p.clone();
                longer.push(all[0]);
                assert_eq!(head_from_path(&all[i], index, size, &longer), None);
                if let Some((_, shorter)) = p.split_last() {
                    assert_ne!(head_from_path(&all[i], index, size, shorter), Some(head(&all)));
                }
            }
            assert_eq!(path(&all, n), None);
            assert_eq!(head_from_path(&all[0], n as u64, n as u64, &[]), None);
        }
    }

    proptest! {
        #[test]
        fn any_path_is_answered_without_panic(index: u64, size: u64, n in 0usize..70) {
            let _ = head_from_path(&Hash32::ZERO, index, size, &hashes(n));
        }
    }
}
