//! Every bound of the gateway, each with its reason.

use std::time::Duration;

/// Longest record, bytes: an upload is held in memory while it is sealed, so this times
/// [`UPLOADS`] and [`PUBLIC_UPLOADS`] bounds the memory.
pub(crate) const MAX_RECORD_BYTES: usize = 16 << 20;
/// Bytes of all files of one upload together.
pub(crate) const MAX_UPLOAD_BYTES: usize = 32 << 20;
/// Files in one upload: the answer holds an opening of about 1 KiB for each.
pub(crate) const MAX_UPLOAD_FILES: usize = 1_000;
/// Bytes of a text field in a form.
pub(crate) const MAX_FIELD_BYTES: usize = 4_096;
/// Bytes of a refused body that are still read, so that whoever sends it gets to see the answer instead of a reset.
pub(crate) const MAX_DRAINED_BYTES: usize = 128 << 20;
/// Longest `Idempotency-Key`, characters.
pub(crate) const MAX_IDEMPOTENCY_KEY: usize = 128;

/// Uploads of operators worked on at once; further ones wait for their turn until [`UPLOAD_TIME`] is over.
pub(crate) const UPLOADS: usize = 8;
/// Uploads of anybody else worked on at once. Their own places, so that strangers who send slowly keep no operator
/// from publishing.
pub(crate) const PUBLIC_UPLOADS: usize = 8;
/// Other requests worked on at once; more are refused with 503 instead of queueing.
pub(crate) const REQUESTS: usize = 256;
/// Event streams open at once: each holds a connection for as long as a page is open.
pub(crate) const EVENT_STREAMS: usize = 256;
/// Connections open at once: each costs a descriptor. More wait in the listener's backlog.
pub(crate) const CONNECTIONS: usize = 1_024;
/// Bytes of a request's head.
pub(crate) const MAX_HEAD_BYTES: usize = 32 << 10;

/// A connection that has not sent a whole request head by then is closed; so is an idle one.
pub(crate) const HEAD_TIME: Duration = Duration::from_secs(20);
/// A request is answered by then.
pub(crate) const REQUEST_TIME: Duration = Duration::from_secs(15);
/// An upload is answered by then: 16 MiB at 150 KB/s.
pub(crate) const UPLOAD_TIME: Duration = Duration::from_secs(120);
/// How long a publisher waits for the node before the record is answered as queued.
pub(crate) const SUBMIT_TIME: Duration = Duration::from_secs(3);
/// After a stop is asked for, requests under way have this long to end.
pub(crate) const STOP_TIME: Duration = Duration::from_secs(7);
/// What still runs after that is given up.
pub(crate) const GIVE_UP_TIME: Duration = Duration::from_secs(2);

/// A browser session ends then.
pub(crate) const SESSION_TIME: Duration = Duration::from_secs(12 * 3_600);
/// Sessions at once; the oldest goes when there is one more.
pub(crate) const MAX_SESSIONS: usize = 1_024;

/// Rows of the newest blocks held in memory, for the explorer and its live feed.
pub(crate) const HELD_BLOCKS: usize = 64;
/// Rows of one explorer page.
pub(crate) const PAGE_BLOCKS: usize = 25;
/// Most rows of one answer of the blocks route.
pub(crate) const MAX_BLOCKS: u32 = 128;
/// Newest rows that travel with each live event: enough that a slow page rarely has to ask for more.
pub(crate) const EVENT_BLOCKS: usize = 8;
/// Transactions listed on a block's page.
pub(crate) const PAGE_TRANSACTIONS: usize = 1_000;
/// Segments on one page of a device.
pub(crate) const PAGE_SEGMENTS: usize = 50;
/// Readings of a device that are drawn, about 24 bytes each while it is done: three days at one a second.
pub(crate) const MAX_DRAWN: usize = 1 << 18;
/// Links listed on their page: each is unsealed for it.
pub(crate) const PAGE_LINKS: usize = 1_000;
/// Records listed on the publish page.
pub(crate) const PAGE_RECORDS: usize = 20;
/// Answers of the node about transactions that are remembered until the tip changes.
pub(crate) const HELD_STATES: usize = 4_096;

/// Blocks of an answer about waits, and of the fairness page, where no number is given: four minutes at a block a second.
pub(crate) const WAIT_BLOCKS: u32 = 256;
/// Waits told by the node are shown for so long: reading them is the dearest thing that a node is asked for.
pub(crate) const WAITS_AGE: Duration = Duration::from_secs(1);

/// Between two passes over what is not settled.
pub(crate) const SWEEP_EVERY: Duration = Duration::from_secs(2);
/// Transactions of one page of a pass.
pub(crate) const SWEEP_PAGE: usize = 512;
/// Calls to the node at once during a pass.
pub(crate) const SWEEP_CALLS: usize = 16;
/// On an open chain nothing is ever final: a transaction this many blocks deep is not followed any longer.
pub(crate) const OPEN_CHAIN_SETTLED: u64 = 100;
/// First wait before the node is tried again, doubled up to [`RECONNECT_MOST`].
pub(crate) const RECONNECT_LEAST: Duration = Duration::from_millis(250);
/// Longest wait before the node is tried again.
pub(crate) const RECONNECT_MOST: Duration = Duration::from_secs(4);
/// How long a start waits for the first connection to the node.
pub(crate) const FIRST_CONTACT: Duration = Duration::from_secs(3);
/// How often what the histograms of the metrics were told is summed up; until then every value is kept.
pub(crate) const SUM_METRICS: Duration = Duration::from_secs(5);

/// Devices of a gateway. Anybody may enrol one, so without it strangers fill the index.
pub(crate) const MAX_DEVICES: usize = 4_096;
/// Segments of one device whose transactions are not final: at a segment a minute, five days of a chain that stands.
pub(crate) const MAX_DEVICE_WAITING: usize = 8_192;
/// The same of all devices: each is asked for with every block.
pub(crate) const MAX_WAITING: usize = 65_536;
/// Sealed bytes of one device: at 100 Hz more than ten years.
pub(crate) const MAX_DEVICE_BYTES: u64 = 16 << 30;
/// Segments of one request.
pub(crate) const MAX_SEGMENTS: usize = 256;
/// Bytes of a request with segments, in hex: held in memory about three times over.
pub(crate) const MAX_READINGS_BYTES: usize = 16 << 20;
/// Sealed bytes of one segment: 2^20 readings of four bytes.
pub(crate) const MAX_SEALED_BYTES: usize = 4 << 20;
/// Readings of a request that come with keys: they are unpacked to be checked.
pub(crate) const MAX_READINGS: u64 = 4 << 20;
/// Segments of one listing: a year of five-minute segments.
pub(crate) const MAX_SEGMENTS_LISTED: usize = 110_000;
/// Gaps of one listing.
pub(crate) const MAX_GAPS: usize = 1_000;
/// Segments of a listing whose state the node is asked for.
pub(crate) const LIVE_STATES: usize = 256;
/// About how many bytes of readings go into one answer: it is made in memory.
pub(crate) const MAX_EXPORT_BYTES: usize = 128 << 20;
/// How far ahead of this clock a transaction's claimed time may be, ms: the node refuses more for now, and it would wait
/// in the queue until then.
pub(crate) const MAX_AHEAD_MS: u64 = 60_000;
/// Links of a gateway. Only who holds a record and a device that are here can make one.
pub(crate) const MAX_LINKS: usize = 65_536;
/// Links that are not final: each is looked at in every step of the outbox.
pub(crate) const MAX_LINKS_OPEN: usize = 2_048;
/// Longest `--link-window`, seconds: a week. A link that takes longer is one that nobody waits for.
pub(crate) const MAX_LINK_WINDOW: u64 = 7 * 24 * 3_600;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_fit_each_other() {
        const { assert!(MAX_RECORD_BYTES <= MAX_UPLOAD_BYTES && MAX_UPLOAD_BYTES < MAX_DRAINED_BYTES) };
        const { assert!(MAX_RECORD_BYTES <= blockhie_emr::publish::MAX_RECORD_BYTES) };
        const { assert!(2 * MAX_SEALED_BYTES < MAX_READINGS_BYTES && MAX_READINGS_BYTES < MAX_DRAINED_BYTES) };
        const { assert!(MAX_DEVICE_WAITING < MAX_WAITING) };
        const { assert!(EVENT_BLOCKS <= HELD_BLOCKS && PAGE_BLOCKS <= HELD_BLOCKS) };
        const { assert!(HELD_BLOCKS <= MAX_BLOCKS as usize && MAX_BLOCKS <= blockhie_transport::limits::MAX_HEADERS) };
        const { assert!(REQUESTS + EVENT_STREAMS + UPLOADS + PUBLIC_UPLOADS < CONNECTIONS) };
        const { assert!(WAIT_BLOCKS <= blockhie_transport::limits::MAX_WAIT_BLOCKS) };
        assert!(SUBMIT_TIME < REQUEST_TIME && REQUEST_TIME < UPLOAD_TIME);
        assert!(STOP_TIME + GIVE_UP_TIME < Duration::from_secs(10), "a clean stop takes less than 10 s");
    }
}
