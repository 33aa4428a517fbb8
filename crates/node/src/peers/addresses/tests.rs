//! Floods, floods, and who is left.

use super::*;

fn at(a: u8, b: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([a, b, 1, 1], port))
}

/// An address of an attacker who owns a lot of networks.
fn evil(n: u32) -> SocketAddr {
    let [_, _, a, b] = n.to_be_bytes();
    SocketAddr::from(([100 + a % 80, b, 7, 7], 7_401))
}

fn stored(book: &AddressBook) -> Vec<PeerRow> {
    let row = |(address, row): (&SocketAddr, &Row)| {
        Some(PeerRow { address: address.to_string(), since_ms: row.since_ms?, last_seen_ms: row.seen_ms })
    };
    book.rows.iter().filter_map(row).collect()
}

/// Two hundred attackers gossip only themselves, answer every call, and come in between all restarts.
#[test]
fn a_flood_of_addresses_does_not_replace_those_who_were_here_before() {
    let honest: Vec<SocketAddr> = (1..=4).map(|n| at(10, n, 7_401)).collect();
    let mut book = AddressBook::load(Vec::new(), 1);
    for (n, address) in honest.iter().enumerate() {
        assert_eq!(book.answered(*address, 1_000 + n as u64).len(), 1, "it is stored");
    }
    for restart in 0..100u64 {
        let now_ms = 10_000_000 * (restart + 1);
        for n in 0..200u32 {
            // Each of them talks now and then.
            for k in (0..64).filter(|_| u64::from(n % 20) == restart % 20) {
                book.told(evil(n * 64 + k), &evil(n), now_ms);
            }
            book.answered(evil(n), now_ms);
        }
        assert!(book.rows.len() <= MAX_TOLD + MAX_KNOWN);
        assert_eq!((book.told, book.by_source.values().sum()), (book.told_rows().count(), book.told));
        assert_eq!(book.by_group.values().sum::<usize>(), book.told);
        book = AddressBook::load(stored(&book), restart);
        let mut taken = BTreeSet::new();
        while taken.len() < 8 {
            taken.insert(book.pick(&taken, now_ms).expect("there are enough"));
        }
        let found = honest.iter().filter(|address| taken.contains(address)).count();
        assert!(found >= 2, "restart {restart}: {found} honest of {taken:?}");
    }
}

#[test]
fn one_source_pushes_out_its_own_and_nobody_elses() {
    let mut book = AddressBook::load(Vec::new(), 1);
    let (honest, source) = (at(10, 1, 7_401), at(10, 2, 7_401));
    book.told(honest, &source, 1);
    for n in 0..1_000 {
        book.told(evil(n), &at(66, 66, 1), 2);
    }
    assert_eq!(book.rows.len(), 1 + MAX_TOLD_BY_SOURCE);
    for n in 0..5_000 {
        book.told(evil(n), &evil(n * 7 % 20_000), 3);
    }
    assert!(book.rows.len() <= MAX_TOLD && book.rows.contains_key(&honest), "{}", book.rows.len());
    // and one network holds its share
    let mut book = AddressBook::load(Vec::new(), 1);
    for port in 1..1_000 {
        book.told(at(77, 1, port), &evil(u32::from(port)), 4);
    }
    let there = book.rows.keys().filter(|address| Group::of(address) == Group::of(&at(77, 1, 1))).count();
    assert_eq!(there, MAX_TOLD_IN_GROUP);
}

#[test]
fn places_go_to_different_networks_where_there_are_some() {
    let mut book = AddressBook::load(Vec::new(), 5);
    for port in 1..=50 {
        book.told(at(10, 1, port), &at(10, 1, port), 1);
    }
    for b in 2..=9 {
        book.told(at(10, b, 1), &at(10, b, 1), 1);
    }
    let mut taken = BTreeSet::new();
    for _ in 0..9 {
        taken.insert(book.pick(&taken, 1).unwrap());
    }
    assert_eq!(taken.iter().map(Group::of).collect::<BTreeSet<_>>().len(), 9, "{taken:?}");
    assert!(book.pick(&taken, 1).is_some(), "a network twice is better than none");
    let loopback = |ip: &str| Group::of(&SocketAddr::new(ip.parse().unwrap(), 1));
    assert!(loopback("127.0.0.1") != loopback("127.0.0.2") && loopback("::ffff:10.1.2.3") == loopback("10.1.9.9"));
    assert!(loopback("2001:db8:1::1") == loopback("2001:db8:ffff::2") && loopback("::1") != loopback("2001::"));
}

#[test]
fn who_does_not_answer_waits_longer_and_is_forgotten_or_gives_up_its_place() {
    let (told, known) = (at(10, 1, 1), at(10, 2, 1));
    let mut book = AddressBook::load(Vec::new(), 1);
    book.told(told, &told, 0);
    book.answered(known, 0);
    let none = BTreeSet::new();
    book.failed(&known, 0);
    book.failed(&told, 0);
    assert_eq!(book.pick(&none, RETRY_MS - 1), None);
    assert_eq!(book.pick(&none, RETRY_MS), Some(known), "who answered before comes first");
    for _ in 0..MAX_FAILURES {
        book.failed(&known, 0);
        book.failed(&told, 0);
    }
    assert!(!book.rows.contains_key(&told) && book.rows.contains_key(&known));
    for n in 0..300 {
        book.answered(evil(n), 1);
    }
    assert!(stored(&book).len() <= MAX_KNOWN && !book.rows.contains_key(&known), "its place is another's");
    let more = book.answered(at(11, 1, 1), 2);
    assert!(more.is_empty() && !book.rows.contains_key(&at(11, 1, 1)), "no room: they all answer");
}

#[test]
fn what_is_stored_is_read_back_and_written_anew_once_an_hour() {
    let address = at(10, 1, 1);
    let mut book = AddressBook::load(Vec::new(), 1);
    let first = book.answered(address, RESTORE_MS);
    let row = PeerRow { address: address.to_string(), since_ms: RESTORE_MS, last_seen_ms: RESTORE_MS };
    assert_eq!(first, [(address, Some(row.clone()))]);
    let mut book =
        AddressBook::load(vec![row, PeerRow { address: "nonsense".into(), since_ms: 0, last_seen_ms: 0 }], 2);
    assert_eq!(book.rows.len(), 1);
    assert!(book.answered(address, RESTORE_MS + 1_000).is_empty());
    let again = book.answered(address, 2 * RESTORE_MS);
    assert_eq!(again[0].1.as_ref().map(|row| row.since_ms), Some(RESTORE_MS));
}
