//! The coupling of the two chains: links and anchors.
