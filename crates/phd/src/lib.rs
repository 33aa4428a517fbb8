//! The PHD-Chain: devices and sealed segments of readings.
//!
//! An owner enrols a device ([`enrol`]); the device cuts its recording into segments, encodes and seals each under a
//! key of its own and commits it ([`prepare_segment`]). The chain orders the segments of a device by sequence number
//! and never sees a reading. Who is handed data, opening and receipt of a segment checks them offline:
//! [`blockhie_core::receipt::verify_receipt`], then [`check_segment`], then [`Samples::decode`].
//!
//! Time is inside the seal: a node answers by device and sequence ([`state`]), by time only who holds the keys can.

pub mod app;
pub mod clock;
pub mod coverage;
pub mod decimal;
pub mod encoding;
pub mod formats;
pub mod opening;
pub mod payload;
pub mod place;
pub mod samples;
pub mod seal;
pub mod segment;
pub mod state;
pub mod verify;

#[cfg(test)]
mod tests;

pub use app::PhdApp;
pub use blockhie_core::Salt;
pub use clock::ClockForm;
pub use coverage::{Coverage, SeqRange};
pub use decimal::Decimal;
pub use opening::SegmentOpening;
pub use payload::Payload;
pub use place::{Place, segment_digest};
pub use samples::{CsvLayout, Samples, SamplesError, Timing};
pub use seal::{SealError, SegmentKey, seal, unseal};
pub use segment::{Carriage, PhdError, Segment, enrol, prepare_segment, retire};
pub use state::{DeviceRow, SegmentRow, device_of, segments_of};
pub use verify::check_segment;
