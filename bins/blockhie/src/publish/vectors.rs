//! The chain of `docs/protocol/vectors.json`, for tests.

use blockhie_core::Hash32;
use blockhie_emr::Opening;
use serde_json::Value;

pub(crate) struct Vectors(Value);

impl Vectors {
    pub(crate) fn read() -> Self {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol/vectors.json");
        let all: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        Self(all["chain"].clone())
    }

    pub(crate) fn record(&self) -> Vec<u8> {
        hex::decode(self.0["record"].as_str().unwrap()).unwrap()
    }

    pub(crate) fn opening(&self) -> Opening {
        Opening::parse(self.0["opening"].as_str().unwrap().as_bytes()).unwrap()
    }

    pub(crate) fn receipt(&self, name: &str) -> String {
        self.0["receipts"][name].as_str().unwrap().to_owned()
    }

    pub(crate) fn commitment(&self) -> Hash32 {
        self.0["commitment"].as_str().unwrap().parse().unwrap()
    }
}
