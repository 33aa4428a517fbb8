//! What stands before every service: a request is worked on when it is there as a whole, when there is a place for it,
//! and when its connection has not sent too much that was refused.

use super::conduct::{Held, Line, Totals};
use crate::convert::ConversionError;
use crate::limits::{DEBT_PAUSE, EXHAUSTED_PAUSE, Limits, MAX_MESSAGE_BYTES, NODE_EXHAUSTED_PAUSE};
use crate::service::PeerService;
use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use http_body_util::{BodyExt, Full};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::{Code, Status};
use tower::{Layer, Service};

/// gRPC's prefix of a message: one byte for compression, four for the length.
const PREFIX: usize = 5;
/// Services whose requests are streams that go on: they are passed through. Each has its own bounds.
const STREAMS: [&str; 1] = ["/grpc.reflection."];
/// The services of the frozen contract, by which nodes call each other.
const NODES: [&str; 2] = ["/Discovery/", "/Synchronization/"];

/// Puts a [`Guard`] before a service.
#[derive(Clone)]
pub(super) struct GuardLayer {
    limits: Arc<Limits>,
    totals: Arc<Totals>,
    peers: Arc<dyn PeerService>,
}

impl GuardLayer {
    pub(super) fn new(limits: &Limits, peers: Arc<dyn PeerService>) -> Self {
        Self { limits: Arc::new(limits.clone()), totals: Arc::default(), peers }
    }
}

impl<S> Layer<S> for GuardLayer {
    type Service = Guard<S>;

    fn layer(&self, inner: S) -> Guard<S> {
        Guard { inner, shared: self.clone() }
    }
}

/// See the module.
#[derive(Clone)]
pub(super) struct Guard<S> {
    inner: S,
    shared: GuardLayer,
}

impl<S> Service<Request<Body>> for Guard<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let fresh = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, fresh);
        // Absent only for connections that are not ours, which do not come here.
        let Some(line) = request.extensions().get::<Line>().cloned() else { return Box::pin(inner.call(request)) };
        request.extensions_mut().insert(line.tcp.clone());
        let shared = self.shared.clone();
        Box::pin(async move {
            let mut watch = Watch { line: line.clone(), limits: shared.limits.clone(), answered: false };
            let (is_stream, is_of_node) = (is_of(&request, &STREAMS), is_of(&request, &NODES));
            let mut in_debt = false;
            let response = if is_stream {
                inner.call(request).await?
            } else if line.conduct.is_in_debt(&shared.limits) {
                // Nothing more of it is read, and its answer comes late: an attacker's streams are taken up by waiting.
                drop(request);
                in_debt = true;
                Status::resource_exhausted("too much on this connection was refused; slow down").into_http()
            } else {
                match shared.admit(&line, request).await {
                    Ok((request, held)) => {
                        let response = inner.call(request).await?;
                        drop(held);
                        response
                    }
                    Err(status) => status.into_http(),
                }
            };
            let code = Status::from_header_map(response.headers()).map_or(Code::Ok, |status| status.code());
            line.conduct.answered(code, &shared.limits);
            if code == Code::ResourceExhausted {
                // It holds no place any more, only one of its connection's streams.
                let pause = if in_debt { DEBT_PAUSE } else { shared.pause(&line, is_of_node) };
                tokio::time::sleep(pause).await;
            }
            // Only now: to give up the pause and ask again is no way around it.
            watch.answered = true;
            Ok(response)
        })
    }
}

fn is_of(request: &Request<Body>, services: &[&str]) -> bool {
    services.iter().any(|path| request.uri().path().starts_with(path))
}

/// Notices a request that is given up before it is answered.
struct Watch {
    line: Line,
    limits: Arc<Limits>,
    answered: bool,
}

impl Drop for Watch {
    fn drop(&mut self) {
        if !self.answered {
            self.line.conduct.abandoned(&self.limits);
        }
    }
}

impl GuardLayer {
    /// How late an answer comes that says RESOURCE_EXHAUSTED.
    fn pause(&self, line: &Line, is_of_node: bool) -> Duration {
        if !is_of_node {
            EXHAUSTED_PAUSE
        } else if line.tcp.remote_addr().is_some_and(|remote| self.peers.is_known(remote)) {
            Duration::ZERO
        } else {
            NODE_EXHAUSTED_PAUSE
        }
    }

    /// The whole request, and its place.
    async fn admit(&self, line: &Line, request: Request<Body>) -> Result<(Request<Body>, Held), Status> {
        let mut held = Held::nothing(line.conduct.clone(), self.totals.clone());
        let (head, body) = request.into_parts();
        let bytes = self.whole(line, body, &mut held).await?;
        if !held.take_place(&self.limits) {
            return Err(Status::resource_exhausted("too many requests at once; try again"));
        }
        held.give_back_bytes();
        Ok((Request::from_parts(head, Body::new(Full::new(bytes))), held))
    }

    /// All bytes of a request, counted while they come. One that says it will be too long is refused by its first.
    async fn whole(&self, line: &Line, mut body: Body, held: &mut Held) -> Result<Bytes, Status> {
        let mut first = Bytes::new();
        let mut more = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame?.into_data() else { continue };
            if !held.take_bytes(data.len(), &self.limits) {
                return Err(Status::resource_exhausted("too many bytes of requests at once; try again"));
            }
            if first.is_empty() {
                first = data;
            } else {
                if more.is_empty() {
                    more.extend_from_slice(&first);
                }
                more.extend_from_slice(&data);
            }
            self.check_length(line, if more.is_empty() { &first } else { &more })?;
        }
        Ok(if more.is_empty() { first } else { more.freeze() })
    }

    fn check_length(&self, line: &Line, came: &[u8]) -> Result<(), Status> {
        let claimed = match came {
            [_, a, b, c, d, ..] => usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])).unwrap_or(usize::MAX),
            _ => 0,
        };
        let length = claimed.max(came.len().saturating_sub(PREFIX));
        if length <= MAX_MESSAGE_BYTES {
            return Ok(());
        }
        let error = ConversionError::new("message", format!("at most {MAX_MESSAGE_BYTES} bytes"), length.to_string());
        if let Some(remote) = line.tcp.remote_addr() {
            self.peers.refused(remote, &error);
        }
        Err(Status::out_of_range(error.to_string()))
    }
}
