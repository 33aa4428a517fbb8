//! The web gateway: records in, receipts and pages out.
//!
//! A record is sealed into the [vault](blockhie_emr::vault) together with its signed transaction before it is answered,
//! then submitted, and submitted again until the node has it: nothing accepted is lost, whenever the process ends.
//!
//! The table in `routes` lists every route with who may call it: what is not marked public needs the operator's token. Nothing of a
//! record (its bytes, its name, its opening) and no token gets into a log line, a metric or a URL.

mod access;
mod api;
mod app;
mod chain;
pub mod cli;
mod clock;
mod devices;
mod error;
mod fairness;
mod form;
mod gateway;
mod index;
mod limits;
mod links;
mod pages;
mod records;
mod routes;
mod server;
mod sweeper;
mod telemetry;
#[cfg(test)]
mod tests;
mod txview;
mod verify;
mod view;

pub use gateway::{Config, Gateway, StartError};
