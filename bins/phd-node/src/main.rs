//! `phd-node`: a node of the PHD-Chain, where patients' devices publish proofs of sealed readings.

use blockhie_coupling::CouplingApp;
use blockhie_node::cli::{NodeKind, main as run};
use blockhie_node::core::{Application, ChainKind, Genesis, Router};
use blockhie_phd::PhdApp;
use std::process::ExitCode;
use std::sync::Arc;

fn application(genesis: &Genesis) -> Arc<dyn Application> {
    let router = Router::new(ChainKind::Phd)
        .route(16..=18, Box::new(PhdApp::new(genesis)))
        .route(32..=33, Box::new(CouplingApp::new(genesis)));
    Arc::new(router)
}

fn main() -> ExitCode {
    run(&NodeKind {
        name: "phd-node",
        about: "A node of the PHD-Chain: proofs of devices' sealed readings, ordered by proof of work",
        kind: ChainKind::Phd,
        // The implementation slide of the paper's talk; see docs/adr/0001.
        packing: "tp-fair",
        application,
    })
}
