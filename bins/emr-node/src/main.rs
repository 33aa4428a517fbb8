//! `emr-node`: a node of the EMR-Chain, where hospitals publish proofs of medical records.

use blockhie_coupling::CouplingApp;
use blockhie_emr::EmrApp;
use blockhie_node::cli::{NodeKind, main as run};
use blockhie_node::core::{Application, ChainKind, Genesis, Router};
use std::process::ExitCode;
use std::sync::Arc;

fn application(genesis: &Genesis) -> Arc<dyn Application> {
    let router =
        Router::new(ChainKind::Emr).route(1..=7, Box::new(EmrApp)).route(32..=33, Box::new(CouplingApp::new(genesis)));
    Arc::new(router)
}

fn main() -> ExitCode {
    run(&NodeKind {
        name: "emr-node",
        about: "A node of the EMR-Chain: proofs of medical records, ordered by proof of work",
        kind: ChainKind::Emr,
        // The implementation slide of the paper's talk; see docs/adr/0001.
        packing: "fair-first",
        application,
    })
}
