//! Metrics of one gateway, and the log.

use metrics::{counter, gauge, histogram, with_local_recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use std::time::Duration;

/// Upper edges of the buckets of a request's seconds.
const SECONDS: [f64; 9] = [0.001, 0.005, 0.02, 0.1, 0.5, 1.0, 3.0, 15.0, 120.0];

/// Counters and gauges. Labels are routes as they are written in the table, methods and status codes: never a path, an
/// identifier or a name.
pub(crate) struct Metrics {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let builder = PrometheusBuilder::new();
        let recorder = builder.set_buckets(&SECONDS).expect("there are buckets").build_recorder();
        let handle = recorder.handle();
        Self { recorder, handle }
    }

    /// The text of `/metrics`.
    pub(crate) fn render(&self) -> String {
        self.sum_up();
        self.handle.render()
    }

    /// Sums up what the histograms were told. Until then every value is kept: this is called in turn, so that a gateway
    /// that nobody scrapes does not grow for ever.
    pub(crate) fn sum_up(&self) {
        self.handle.run_upkeep();
    }

    pub(crate) fn request(&self, route: &'static str, method: &'static str, status: u16, time: Duration) {
        with_local_recorder(&self.recorder, || {
            let status = status.to_string();
            counter!("blockhie_gateway_requests_total", "route" => route, "method" => method, "status" => status)
                .increment(1);
            histogram!("blockhie_gateway_request_seconds", "route" => route).record(time.as_secs_f64());
        });
    }

    pub(crate) fn published(&self, records: usize) {
        let records = u64::try_from(records).unwrap_or(u64::MAX);
        with_local_recorder(&self.recorder, || counter!("blockhie_gateway_records_total").increment(records));
    }

    pub(crate) fn pushed(&self, segments: usize) {
        let segments = u64::try_from(segments).unwrap_or(u64::MAX);
        with_local_recorder(&self.recorder, || counter!("blockhie_gateway_segments_total").increment(segments));
    }

    pub(crate) fn linked(&self) {
        with_local_recorder(&self.recorder, || counter!("blockhie_gateway_links_total").increment(1));
    }

    /// Halves of links that are not final.
    pub(crate) fn links(&self, open: u32) {
        with_local_recorder(&self.recorder, || gauge!("blockhie_gateway_unsettled_link_halves").set(f64::from(open)));
    }

    pub(crate) fn erased(&self) {
        with_local_recorder(&self.recorder, || counter!("blockhie_gateway_erasures_total").increment(1));
    }

    /// Transactions that the node has not taken yet, and those whose block is not final yet.
    pub(crate) fn unsettled(&self, queue: &'static str, queued: u32, open: u32) {
        with_local_recorder(&self.recorder, || {
            gauge!("blockhie_gateway_queued_transactions", "queue" => queue).set(f64::from(queued));
            gauge!("blockhie_gateway_unsettled_transactions", "queue" => queue).set(f64::from(open));
        });
    }

    pub(crate) fn node(&self, chain: &'static str, connected: bool, height: Option<u64>) {
        with_local_recorder(&self.recorder, || {
            gauge!("blockhie_gateway_node_connected", "chain" => chain).set(f64::from(u8::from(connected)));
            if let Some(height) = height {
                let height = u32::try_from(height).unwrap_or(u32::MAX);
                gauge!("blockhie_gateway_chain_height", "chain" => chain).set(f64::from(height));
            }
        });
    }
}

/// Sends the log to stderr: this crate and errors of others by default, more by `RUST_LOG`.
pub(crate) fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn,blockhie_gateway=info"));
    let colour = std::io::IsTerminal::is_terminal(&std::io::stderr());
    // A second gateway in one process keeps the first one's log.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colour)
        .with_target(false)
        .try_init();
}
