//! The built command, run as a person or a script runs it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking; helpers outside of #[test] do too")]

mod device;
mod device_gateway;
mod gateway;
mod link;
mod link_gateway;
mod load;
mod node;
mod publish;
mod readings;
mod run;
mod usage;
mod verify;
