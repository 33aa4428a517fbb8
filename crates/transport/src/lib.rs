//! gRPC between nodes and for clients: the frozen contract and blockhie.v1.
