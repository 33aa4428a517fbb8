//! Accepting connections: caps for each address and in all, and a time limit for the first bytes.

use super::conduct::{Account, Conduct, Line};
use crate::bucket::{Bucket, Rate};
use crate::limits::{Limits, MAX_ARRIVALS};
use futures::Stream;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Sleep;
use tonic::transport::server::Connected;

/// What an HTTP/2 client sends before anything else (RFC 9113, 3.4). hyper's keepalive begins only after it.
const PREFACE_LEN: usize = 24;
/// Wait after a failed accept: with no descriptors left the next one would fail at once, and again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Connections now open, by address.
struct Counter {
    per_address: usize,
    total: usize,
    open: Mutex<HashMap<IpAddr, usize>>,
    rate: Rate,
    arrivals: Mutex<HashMap<IpAddr, Bucket>>,
    conduct: Rate,
    hosts: Mutex<HashMap<IpAddr, Arc<Mutex<Account>>>>,
}

impl Counter {
    /// A place for one more connection from `address`, if there is one.
    fn take(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        // One host must not count twice by writing its IPv4 address as IPv6.
        let address = address.to_canonical();
        let now = Instant::now();
        if self.is_cut_off(address, now) || !self.may_arrive(address, now) {
            return None;
        }
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let total: usize = open.values().sum();
        let here = open.get(&address).copied().unwrap_or(0);
        if here >= self.per_address || total >= self.total {
            return None;
        }
        open.insert(address, here + 1);
        Some(Place { counter: Arc::clone(self), address })
    }

    /// What is left to a host of what it may send that is refused. The programs of this machine share its address, and
    /// one must not pay for another.
    fn conduct_of(&self, address: IpAddr, now: Instant) -> Arc<Mutex<Account>> {
        let fresh = || Arc::new(Mutex::new(Account::new(self.conduct, now)));
        let address = address.to_canonical();
        if [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)].contains(&address) {
            return fresh();
        }
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if hosts.len() >= MAX_ARRIVALS && !hosts.contains_key(&address) {
            let is_settled = |account: &Mutex<Account>| {
                account.lock().unwrap_or_else(PoisonError::into_inner).is_settled(self.conduct, now)
            };
            hosts.retain(|_, account| !is_settled(account));
            if hosts.len() >= MAX_ARRIVALS {
                return fresh();
            }
        }
        hosts.entry(address).or_insert_with(fresh).clone()
    }

    /// Whether nothing of this host is taken for now.
    fn is_cut_off(&self, address: IpAddr, now: Instant) -> bool {
        let hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let account = hosts.get(&address.to_canonical());
        account.is_some_and(|account| account.lock().unwrap_or_else(PoisonError::into_inner).is_cut_off(now))
    }

    /// Whether this address opens connections at a fair rate.
    fn may_arrive(&self, address: IpAddr, now: Instant) -> bool {
        let mut arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        if arrivals.len() >= MAX_ARRIVALS && !arrivals.contains_key(&address) {
            arrivals.retain(|_, bucket| !bucket.is_full(self.rate, now));
            if arrivals.len() >= MAX_ARRIVALS {
                arrivals.clear();
            }
        }
        arrivals.entry(address).or_insert_with(|| Bucket::full(self.rate, now)).take(1, self.rate, now)
    }
}

/// A counted connection; given back when dropped.
struct Place {
    counter: Arc<Counter>,
    address: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.counter.open.lock().unwrap_or_else(PoisonError::into_inner);
        match open.get_mut(&self.address) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                open.remove(&self.address);
            }
        }
    }
}

/// The connections that may be served.
pub(super) fn incoming(listener: TcpListener, limits: &Limits) -> impl Stream<Item = io::Result<Guarded>> {
    let counter = Counter {
        per_address: limits.connections_per_address,
        total: limits.connections,
        open: Mutex::default(),
        rate: limits.arrivals,
        arrivals: Mutex::default(),
        conduct: limits.conduct,
        hosts: Mutex::default(),
    };
    let state = (listener, Arc::new(counter), limits.clone());
    futures::stream::unfold(state, move |(listener, counter, limits)| async move {
        let guarded = accept(&listener, &counter, &limits).await;
        Some((Ok(guarded), (listener, counter, limits)))
    })
}

async fn accept(listener: &TcpListener, counter: &Arc<Counter>, limits: &Limits) -> Guarded {
    loop {
        let (stream, remote) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "accepting a connection failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Some(place) = counter.take(remote.ip()) else {
            tracing::debug!(%remote, "connection refused: too many");
            continue;
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%remote, %error, "nodelay not set");
        }
        let deadline = Some(Box::pin(tokio::time::sleep(limits.handshake_time)));
        let account = counter.conduct_of(remote.ip(), Instant::now());
        let line = Line { tcp: stream.connect_info(), conduct: Arc::new(Conduct::new(account)) };
        return Guarded { stream, deadline, missing: PREFACE_LEN, line, _place: place };
    }
}

/// A connection that counts, that fails when its first [`PREFACE_LEN`] bytes do not come in time, and that ends when its
/// requests say so.
pub(super) struct Guarded {
    stream: TcpStream,
    deadline: Option<Pin<Box<Sleep>>>,
    missing: usize,
    line: Line,
    _place: Place,
}

impl Connected for Guarded {
    type ConnectInfo = Line;

    fn connect_info(&self) -> Line {
        self.line.clone()
    }
}

impl AsyncRead for Guarded {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.line.conduct.is_closed(cx.waker()) {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionAborted, "too much was refused")));
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        let Some(deadline) = &mut self.deadline else { return read };
        if read.is_pending() {
            return match deadline.as_mut().poll(cx) {
                Poll::Ready(()) => {
                    Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "no HTTP/2 preface in time")))
                }
                Poll::Pending => Poll::Pending,
            };
        }
        self.missing = self.missing.saturating_sub(buf.filled().len() - before);
        if self.missing == 0 {
            self.deadline = None;
        }
        read
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counter(rate: Rate) -> Counter {
        Counter {
            per_address: 2,
            total: 3,
            open: Mutex::default(),
            rate,
            arrivals: Mutex::default(),
            conduct: Rate { burst: 8, per_second: 1 },
            hosts: Mutex::default(),
        }
    }

    #[test]
    fn an_address_that_comes_and_goes_too_fast_has_to_wait() {
        let counter = Arc::new(counter(Rate { burst: 3, per_second: 1 }));
        let address = |n: u8| IpAddr::from([10, 0, n, 1]);
        for _ in 0..3 {
            assert!(counter.take(address(0)).is_some(), "closed again at once");
        }
        assert!(counter.take(address(0)).is_none() && counter.take(address(1)).is_some());
        assert!(counter.may_arrive(address(0), Instant::now() + Duration::from_secs(1)));
        for n in 0..2 * u32::try_from(MAX_ARRIVALS).unwrap() {
            counter.may_arrive(IpAddr::from(n.to_be_bytes()), Instant::now());
        }
        assert!(counter.arrivals.lock().unwrap().len() <= MAX_ARRIVALS);
    }

    #[test]
    fn a_host_has_one_account_and_programs_of_this_machine_have_each_their_own() {
        let (counter, now) = (counter(Rate { burst: 1, per_second: 1 }), Instant::now());
        let take = |ip: &str| {
            let account = counter.conduct_of(ip.parse().unwrap(), now);
            let mut account = account.lock().unwrap();
            let had = !account.is_in_debt(counter.conduct, now);
            account.charge(8, counter.conduct, now);
            had
        };
        assert!(take("10.0.0.1") && !take("10.0.0.1") && !take("::ffff:10.0.0.1") && take("10.0.0.2"));
        assert!(take("127.0.0.1") && take("127.0.0.1") && take("::1") && take("::1"));
        for n in 0..2 * u32::try_from(MAX_ARRIVALS).unwrap() {
            counter.conduct_of(IpAddr::from(n.to_be_bytes()), now);
        }
        assert!(counter.hosts.lock().unwrap().len() <= MAX_ARRIVALS && !take("10.0.0.1"));
        let of = |ip: &str| ip.parse::<IpAddr>().unwrap();
        counter.conduct_of(of("10.0.0.2"), now).lock().unwrap().cut_off(now);
        assert!(counter.is_cut_off(of("::ffff:10.0.0.2"), now) && !counter.is_cut_off(of("10.0.0.1"), now));
        let counter = Arc::new(counter);
        assert!(counter.take(of("10.0.0.2")).is_none() && counter.take(of("10.0.0.3")).is_some());
    }

    #[test]
    fn places_are_counted_and_given_back() {
        let counter = Arc::new(counter(Rate { burst: 100, per_second: 0 }));
        let [a, b, c]: [IpAddr; 3] = ["10.0.0.1", "10.0.0.2", "::ffff:10.0.0.1"].map(|text| text.parse().unwrap());
        let first = counter.take(a).unwrap();
        let second = counter.take(c).unwrap();
        assert!(counter.take(a).is_none(), "the same host as IPv6");
        let third = counter.take(b).unwrap();
        assert!(counter.take(b).is_none(), "three in all");
        drop(first);
        let again = counter.take(b).unwrap();
        drop((second, third, again));
        assert!(counter.open.lock().unwrap().is_empty(), "no address is remembered for ever");
    }
}
