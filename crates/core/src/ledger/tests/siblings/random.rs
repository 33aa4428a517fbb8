//! Random trees of blocks with random lists, against the rules written down a second time and plainly.

use super::*;
use crate::app::{Application, Outcome, Position, Refused, State, StateRead};
use crate::tx::TxError;
use proptest::prelude::*;

/// The first transaction with a given first byte stands, later ones are void: so what a chain makes of the state
/// depends on the order of commitment.
struct FirstStands;

impl Application for FirstStands {
    fn validate(&self, _: &Transaction<Verified>) -> Result<(), TxError> {
        Ok(())
    }
    fn admit(&self, _: &Transaction<Verified>, _: &dyn StateRead) -> Result<Result<(), Refused>, StoreError> {
        Ok(Ok(()))
    }
    fn apply(&self, tx: &Transaction<Verified>, at: Position, state: &mut dyn State) -> Result<Outcome, StoreError> {
        let key = &tx.payload()[..1];
        if state.get(key)?.is_some() {
            return Ok(Outcome::Void("another came first".into()));
        }
        state.put(key, &[&tx.hash().0, at.index.to_be_bytes().as_slice()].concat());
        Ok(Outcome::Applied)
    }
}

/// A block as the plain rules see it.
struct Node {
    made: Made,
    parent: usize,
    miner: u8,
    txs: Vec<usize>,
    siblings: Vec<usize>,
    valid: bool,
}

const WINDOW: u8 = 3;
const LIMIT: u8 = 3;

struct Tree {
    nodes: Vec<Node>,
}

impl Tree {
    /// From the block itself down to the root.
    fn chain(&self, from: usize) -> Vec<usize> {
        let mut chain = vec![from];
        while chain[chain.len() - 1] != 0 {
            chain.push(self.nodes[chain[chain.len() - 1]].parent);
        }
        chain
    }

    /// The protocol page once more, without any index or bound.
    fn is_valid(&self, node: &Node) -> bool {
        let ancestors = self.chain(node.parent);
        let listed: Vec<usize> = ancestors.iter().flat_map(|at| self.nodes[*at].siblings.clone()).collect();
        let height = node.made.height;
        for (i, at) in node.siblings.iter().enumerate() {
            let (sibling, before) = (&self.nodes[*at], &node.siblings[..i]);
            let fork =
                self.chain(*at).into_iter().find(|at| ancestors.contains(at)).map(|at| self.nodes[at].made.height);
            let parent = sibling.parent;
            let of_miner = before.iter().filter(|at| self.nodes[**at].miner == sibling.miner).count();
            let allowed = !ancestors.contains(at)
                && !listed.contains(at)
                && sibling.made.height <= height
                && sibling.made.time_ms < node.made.time_ms
                && fork.is_some_and(|fork| fork >= height.saturating_sub(u64::from(WINDOW)))
                && (ancestors.contains(&parent) || listed.contains(&parent) || before.contains(&parent))
                && of_miner < 2;
            if !allowed {
                return false;
            }
        }
        let carried = |at: &usize| self.nodes[*at].txs.clone();
        let mut taken: Vec<usize> = ancestors.iter().chain(&listed).chain(&node.siblings).flat_map(carried).collect();
        taken.sort_unstable();
        self.nodes[node.parent].valid && node.txs.iter().all(|tx| taken.binary_search(tx).is_err())
    }

    fn best(&self) -> u64 {
        self.nodes.iter().filter(|node| node.valid).map(|node| node.made.height).max().unwrap_or(0)
    }
}

#[derive(Debug, Clone)]
enum Step {
    /// A block anywhere: how far back its parent is, what it carries and lists.
    Anywhere {
        back: prop::sample::Index,
        miner: u8,
        after_ms: u64,
        txs: Vec<usize>,
        siblings: Vec<prop::sample::Index>,
    },
    /// A template on the tip.
    Honest { miner: u8 },
}

fn step() -> impl Strategy<Value = Step> {
    let anywhere = (any::<prop::sample::Index>(), 1u8..4, 1u64..3_000, prop::collection::vec(0usize..10, 0..3))
        .prop_flat_map(|(back, miner, after_ms, mut txs)| {
            txs.sort_unstable();
            txs.dedup();
            prop::collection::vec(any::<prop::sample::Index>(), 0..=usize::from(LIMIT))
                .prop_map(move |siblings| Step::Anywhere { back, miner, after_ms, txs: txs.clone(), siblings })
        });
    prop_oneof![3 => anywhere, 1 => (1u8..4).prop_map(|miner| Step::Honest { miner })]
}

fn run(steps: Vec<Step>) {
    let mut genesis = merging(3, WINDOW, LIMIT);
    genesis.max_transactions = 4;
    let store = Arc::new(MemoryStore::new(&genesis));
    let mut ledger = Ledger::open(store.clone(), Arc::new(TestWork), Arc::new(FirstStands)).unwrap();
    let maker = Maker::new(&genesis);
    // Three share each first byte.
    let txs: Vec<_> = (0..10).map(|i| tx(&ledger, 9, &format!("{} {i}", i % 4))).collect();
    for tx in &txs[..5] {
        ledger.submit(tx.clone(), START + 1).unwrap();
    }
    let bodies = bodies(&txs);
    let root = Node { made: maker.root.clone(), parent: 0, miner: 0, txs: vec![], siblings: vec![], valid: true };
    let mut tree = Tree { nodes: vec![root] };
    for step in steps {
        let node = match step {
            Step::Anywhere { back, miner, after_ms, txs: list, siblings } => {
                // Mostly near the end, so that chains grow.
                let parent = tree.nodes.len() - 1 - back.index(tree.nodes.len().min(4));
                let mut siblings: Vec<usize> = siblings.iter().map(|at| at.index(tree.nodes.len())).collect();
                siblings.sort_unstable();
                siblings.dedup();
                let carried: Vec<_> = list.iter().map(|at| &txs[*at]).collect();
                let listed: Vec<_> = siblings.iter().map(|at| &tree.nodes[*at].made).collect();
                let made = maker.child(&tree.nodes[parent].made, miner, after_ms, &carried, &listed);
                Node { made, parent, miner, txs: list, siblings, valid: false }
            }
            Step::Honest { miner } => {
                let time_ms = ledger.tip().time_ms + 5_000;
                let template = ledger.template(&request(miner, time_ms)).unwrap();
                let at = |hash: &BlockHash| tree.nodes.iter().position(|node| node.made.hash == *hash).unwrap();
                let parent = at(&template.header.previous);
                let siblings: Vec<usize> = template.siblings.iter().map(at).collect();
                let list: Vec<usize> = template
                    .txhashes
                    .iter()
                    .map(|hash| txs.iter().position(|tx| tx.hash() == *hash).unwrap())
                    .collect();
                let carried: Vec<_> = list.iter().map(|at| &txs[*at]).collect();
                let listed: Vec<_> = siblings.iter().map(|at| &tree.nodes[*at].made).collect();
                let made = maker.child(&tree.nodes[parent].made, miner, 5_000, &carried, &listed);
                let node = Node { made, parent, miner, txs: list, siblings, valid: false };
                assert!(tree.is_valid(&node), "what a template says is valid");
                node
            }
        };
        if tree.nodes.iter().any(|known| known.made.hash == node.made.hash) {
            continue;
        }
        let valid = tree.is_valid(&node);
        let result = ledger.import(node.made.block.clone(), &bodies, LATE);
        ledger.commit().unwrap();
        tree.nodes.push(Node { valid, ..node });
        match result {
            Ok(Imported::Extended | Imported::Reorganised { .. }) => assert!(valid),
            Ok(Imported::Side) => {}
            Err(BlockError::NotValid { .. }) => assert!(!valid),
            other => panic!("{other:?}"),
        }
        assert_eq!(ledger.tip().height, tree.best(), "the highest valid chain is followed");
        let report = crate::fsck::fsck(store.snapshot().as_ref(), Arc::new(TestWork), Arc::new(FirstStands)).unwrap();
        assert_eq!(report.differences, 0, "{:#?}", report.described);
        // Nothing acknowledged is ever lost: it waits or is committed.
        for tx in &txs[..5] {
            assert_ne!(ledger.status(&tx.hash()).unwrap(), TxStatus::Unknown);
        }
        // A restart finds the same.
        let again = Ledger::open(store.clone(), Arc::new(TestWork), Arc::new(FirstStands)).unwrap();
        assert_eq!((again.tip(), again.mempool_len()), (ledger.tip(), ledger.mempool_len()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn random_trees_follow_the_rules_and_replay_to_the_same(steps in prop::collection::vec(step(), 1..28)) {
        run(steps);
    }
}
