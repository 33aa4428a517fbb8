//! The ledger's seam: proof of work, and none.

use crate::Difficulty;
use blockhie_core::{BlockHash, CompactTarget, Consensus, Genesis, Hash32, Header, ParentContext, U256, WorkError};

/// Targets by [`Difficulty`], and hashes that answer them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProofOfWork {
    rule: Difficulty,
}

impl ProofOfWork {
    /// For a chain.
    #[must_use]
    pub fn new(genesis: &Genesis) -> Self {
        Self { rule: Difficulty::new(genesis) }
    }
}

impl Consensus for ProofOfWork {
    fn required_target(&self, parent: &ParentContext) -> CompactTarget {
        self.rule.target(parent.lag_ms)
    }

    fn next_lag(&self, parent: &ParentContext, time_ms: u64) -> i128 {
        self.rule.next_lag(parent.lag_ms, parent.time_ms, time_ms)
    }

    fn check(&self, header: &Header, hash: &BlockHash) -> Result<(), WorkError> {
        let target = header.target.to_u256();
        if U256::from_big_endian(&hash.0) <= target {
            return Ok(());
        }
        Err(WorkError { target: Hash32(target.to_big_endian()).to_string(), got: *hash })
    }

    fn work(&self, target: CompactTarget) -> U256 {
        target.work()
    }
}

/// Every hash answers and every target is the easiest one, so a chain's weight is twice its length. For tests and for
/// embedders whose blocks come from one place; not for anything that strangers can reach.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NoWork;

impl Consensus for NoWork {
    fn required_target(&self, _: &ParentContext) -> CompactTarget {
        CompactTarget::MOST
    }

    fn next_lag(&self, _: &ParentContext, _: u64) -> i128 {
        0
    }

    fn check(&self, _: &Header, _: &BlockHash) -> Result<(), WorkError> {
        Ok(())
    }

    fn work(&self, target: CompactTarget) -> U256 {
        target.work()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn vectors() -> Value {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol/vectors.json");
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }

    fn header(row: &Value, chain: &Hash32) -> Header {
        Header::from_preimage(&hex::decode(row["preimage"].as_str().unwrap()).unwrap(), chain).unwrap()
    }

    #[test]
    fn the_chain_of_the_vectors_claims_and_answers_its_targets() {
        let vectors = &vectors()["chain"];
        let genesis = Genesis::from_bytes(&hex::decode(vectors["genesis"].as_str().unwrap()).unwrap()).unwrap();
        let pow = ProofOfWork::new(&genesis);
        let mut parent = ParentContext { height: 0, time_ms: genesis.time_ms, lag_ms: 0 };
        let mut work = U256::zero();
        for block in &vectors["blocks"].as_array().unwrap()[1..] {
            let header = header(block, &genesis.chain_id());
            let hash = header.hash(&genesis.chain_id());
            assert_eq!(hash.to_string(), block["blockhash"].as_str().unwrap());
            assert_eq!(header.target, pow.required_target(&parent), "height {}", header.height);
            pow.check(&header, &hash).unwrap();
            work += pow.work(header.target);
            assert_eq!(Hash32(work.to_big_endian()).to_string(), block["chain_work"].as_str().unwrap());
            let lag_ms = pow.next_lag(&parent, header.time_ms);
            parent = ParentContext { height: header.height, time_ms: header.time_ms, lag_ms };
        }
        assert_eq!(parent.height, 4);
    }

    #[test]
    fn headers_without_work_are_refused_with_both_numbers() {
        let mut refused = 0;
        for row in vectors()["headers"].as_array().unwrap() {
            let chain: Hash32 = row["chain_id"].as_str().unwrap().parse().unwrap();
            let header = header(row, &chain);
            let hash = header.hash(&chain);
            assert_eq!(hash.to_string(), row["blockhash"].as_str().unwrap());
            let pow = ProofOfWork { rule: rule() };
            match pow.check(&header, &hash) {
                Ok(()) => assert!(U256::from_big_endian(&hash.0) <= header.target.to_u256()),
                Err(error) => {
                    assert!(error.target.parse::<Hash32>().unwrap().0 < hash.0 && error.got == hash);
                    refused += 1;
                }
            }
            NoWork.check(&header, &hash).unwrap();
        }
        assert!(refused >= 2);
    }

    fn rule() -> Difficulty {
        let target = CompactTarget::MOST;
        Difficulty { first_target: target, most_target: target, half_life_ms: 1, interval_ms: 1 }
    }

    #[test]
    fn a_hash_may_equal_its_target() {
        let row = &vectors()["headers"][5];
        let mut header = header(row, &row["chain_id"].as_str().unwrap().parse().unwrap());
        header.target = CompactTarget::new(0x1d00_ffff).unwrap();
        let pow = ProofOfWork { rule: rule() };
        let bound = header.target.to_u256();
        pow.check(&header, &Hash32(bound.to_big_endian())).unwrap();
        pow.check(&header, &Hash32((bound + 1).to_big_endian())).unwrap_err();
    }
}
