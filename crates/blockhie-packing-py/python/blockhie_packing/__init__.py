"""Fairness packing: Jain's index, exact k-th m-subset sums, waiting pools and policies."""

from ._native import (
    MAX_ALPHA,
    MAX_K,
    POLICY_NAMES,
    BestSubsets,
    PercentileBounds,
    Selection,
    SenderSummary,
    WaitingPool,
    WaitSummary,
    best_subsets,
    jain_index,
    kth_subset,
    percentile_bounds,
    sender_summary,
    wait_summary,
)

__all__ = [
    "MAX_ALPHA",
    "MAX_K",
    "POLICY_NAMES",
    "BestSubsets",
    "PercentileBounds",
    "Selection",
    "SenderSummary",
    "WaitingPool",
    "WaitSummary",
    "best_subsets",
    "jain_index",
    "kth_subset",
    "percentile_bounds",
    "sender_summary",
    "wait_summary",
]
