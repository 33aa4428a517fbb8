//! Chains of the same work.

mod common;

use common::{Net, genesis};

#[test]
fn members_that_each_found_the_last_block_get_on() {
    let mut genesis = genesis(3);
    genesis.spacing = 1;
    let mut net = Net::new(genesis, 3, 1);
    net.connect_all();
    net.run(1_000);
    // Three blocks at one height, each found before the others came: nobody may mine on his own.
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        net.cut(a, b);
    }
    for node in 0..3 {
        net.mine(node).unwrap();
    }
    net.heal();
    net.run(4_500);
    assert!((0..3).all(|node| net.tip(node).height == 1 && net.nodes[node].template.is_none()), "{}", net.describe());
    assert!(!net.agree(), "the first stands for a while");
    net.run(3_000);
    assert!((0..3).any(|node| net.nodes[node].template.is_some()), "{}", net.describe());
    let at = (0..3).find(|node| net.nodes[*node].template.is_some()).unwrap();
    net.mine(at).unwrap();
    net.run(3_000);
    assert!(net.agree() && net.tip(0).height == 2, "{}", net.describe());
}
