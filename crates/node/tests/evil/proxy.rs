//! PROXY: a link between two nodes, in user space, with a fault for each direction. Each node sees the other at an
//! address of the link, in both ways: what it says in Hello (its port) and where it comes from lead back to the link, so
//! that nobody goes round it.

use super::dial;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// What one direction does to the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fault {
    #[default]
    None,
    /// Late by so many ms.
    Delay(u64),
    /// Late by up to so many ms, each piece differently.
    Jitter(u64),
    /// One bit of every so many bytes is wrong.
    Flip(usize),
    /// The sender sees its bytes go, and they never come.
    BlackHole,
    /// Nothing is read any more, and nothing is closed.
    HalfOpen,
    /// Connections are torn down.
    Reset,
}

/// Both directions between two nodes, a and b.
pub struct Link {
    /// Where a reaches b, and b a.
    pub to_b: SocketAddr,
    pub to_a: SocketAddr,
    a_to_b: Arc<Mutex<Fault>>,
    b_to_a: Arc<Mutex<Fault>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

async fn listen(at: SocketAddr) -> TcpListener {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(at).unwrap();
    socket.listen(64).unwrap()
}

impl Link {
    /// Link number `n` between two nodes that listen at these addresses.
    pub async fn new(n: u8, a: SocketAddr, b: SocketAddr) -> Self {
        let ip = |side| IpAddr::V4(Ipv4Addr::new(127, 77, n, side));
        // a sees b at 127.77.n.2, with b's own port; b sees a at 127.77.n.1.
        let (to_b, to_a) = (SocketAddr::new(ip(2), b.port()), SocketAddr::new(ip(1), a.port()));
        let (a_to_b, b_to_a): (Arc<Mutex<Fault>>, Arc<Mutex<Fault>>) = Default::default();
        let tasks = vec![
            tokio::spawn(forward(listen(to_b).await, ip(1), b, a_to_b.clone(), b_to_a.clone())),
            tokio::spawn(forward(listen(to_a).await, ip(2), a, b_to_a.clone(), a_to_b.clone())),
        ];
        Self { to_b, to_a, a_to_b, b_to_a, tasks }
    }

    /// The fault of each direction from now on, of open connections as well.
    pub fn set(&self, a_to_b: Fault, b_to_a: Fault) {
        *self.a_to_b.lock().unwrap() = a_to_b;
        *self.b_to_a.lock().unwrap() = b_to_a;
    }

    pub fn both(&self, fault: Fault) {
        self.set(fault, fault);
    }
}

async fn forward(
    listener: TcpListener,
    source: IpAddr,
    target: SocketAddr,
    there: Arc<Mutex<Fault>>,
    back: Arc<Mutex<Fault>>,
) {
    while let Ok((near, _)) = listener.accept().await {
        let (there, back) = (there.clone(), back.clone());
        tokio::spawn(async move {
            if *there.lock().unwrap() == Fault::Reset {
                return reset(near);
            }
            let Ok(far) = dial(source, target).await else { return };
            let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
            // Either end ends both: what is dropped is closed.
            tokio::select! {
                () = carry(near_read, far_write, &there) => {}
                () = carry(far_read, near_write, &back) => {}
            }
        });
    }
}

/// Closed with RST instead of FIN.
fn reset(stream: TcpStream) {
    drop(stream.set_zero_linger());
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, fault: &Mutex<Fault>) {
    let (mut buffer, mut carried, mut random) = (vec![0; 16 << 10], 0usize, 7u64);
    loop {
        let Ok(len @ 1..) = from.read(&mut buffer).await else { return };
        let now = *fault.lock().unwrap();
        match now {
            Fault::None => {}
            Fault::Delay(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
            Fault::Jitter(ms) => {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                tokio::time::sleep(Duration::from_millis((random >> 33) % ms.max(1))).await;
            }
            Fault::Flip(every) => {
                let hit = |(at, _): &(usize, &mut u8)| (carried + at) % every == every - 1;
                buffer[..len].iter_mut().enumerate().filter(hit).for_each(|(at, byte)| *byte ^= 1 << (at % 8));
            }
            Fault::BlackHole => {
                carried += len;
                continue;
            }
            Fault::HalfOpen => {
                // Until it is healed; then the connection is as good as dead, and ends.
                while *fault.lock().unwrap() == Fault::HalfOpen {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                return;
            }
            Fault::Reset => return,
        }
        carried += len;
        if to.write_all(&buffer[..len]).await.is_err() {
            return;
        }
    }
}
