//! The EMR-Chain: record commitments, the vault, the patient's copy and its checks.
