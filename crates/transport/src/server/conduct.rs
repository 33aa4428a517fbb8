//! What one connection costs and what is held against it, shared by its socket and its requests.

use crate::bucket::{Bucket, Rate};
use crate::limits::{
    COST_ABANDONED, COST_INVALID, COST_NOT_YET, COST_OVERSIZE, CUT_OFF, Limits, MAX_CUT_OFF, MAX_IN_DEBT,
};
use futures::task::AtomicWaker;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};
use tonic::Code;
use tonic::transport::server::TcpConnectInfo;

/// A connection, as tonic gives it to each of its requests.
#[derive(Clone)]
pub(super) struct Line {
    pub(super) tcp: TcpConnectInfo,
    pub(super) conduct: Arc<Conduct>,
}

/// What a host may still send that is refused, and whether it is cut off.
#[derive(Debug)]
pub(super) struct Account {
    bucket: Bucket,
    /// Until when none of its connections is taken, and how long that is the next time.
    cut_off_until: Option<Instant>,
    next_cut_off: Duration,
}

impl Account {
    pub(super) fn new(rate: Rate, now: Instant) -> Self {
        Self { bucket: Bucket::full(rate, now), cut_off_until: None, next_cut_off: CUT_OFF }
    }

    pub(super) fn is_cut_off(&self, now: Instant) -> bool {
        self.cut_off_until.is_some_and(|until| now < until)
    }

    /// Whether it is as good as new.
    pub(super) fn is_settled(&mut self, rate: Rate, now: Instant) -> bool {
        let forgiven = self.cut_off_until.is_none_or(|until| now >= until + MAX_CUT_OFF);
        forgiven && self.bucket.is_full(rate, now)
    }

    pub(super) fn is_in_debt(&mut self, rate: Rate, now: Instant) -> bool {
        self.is_cut_off(now) || self.bucket.is_empty(rate, now)
    }

    pub(super) fn charge(&mut self, cost: u32, rate: Rate, now: Instant) {
        self.bucket.drain(cost, rate, now);
    }

    /// One of its connections was closed: what it sends is not worth another one for a while, each time for longer.
    pub(super) fn cut_off(&mut self, now: Instant) {
        if self.is_cut_off(now) {
            return;
        }
        if self.cut_off_until.is_some_and(|until| now >= until + MAX_CUT_OFF) {
            self.next_cut_off = CUT_OFF;
        }
        self.cut_off_until = Some(now + self.next_cut_off);
        self.next_cut_off = (2 * self.next_cut_off).min(MAX_CUT_OFF);
    }
}

/// See the module.
pub(super) struct Conduct {
    /// Shared by all connections of a host, so that a new one is no way out of debt.
    account: Arc<Mutex<Account>>,
    /// Requests that came while it was in debt.
    in_debt: AtomicU32,
    /// Bytes of requests of which not all has come, and requests that are worked on.
    bytes: AtomicUsize,
    places: AtomicUsize,
    closed: AtomicBool,
    socket: AtomicWaker,
}

impl Conduct {
    pub(super) fn new(account: Arc<Mutex<Account>>) -> Self {
        Self {
            account,
            in_debt: AtomicU32::new(0),
            bytes: AtomicUsize::new(0),
            places: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            socket: AtomicWaker::new(),
        }
    }

    /// What an answer says of who asked.
    pub(super) fn answered(&self, code: Code, limits: &Limits) {
        match code {
            Code::InvalidArgument | Code::Unimplemented => self.charge(COST_INVALID, limits),
            Code::OutOfRange => self.charge(COST_OVERSIZE, limits),
            Code::FailedPrecondition => self.charge(COST_NOT_YET, limits),
            _ => {}
        }
    }

    /// A request was reset before its answer.
    pub(super) fn abandoned(&self, limits: &Limits) {
        self.charge(COST_ABANDONED, limits);
    }

    fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn charge(&self, cost: u32, limits: &Limits) {
        self.account().charge(cost, limits.conduct, Instant::now());
    }

    /// Whether this request is not worth an answer. One that goes on all the same loses its connection.
    pub(super) fn is_in_debt(&self, limits: &Limits) -> bool {
        let now = Instant::now();
        let mut account = self.account();
        if !account.is_in_debt(limits.conduct, now) {
            return false;
        }
        if self.in_debt.fetch_add(1, Ordering::Relaxed) >= MAX_IN_DEBT {
            account.cut_off(now);
            drop(account);
            self.close();
        }
        true
    }

    fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.socket.wake();
    }

    /// Whether the socket has to end; if not, this task is woken when it has.
    pub(super) fn is_closed(&self, waker: &Waker) -> bool {
        self.socket.register(waker);
        self.closed.load(Ordering::Acquire)
    }
}

/// What all connections together hold.
#[derive(Default)]
pub(super) struct Totals {
    bytes: AtomicUsize,
    places: AtomicUsize,
}

/// Bytes or places taken from both a connection and the whole; given back when dropped.
pub(super) struct Held {
    conduct: Arc<Conduct>,
    totals: Arc<Totals>,
    bytes: usize,
    place: bool,
}

impl Held {
    pub(super) fn nothing(conduct: Arc<Conduct>, totals: Arc<Totals>) -> Self {
        Self { conduct, totals, bytes: 0, place: false }
    }

    /// Takes more bytes. When the whole is full, a connection that holds little still gets some: those who hold much
    /// cannot shut out the others.
    pub(super) fn take_bytes(&mut self, more: usize, limits: &Limits) -> bool {
        let here = self.conduct.bytes.fetch_add(more, Ordering::Relaxed) + more;
        let all = self.totals.bytes.fetch_add(more, Ordering::Relaxed) + more;
        self.bytes += more;
        here <= limits.bytes_per_connection && (all <= limits.bytes || here <= limits.bytes_reserved)
    }

    /// Takes a place among the requests that are worked on. When all are taken, a connection that has none still gets
    /// one.
    pub(super) fn take_place(&mut self, limits: &Limits) -> bool {
        let here = self.conduct.places.fetch_add(1, Ordering::Relaxed) + 1;
        let all = self.totals.places.fetch_add(1, Ordering::Relaxed) + 1;
        self.place = true;
        all <= limits.requests || here == 1
    }

    /// The bytes are a message by now.
    pub(super) fn give_back_bytes(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        self.conduct.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.totals.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.give_back_bytes();
        if self.place {
            self.conduct.places.fetch_sub(1, Ordering::Relaxed);
            self.totals.places.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_holds_little_gets_something_when_the_whole_is_taken() {
        let limits =
            Limits { bytes_per_connection: 100, bytes: 150, bytes_reserved: 10, requests: 2, ..Limits::default() };
        let bucket = || Arc::new(Mutex::new(Account::new(limits.conduct, Instant::now())));
        let (totals, line) = (Arc::new(Totals::default()), || Arc::new(Conduct::new(bucket())));
        let (greedy, other, late) = (line(), line(), line());
        let held = |conduct: &Arc<Conduct>| Held::nothing(conduct.clone(), totals.clone());
        let (mut first, mut second, mut third) = (held(&greedy), held(&other), held(&late));
        assert!(first.take_bytes(100, &limits) && !held(&greedy).take_bytes(1, &limits), "each has its own bound");
        assert!(second.take_bytes(50, &limits) && !held(&other).take_bytes(1, &limits), "and all together theirs");
        assert!(third.take_bytes(10, &limits) && !held(&late).take_bytes(1, &limits), "but for a little");
        drop((first, second, third));
        assert_eq!(totals.bytes.load(Ordering::Relaxed), 0);
        let (mut first, mut second, mut third) = (held(&greedy), held(&greedy), held(&late));
        assert!(first.take_place(&limits) && second.take_place(&limits));
        assert!(!held(&greedy).take_place(&limits) && third.take_place(&limits) && !held(&late).take_place(&limits));
        drop((first, second, third));
        assert_eq!(totals.places.load(Ordering::Relaxed), 0);
    }

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl std::task::Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[test]
    fn debt_comes_of_faults_and_its_requests_close_the_socket() {
        let (limits, woken) = (Limits::default(), Arc::new(Woken::default()));
        let waker = Waker::from(woken.clone());
        let account = Arc::new(Mutex::new(Account::new(limits.conduct, Instant::now())));
        let conduct = Conduct::new(account.clone());
        for code in [Code::Ok, Code::NotFound, Code::ResourceExhausted, Code::Unavailable] {
            (0..100_000).for_each(|_| conduct.answered(code, &limits));
            assert!(!conduct.is_in_debt(&limits), "{code:?} is no fault of who asks");
        }
        let half = limits.conduct.burst / 2;
        (0..half / COST_OVERSIZE).for_each(|_| conduct.answered(Code::OutOfRange, &limits));
        (0..half / COST_INVALID - 1).for_each(|_| conduct.answered(Code::InvalidArgument, &limits));
        assert!(!conduct.is_in_debt(&limits));
        (0..2).for_each(|_| conduct.answered(Code::InvalidArgument, &limits));
        assert!((0..MAX_IN_DEBT).all(|_| conduct.is_in_debt(&limits)) && !conduct.is_closed(&waker));
        assert!(conduct.is_in_debt(&limits) && woken.0.load(Ordering::Relaxed), "a socket that is silent ends too");
        assert!(conduct.is_closed(&waker));
        assert!(account.lock().unwrap().is_cut_off(Instant::now()));
        let again = Conduct::new(account);
        assert!(
            again.is_in_debt(&limits) && !again.is_closed(&waker),
            "the next connection of that host begins in debt"
        );
    }

    #[test]
    fn who_was_cut_off_waits_longer_each_time_and_is_forgiven_in_the_end() {
        let (rate, start) = (Rate { burst: 8, per_second: 8 }, Instant::now());
        let mut account = Account::new(rate, start);
        assert!(account.is_settled(rate, start) && !account.is_cut_off(start));
        let mut now = start;
        for wait in [CUT_OFF, 2 * CUT_OFF, 4 * CUT_OFF] {
            account.cut_off(now);
            account.cut_off(now + wait / 2);
            assert!(account.is_cut_off(now + wait - Duration::from_millis(1)), "{wait:?}");
            assert!(account.is_in_debt(rate, now + wait / 2), "whatever came back meanwhile");
            now += wait;
            assert!(!account.is_cut_off(now) && !account.is_settled(rate, now) && !account.is_in_debt(rate, now));
        }
        (0..20).for_each(|_| account.cut_off(account.cut_off_until.unwrap()));
        let until = account.cut_off_until.unwrap();
        assert!(account.is_cut_off(until - MAX_CUT_OFF) && !account.is_cut_off(until));
        assert!(account.is_settled(rate, until + MAX_CUT_OFF));
        account.cut_off(until + MAX_CUT_OFF);
        assert!(!account.is_cut_off(until + MAX_CUT_OFF + CUT_OFF), "from the beginning");
    }
}
