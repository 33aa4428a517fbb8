//! Fairness packing: Jain's index, exact k-th largest m-subset sums, FAIR-FIRST and TP&FAIR.
