//! Accepting connections: caps for each address and in all, and a time limit for the first bytes.

use crate::limits::Limits;
use futures::Stream;
use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Sleep;
use tonic::transport::server::{Connected, TcpConnectInfo};

/// What an HTTP/2 client sends before anything else (RFC 9113, 3.4). hyper's keepalive begins only after it.
const PREFACE_LEN: usize = 24;
/// Wait after a failed accept: with no descriptors left the next one would fail at once, and again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Connections now open, by address.
struct Counter {
    per_address: usize,
    total: usize,
    open: Mutex<HashMap<IpAddr, usize>>,
}

impl Counter {
    /// A place for one more connection from `address`, if there is one.
    fn take(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        // One host must not count twice by writing its IPv4 address as IPv6.
        let address = address.to_canonical();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let total: usize = open.values().sum();
        let here = open.get(&address).copied().unwrap_or(0);
        if here >= self.per_address || total >= self.total {
            return None;
        }
        open.insert(address, here + 1);
        Some(Place { counter: Arc::clone(self), address })
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
    let counter =
        Counter { per_address: limits.connections_per_address, total: limits.connections, open: Mutex::default() };
    let handshake = limits.handshake_time;
    futures::stream::unfold((listener, Arc::new(counter)), move |(listener, counter)| async move {
        let guarded = accept(&listener, &counter, handshake).await;
        Some((Ok(guarded), (listener, counter)))
    })
}

async fn accept(listener: &TcpListener, counter: &Arc<Counter>, handshake: Duration) -> Guarded {
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
        let deadline = Some(Box::pin(tokio::time::sleep(handshake)));
        return Guarded { stream, deadline, missing: PREFACE_LEN, _place: place };
    }
}

/// A connection that counts, and that fails when its first [`PREFACE_LEN`] bytes do not come in time.
pub(super) struct Guarded {
    stream: TcpStream,
    deadline: Option<Pin<Box<Sleep>>>,
    missing: usize,
    _place: Place,
}

impl Connected for Guarded {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Guarded {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
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

    #[test]
    fn places_are_counted_and_given_back() {
        let counter = Arc::new(Counter { per_address: 2, total: 3, open: Mutex::default() });
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
