//! Whole networks of nodes on a virtual clock: the very engine, ledger and policies that the nodes run, under a driver
//! of their own with the same semantics, over a simulated network and stores that fail when they are told to.
//!
//! A run follows from its seed and the code: one thread, one queue of events, no clock, no socket. `docs/simulation.md`
//! says what goes wrong in a run, what is checked, and how a failure is replayed.

pub mod app;
pub mod attacks;
pub mod chaos;
mod check;
pub mod faults;
pub mod paper;
pub mod planted;
pub mod rng;
pub mod setup;
pub mod store;
mod walk;
pub mod world;

pub use chaos::{Outcome, run_seed};
pub use planted::Bug;
pub use setup::{Choice, Setup};
pub use world::{Tally, Violation, World};
