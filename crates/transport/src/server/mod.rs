//! The server: all services, health and reflection on one listener, under explicit limits.

mod bulk;
mod conduct;
mod guard;
mod incoming;
mod ledger;
mod peer;

use crate::error::ServeError;
use crate::limits::{
    Limits, MAX_ANSWER_BYTES, MAX_HEADER_LIST_BYTES, MAX_MESSAGE_BYTES, MAX_PENDING_RESETS, SERVER_CONNECTION_WINDOW,
    SERVER_STREAM_WINDOW,
};
use crate::pb::DESCRIPTORS;
use crate::pb::discovery_server::DiscoveryServer;
use crate::pb::synchronization_server::SynchronizationServer;
use crate::pb::v1::ledger_server::LedgerServer;
use crate::pb::v1::peer_server::PeerServer;
use crate::service::{LedgerService, PeerService};
use bulk::BulkDoor;
use guard::GuardLayer;
use incoming::incoming;
use ledger::LedgerDoor;
use peer::PeerDoor;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::transport::Server;
use tonic::transport::server::Router;
use tonic_health::ServingStatus;
use tower::layer::util::{Identity, Stack};

/// Serves with the default [`Limits`] until `shutdown` completes.
///
/// # Errors
/// [`ServeError`]. Faults of single connections and messages end those, not the server.
pub async fn serve(
    listener: TcpListener,
    peers: Arc<dyn PeerService>,
    ledger: Arc<dyn LedgerService>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    serve_with(listener, peers, ledger, Limits::default(), shutdown).await
}

/// Serves until `shutdown` completes. Then the listener closes, watch streams end, and requests under way have
/// [`Limits::drain_time`]; connections that are still open after that are left to their own time limits.
///
/// # Errors
/// [`ServeError`]. Faults of single connections and messages end those, not the server.
pub async fn serve_with(
    listener: TcpListener,
    peers: Arc<dyn PeerService>,
    ledger: Arc<dyn LedgerService>,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let (stop, stopped) = watch::channel(false);
    let (health, health_server) = tonic_health::server::health_reporter();
    health.set_serving::<DiscoveryServer<PeerDoor>>().await;
    health.set_serving::<SynchronizationServer<PeerDoor>>().await;
    health.set_serving::<LedgerServer<LedgerDoor>>().await;
    if Arc::clone(&peers).bulk().is_some() {
        health.set_serving::<PeerServer<BulkDoor>>().await;
    }
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    let router = router(peers, ledger, &limits, stopped.clone())
        .add_service(health_server.max_decoding_message_size(MAX_MESSAGE_BYTES))
        .add_service(reflection.max_decoding_message_size(MAX_MESSAGE_BYTES));

    let signal = async {
        shutdown.await;
        health.set_service_status("", ServingStatus::NotServing).await;
        stop.send_replace(true);
    };
    let serving = router.serve_with_incoming_shutdown(incoming(listener, &limits), signal);
    let mut stopped = stopped;
    let drained = async {
        // The sender lives in `signal`; its end is a stop as well.
        let _ = stopped.wait_for(|stop| *stop).await;
        tokio::time::sleep(limits.drain_time).await;
    };
    tokio::select! {
        result = serving => result?,
        () = drained => tracing::warn!(after = ?limits.drain_time, "requests still under way at shutdown"),
    }
    Ok(())
}

type LimitedRouter = Router<Stack<GuardLayer, Identity>>;

fn router(
    peers: Arc<dyn PeerService>,
    ledger: Arc<dyn LedgerService>,
    limits: &Limits,
    stopped: watch::Receiver<bool>,
) -> LimitedRouter {
    let guard = GuardLayer::new(limits, Arc::clone(&peers));
    let discovery = DiscoveryServer::new(PeerDoor::new(Arc::clone(&peers)));
    let synchronization = SynchronizationServer::new(PeerDoor::new(Arc::clone(&peers)));
    let bulk = BulkDoor::of(peers, &stopped, limits.request_time).map(PeerServer::new);
    let ledger = LedgerServer::new(LedgerDoor::new(ledger, stopped));
    Server::builder()
        .layer(guard)
        .timeout(limits.request_time)
        .max_concurrent_streams(limits.streams_per_connection)
        .initial_stream_window_size(SERVER_STREAM_WINDOW)
        .initial_connection_window_size(SERVER_CONNECTION_WINDOW)
        .http2_keepalive_interval(Some(limits.keepalive_every))
        .http2_keepalive_timeout(Some(limits.keepalive_time))
        .http2_max_header_list_size(MAX_HEADER_LIST_BYTES)
        .http2_max_pending_accept_reset_streams(Some(MAX_PENDING_RESETS))
        .add_service(
            discovery.max_decoding_message_size(MAX_MESSAGE_BYTES).max_encoding_message_size(MAX_MESSAGE_BYTES),
        )
        .add_service(
            synchronization.max_decoding_message_size(MAX_MESSAGE_BYTES).max_encoding_message_size(MAX_MESSAGE_BYTES),
        )
        .add_optional_service(
            bulk.map(|bulk| {
                bulk.max_decoding_message_size(MAX_MESSAGE_BYTES).max_encoding_message_size(MAX_MESSAGE_BYTES)
            }),
        )
        .add_service(ledger.max_decoding_message_size(MAX_MESSAGE_BYTES).max_encoding_message_size(MAX_ANSWER_BYTES))
}

/// NOT_FOUND with what was asked for.
fn not_found(what: &str, asked: impl std::fmt::Debug) -> tonic::Status {
    tonic::Status::not_found(format!("{what}: expected one that this node keeps, got {asked:?}"))
}

/// An answer of the frozen contract.
type Reply<T> = Result<tonic::Response<T>, tonic::Status>;

/// A value of the wire, answered.
fn reply<T>(value: impl Into<T>) -> Reply<T> {
    Ok(tonic::Response::new(value.into()))
}
