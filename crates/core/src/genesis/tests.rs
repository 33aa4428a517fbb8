use super::*;
use crate::crypto::SecretKey;
use proptest::prelude::*;

fn sample(n: u8) -> Genesis {
    let members =
        (0..n).map(|i| Member { key: SecretKey::from_seed([i; 32]).public(), name: format!("hospital {i}") }).collect();
    Genesis::with_defaults(ChainKind::Emr, "test", Hash32([9; 32]), 1_700_000_000_000, CompactTarget::MOST, members)
}

#[test]
fn bytes_and_toml_come_back() {
    for n in [0, 1, 2, 3, 8] {
        let genesis = sample(n);
        genesis.check().unwrap();
        assert_eq!(Genesis::from_bytes(&genesis.to_bytes()).unwrap(), genesis);
        assert_eq!(Genesis::from_toml(&genesis.to_toml()).unwrap(), genesis);
    }
    assert_eq!((sample(2).spacing, sample(2).quorum), (0, 2));
    assert_eq!((sample(3).spacing, sample(3).quorum), (1, 3));
    assert_eq!((sample(8).spacing, sample(8).quorum), (3, 6));
}

#[test]
fn each_rule_is_held() {
    type Break = fn(&mut Genesis);
    let breaks: [Break; 14] = [
        |g| g.name.clear(),
        |g| g.name = "a\nb".into(),
        |g| g.block_interval_ms = 0,
        |g| g.half_life_ms = 0,
        |g| g.half_life_ms = 1 << 53,
        |g| g.time_ms = 1 << 53,
        |g| g.most_target = CompactTarget::LEAST,
        |g| g.max_transactions = 0,
        |g| g.max_transactions = 4_001,
        |g| g.max_bytes = 65_535,
        |g| g.sibling_limit = 1,
        |g| g.quorum = 4,
        |g| g.spacing = 3,
        |g| g.members.swap(0, 1),
    ];
    for (i, change) in breaks.iter().enumerate() {
        let mut genesis = sample(3);
        change(&mut genesis);
        assert!(Genesis::from_bytes(&genesis.to_bytes()).is_err(), "rule {i}");
    }
    let mut same = sample(3);
    same.members[1].name = same.members[0].name.clone();
    assert!(same.check().is_err());
}

proptest! {
    #[test]
    fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Genesis::from_bytes(&bytes);
    }

    #[test]
    fn cut_or_longer_bytes_are_refused(cut in 0usize..100) {
        let bytes = sample(3).to_bytes();
        prop_assert!(Genesis::from_bytes(&bytes[..bytes.len() - 1 - cut]).is_err());
        let longer = [bytes, vec![0; cut + 1]].concat();
        prop_assert!(Genesis::from_bytes(&longer).is_err());
    }
}
