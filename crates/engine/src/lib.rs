//! The sans-IO node engine: peers, sync, relay, and when to mine.
