//! Benchmarks, each beside its ceiling.
