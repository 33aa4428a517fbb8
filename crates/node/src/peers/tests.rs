//! Who is asked, dialled and left alone.

use super::connection::ask_error;
use super::*;
use crate::driver::Command;
use blockhie_core::{ChainKind, ErrorClass, Hash32};
use blockhie_engine::AskError;
use blockhie_transport::ClientError;

struct World {
    peers: Arc<Peers>,
    commands: mpsc::Sender<PeerCommand>,
    _engine: mpsc::Receiver<Command>,
    _stop: watch::Sender<bool>,
}

fn world() -> World {
    world_at(SocketAddr::from(([127, 0, 0, 1], 9)))
}

fn world_at(listen: SocketAddr) -> World {
    let tip = Tip {
        height: 0,
        hash: Hash32::ZERO,
        time_ms: 0,
        work: U256::zero(),
        last_seen: Vec::new(),
        final_height: None,
        pending: 0,
        alarm: None,
        pruned_below: 0,
    };
    let (engine_commands, engine) = mpsc::channel(64);
    let (stop_sender, stop) = watch::channel(false);
    let peers = Peers::new(PeersConfig {
        chain: Hash32([1; 32]),
        bulk: None,
        nonce: 1,
        listen,
        tip: watch::channel(tip).1,
        engine: EngineHandle { commands: engine_commands },
        verifier: Arc::new(Verifier::start(Hash32([1; 32]), ChainKind::Emr).unwrap()),
        stop,
        remembered: Vec::new(),
        seed: 1,
    });
    let (commands, receiver) = mpsc::channel(64);
    tokio::spawn(peers.clone().route(receiver));
    World { peers, commands, _engine: engine, _stop: stop_sender }
}

impl World {
    fn knows(&self, peer: PeerId) -> bool {
        self.peers.list(false).iter().any(|known| known.address == peer)
    }

    async fn ban(&self, peer: PeerId) {
        self.commands.send(PeerCommand::Ban { peer, for_ms: 3_600_000 }).await.unwrap();
        self.until(|world| world.peers.shunned(peer).is_some()).await;
    }

    async fn until(&self, done: impl Fn(&Self) -> bool) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        while !done(self) {
            assert!(tokio::time::Instant::now() < deadline, "not in time");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// A port of this machine at which nobody listens.
async fn closed_port() -> SocketAddr {
    tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn a_banned_peer_holds_no_place_unless_it_is_named() {
    let (world, stranger, named) = (world(), closed_port().await, closed_port().await);
    world.peers.add(stranger, false);
    world.peers.add(named, true);
    assert!(world.knows(stranger) && world.knows(named));
    world.ban(stranger).await;
    world.ban(named).await;
    world.until(|world| !world.knows(stranger)).await;
    world.peers.add(stranger, false);
    assert!(!world.knows(stranger), "its time is not over");
    assert!(world.knows(named));
    let told = world.peers.list(true);
    let told: Vec<_> =
        told.iter().map(|peer| (peer.address, peer.named, peer.banned, peer.left_alone.is_some())).collect();
    assert!(told.contains(&(stranger, false, true, true)) && told.contains(&(named, true, true, true)), "{told:?}");
    assert_eq!(told.len(), 2);
    // The operator's word counts, also for one that was a stranger before.
    world.peers.add(stranger, true);
    assert!(world.knows(stranger) && world.peers.shunned(stranger).is_some());
}

#[tokio::test]
async fn operators_see_the_scores() {
    let (world, peer, other) = (world(), closed_port().await, closed_port().await);
    world.peers.add(peer, true);
    world.peers.add(other, true);
    let score = |world: &World, peer| world.peers.list(true).iter().find(|known| known.address == peer).unwrap().score;
    world.commands.send(PeerCommand::Scores(vec![(peer, 40)])).await.unwrap();
    world.until(|world| score(world, peer) == 40).await;
    assert_eq!(score(&world, other), 0);
    world.commands.send(PeerCommand::Scores(Vec::new())).await.unwrap();
    world.until(|world| score(world, peer) == 0).await;
}

#[tokio::test]
async fn a_stranger_that_is_named_later_stays() {
    let (world, peer) = (world(), closed_port().await);
    world.peers.add(peer, false);
    world.peers.add(peer, true);
    assert!(!world.peers.drop_unnamed(peer) && world.knows(peer));
}

#[tokio::test]
async fn nothing_is_taken_from_a_banned_peer_and_others_behind_its_address_are_heard() {
    let world = world();
    let (remote, other) = (SocketAddr::from(([192, 0, 2, 7], 50_001)), SocketAddr::from(([192, 0, 2, 7], 50_002)));
    let peer = SocketAddr::from(([192, 0, 2, 7], 7_401));
    let hello = |listen_port| Hello { chain_id: world.peers.chain, height: 0, work: [0; 32], listen_port, nonce: 2 };
    world.ban(peer).await;
    world.peers.greeted(remote, &hello(7_401));
    assert!(world.peers.is_banned(remote) && !world.knows(peer));
    assert!(!world.peers.is_banned(other), "it did not say that it is this peer");
    // The port was closed and is another client's now.
    world.peers.greeted(remote, &hello(0));
    assert!(!world.peers.is_banned(remote));
}

#[test]
fn an_error_that_a_peer_answers_means_that_it_has_nothing() {
    let address = String::from("192.0.2.1:7401");
    let status = |class| ClientError::Status { address: address.clone(), class, message: "no".into() };
    for class in [ErrorClass::NotFound, ErrorClass::Invalid, ErrorClass::NotYet, ErrorClass::Internal] {
        assert_eq!(ask_error(&status(class)), None, "{class:?}");
    }
    for class in [ErrorClass::Exhausted, ErrorClass::Unavailable] {
        assert!(matches!(ask_error(&status(class)), Some(AskError::Unreachable(_))), "{class:?}: too busy");
    }
    let silent = ClientError::Unreachable { address: address.clone(), reason: "gone".into() };
    assert!(matches!(ask_error(&silent), Some(AskError::Unreachable(_))));
}

/// What a stranger tells is called only where it leads to another machine's own port.
#[tokio::test]
async fn addresses_that_lead_inside_are_never_called() {
    let inside = [
        "127.0.0.1:7401",
        "127.9.9.9:7401",
        "0.0.0.0:7401",
        "0.1.2.3:7401",
        "169.254.169.254:8080",
        "192.0.0.192:8080",
        "100.100.100.200:8080",
        "224.0.0.1:7401",
        "255.255.255.255:7401",
        "10.0.0.7:22",
        "10.0.0.7:0",
        "[::1]:7401",
        "[::]:7401",
        "[::127.0.0.1]:7401",
        "[::ffff:127.0.0.1]:7401",
        "[::ffff:169.254.169.254]:8080",
        "[64:ff9b::7f00:1]:7401",
        "[2002:7f00:1::1]:7401",
        "[2001:0:7f00:1::1]:7401",
        "[fe80::1]:7401",
        "[ff02::1]:7401",
        "[fd00:ec2::254]:8080",
    ];
    let world = world_at(SocketAddr::from(([10, 0, 0, 1], 7_401)));
    tokio::spawn(world.peers.clone().fill());
    let source = SocketAddr::from(([10, 0, 0, 2], 50_000));
    for text in inside {
        let address = text.parse().unwrap();
        assert!(!gossip::may_dial(&address, false), "{text}");
        world.peers.learn(&[address], source);
    }
    // Nor is this node's own, which all others know.
    world.peers.learn(&[SocketAddr::from(([10, 0, 0, 1], 7_401))], source);
    let fair = SocketAddr::from(([10, 200, 0, 2], 7_401));
    world.peers.learn(&[fair], source);
    world.until(|world| !world.peers.outbound().is_empty()).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(world.peers.outbound().into_iter().collect::<Vec<_>>(), [fair]);
    // In development, where this node itself listens on loopback, that is allowed, and nothing else.
    let allowed = inside.iter().filter(|text| gossip::may_dial(&text.parse().unwrap(), true)).count();
    assert_eq!(allowed, 4, "127.0.0.1, 127.9.9.9, ::1 and the first as IPv6");
}

#[tokio::test]
async fn strangers_who_come_take_no_place_of_those_that_are_chosen() {
    let world = world();
    let hello = |nonce| Hello { chain_id: world.peers.chain, height: 0, work: [0; 32], listen_port: 7_401, nonce };
    for n in 0..200u8 {
        let remote = SocketAddr::from(([127, 1, n, 1], 50_000));
        world.peers.greeted(remote, &hello(u64::from(n) + 10));
    }
    let listed = world.peers.list(false).len();
    assert_eq!(listed, MAX_REVERSE);
    let fair = SocketAddr::from(([127, 2, 0, 1], 7_401));
    world.peers.learn(&[fair], SocketAddr::from(([127, 2, 0, 2], 50_000)));
    tokio::spawn(world.peers.clone().fill());
    world.until(|world| world.peers.outbound().contains(&fair)).await;
}

#[tokio::test]
async fn addresses_are_exchanged_now_and_then() {
    let world = world();
    let (host, port) = (|port| SocketAddr::from(([192, 0, 2, 9], port)), 50_000);
    let taken = (0..100).filter(|_| world.peers.may_exchange(host(port))).count();
    assert!((16..20).contains(&taken), "{taken}");
    assert!(!world.peers.may_exchange(host(port + 1)), "another connection of the same host");
    assert!(world.peers.may_exchange(SocketAddr::from(([192, 0, 2, 10], port))));
}
