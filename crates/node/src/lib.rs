//! The node driver: one engine thread, miners, gRPC and metrics.
