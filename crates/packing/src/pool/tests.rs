use super::*;
use proptest::prelude::*;

#[test]
fn oldest_first_and_ties_by_id() {
    let mut pool = WaitingPool::new();
    for (id, since_ms) in [(3, 50), (1, 70), (2, 50), (9, 10)] {
        assert!(pool.insert(id, since_ms, 100));
    }
    let order: Vec<i32> = pool.iter().map(|entry| *entry.id).collect();
    assert_eq!(order, [9, 2, 3, 1]);
    assert_eq!((pool.len(), pool.total_bytes()), (4, 400));
}

#[test]
fn sending_again_with_an_older_date_changes_nothing() {
    let mut pool = WaitingPool::new();
    assert!(pool.insert("x", 500, 10));
    let before = pool.clone();
    assert!(!pool.insert("x", 0, 99));
    assert_eq!(pool, before);
}

#[test]
fn items_of_the_future_wait_zero_and_keep_their_order() {
    let mut pool = WaitingPool::new();
    for (id, since_ms) in [("c", u64::MAX), ("b", 200), ("a", 300), ("d", 40)] {
        pool.insert(id, since_ms, 1);
    }
    let best = pool.kth(100, 3, 1).unwrap();
    assert_eq!((best.ids, best.sum), (vec!["d", "b", "a"], 60));
    assert_eq!(pool.kth(100, 3, 2).unwrap().ids, ["d", "b", "c"]);
}

#[test]
fn limits_are_typed_and_an_empty_pool_answers() {
    let pool = WaitingPool::<u8>::new();
    assert_eq!(pool.kth(0, 0, 1), Err(PackingError::SubsetSize { got: 0 }));
    assert!(matches!(pool.kth(0, 1, 0), Err(PackingError::RankOutOfRange { got: 0, .. })));
    let none = pool.kth(9, 5, 3).unwrap();
    assert_eq!((none.ids.len(), none.sum, none.rank, none.exhausted), (0, 0, 1, true));
}

#[test]
fn a_back_dated_item_gains_at_most_the_allowance() {
    assert_eq!(waiting_start(0, 10_000), 8_000);
    assert_eq!(waiting_start(9_500, 10_000), 9_500);
    assert_eq!(waiting_start(u64::MAX, 10_000), 10_000);
    assert_eq!(waiting_start(0, 1_500), 0);
    // Whoever claims to have waited for ever stands behind what was seen 2 s before.
    let mut pool = WaitingPool::new();
    pool.insert("honest", waiting_start(7_900, 7_950), 1);
    pool.insert("liar", waiting_start(0, 10_000), 1);
    assert_eq!(pool.kth(10_000, 1, 1).unwrap().ids, ["honest"]);
}

#[derive(Debug, Clone)]
enum Step {
    Insert(u8, u64, u32),
    Remove(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..40_u8, 0..9_u64, any::<u32>()).prop_map(|(id, at, size)| Step::Insert(id, at, size)),
        (0..40_u8).prop_map(Step::Remove),
    ]
}

proptest! {
    #[test]
    fn behaves_as_a_sorted_list(steps in prop::collection::vec(step(), 0..120)) {
        let mut pool = WaitingPool::new();
        let mut model: Vec<(u64, u8, u32)> = Vec::new();
        for step in steps {
            match step {
                Step::Insert(id, since_ms, bytes) => {
                    let fresh = model.iter().all(|item| item.1 != id);
                    if fresh {
                        model.push((since_ms, id, bytes));
                        model.sort_unstable();
                    }
                    prop_assert_eq!(pool.insert(id, since_ms, bytes), fresh);
                }
                Step::Remove(id) => {
                    let before = model.len();
                    model.retain(|item| item.1 != id);
                    prop_assert_eq!(pool.remove(&id), model.len() < before);
                    prop_assert!(!pool.contains(&id));
                }
            }
            let seen: Vec<(u64, u8, u32)> =
                pool.iter().map(|entry| (entry.since_ms, *entry.id, entry.bytes)).collect();
            prop_assert_eq!(&seen, &model);
            prop_assert_eq!(pool.len(), model.len());
            prop_assert_eq!(pool.is_empty(), model.is_empty());
            let total: u64 = model.iter().map(|item| u64::from(item.2)).sum();
            prop_assert_eq!(pool.total_bytes(), total);
        }
    }
}
