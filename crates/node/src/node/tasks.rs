//! What runs beside the engine until the node stops: its ticks, and the metrics.

use crate::driver::{Command, EngineHandle};
use blockhie_engine::Event;
use metrics_exporter_prometheus::PrometheusHandle;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// How often the engine is told that time passes.
const TICK: Duration = Duration::from_millis(100);
/// How often what the histograms of the metrics were told is summed up. Until then every value is kept, so without it a
/// node that nobody scrapes grows for ever.
const SUM_METRICS: Duration = Duration::from_secs(5);

/// Tells the engine that time passes.
pub(super) async fn ticks(engine: EngineHandle, mut stop: watch::Receiver<bool>) {
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            _ = stop.changed() => return,
            // A full queue is time passing too.
            _ = tick.tick() => drop(engine.commands.try_send(Command::Event(Event::Tick))),
        }
    }
}

/// Sums up what the metrics were told.
pub(super) async fn sum_metrics(metrics: PrometheusHandle, mut stop: watch::Receiver<bool>) {
    let mut tick = tokio::time::interval(SUM_METRICS);
    loop {
        tokio::select! {
            _ = stop.changed() => return,
            _ = tick.tick() => metrics.run_upkeep(),
        }
    }
}

/// Waits for the stop.
pub(super) async fn until(mut stop: watch::Receiver<bool>) {
    // A sender that is gone means the same.
    drop(stop.wait_for(|stop| *stop).await);
}

/// Serves `/metrics`.
pub(super) async fn serve_metrics(listener: TcpListener, handle: PrometheusHandle, stop: watch::Receiver<bool>) {
    let page = axum::routing::get(move || futures::future::ready(handle.render()));
    let router = axum::Router::new().route("/metrics", page);
    if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(until(stop)).await {
        tracing::error!(%error, "the metrics page is gone");
    }
}
