//! The PHD-Chain: devices and sealed segments of readings.
