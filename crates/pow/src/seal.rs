//! The search for a nonce, by midstate.

use blockhie_core::block::{MIDSTATE_LEN, PREIMAGE_LEN};
use blockhie_core::{ChainId, Header};
use sha2::block_api::compress256;

/// Initial state of SHA-256 (FIPS 180-4, 5.3.3).
const INITIAL: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];
const BLOCK: usize = 64;
/// Bytes of the preimage in the block that is hashed for each nonce.
const TAIL_LEN: usize = PREIMAGE_LEN - MIDSTATE_LEN;
/// The nonce is the last field of the preimage.
const NONCE_AT: usize = TAIL_LEN - 8;

/// The first of `tries` nonces from `start_nonce` on (wrapping at 2^64) with which the header's hash is at most its
/// target; `None` if there is none among them. The header's own nonce does not matter.
///
/// Each try hashes one block of 64 bytes, the three before are hashed once. The caller chooses `tries` so that it can
/// look for news and keep to its hash rate in between.
#[must_use]
pub fn seal(template: &Header, chain: &ChainId, start_nonce: u64, tries: u64) -> Option<u64> {
    let preimage = template.preimage(chain);
    let mut midstate = INITIAL;
    let (blocks, _) = preimage[..MIDSTATE_LEN].as_chunks::<BLOCK>();
    compress256(&mut midstate, blocks);

    let mut tail = [[0u8; BLOCK]];
    tail[0][..TAIL_LEN].copy_from_slice(&preimage[MIDSTATE_LEN..]);
    // Padding of SHA-256: one bit, zeros, the length in bits as u64.
    tail[0][TAIL_LEN] = 0x80;
    tail[0][BLOCK - 8..].copy_from_slice(&(8 * PREIMAGE_LEN as u64).to_be_bytes());

    // Eight big-endian words compare as the 256-bit integers they make.
    let target = words(&template.target.to_u256().to_big_endian());
    (0..tries).map(|i| start_nonce.wrapping_add(i)).find(|nonce| {
        tail[0][NONCE_AT..TAIL_LEN].copy_from_slice(&nonce.to_be_bytes());
        let mut state = midstate;
        compress256(&mut state, &tail);
        state <= target
    })
}

fn words(bytes: &[u8; 32]) -> [u32; 8] {
    let (chunks, _) = bytes.as_chunks::<4>();
    std::array::from_fn(|i| u32::from_be_bytes(chunks[i]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use blockhie_core::{CompactTarget, Hash32, U256};
    use proptest::prelude::*;

    const _: () = assert!(MIDSTATE_LEN.is_multiple_of(BLOCK) && TAIL_LEN + 1 + 8 <= BLOCK);

    fn header(byte: u8, target: CompactTarget) -> Header {
        Header {
            previous: Hash32([byte; 32]),
            tx_root: Hash32([2; 32]),
            history_root: Hash32([3; 32]),
            siblings_root: Hash32([4; 32]),
            miner: Hash32([5; 32]),
            height: u64::from(byte),
            time_ms: 6,
            tx_count: 7,
            target,
            nonce: 99,
        }
    }

    proptest! {
        #[test]
        fn it_finds_the_first_nonce_and_only_that(byte: u8, start: u64, exponent in 31u32..=32, mantissa in 0x8000u32..=0x7f_ffff) {
            let target = CompactTarget::new(exponent << 24 | mantissa).unwrap();
            let (mut header, chain, tries) = (header(byte, target), Hash32([byte ^ 1; 32]), 300);
            let slow = (0..tries).map(|i| start.wrapping_add(i)).find(|nonce| {
                header.nonce = *nonce;
                U256::from_big_endian(&header.hash(&chain).0) <= target.to_u256()
            });
            header.nonce = 99;
            prop_assert_eq!(seal(&header, &chain, start, tries), slow);
        }
    }

    #[test]
    fn it_gives_up_and_goes_round() {
        let chain = Hash32([1; 32]);
        assert_eq!(seal(&header(1, CompactTarget::MOST), &chain, 0, 0), None);
        assert_eq!(seal(&header(1, CompactTarget::LEAST), &chain, u64::MAX - 5, 1_000), None);
        assert!(seal(&header(1, CompactTarget::MOST), &chain, u64::MAX, 200).is_some());
    }
}
