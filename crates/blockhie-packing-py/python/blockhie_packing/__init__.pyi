"""Waits are whole milliseconds from 0 to 2**64 - 1: lists, other iterables, or one-dimensional buffers such as numpy's.

NaN, infinity, fractions, negative numbers, and m, k or a name out of range raise ValueError; what is no number raises
TypeError.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, SupportsFloat, SupportsIndex, final

_Waits = Iterable[SupportsIndex | SupportsFloat]

MAX_K: int
"""The largest rank k of kth_subset."""
MAX_ALPHA: int
"""The largest exponent of wait-sampling."""
POLICY_NAMES: tuple[str, ...]
"""The names that WaitingPool.pick knows."""

@final
class Selection:
    """A subset of the waits given."""

    @property
    def indices(self) -> list[int]:
        """Positions, longest wait first; equal waits by smaller position."""
    @property
    def sum(self) -> int:
        """Sum of the waits selected, in milliseconds: exact, however large."""
    @property
    def rank(self) -> int:
        """The rank reached: k, or the number of subsets there are when exhausted."""
    @property
    def exhausted(self) -> bool:
        """There are fewer than k subsets, and this is the last."""
    def __eq__(self, other: object, /) -> bool: ...

@final
class BestSubsets(Iterator[Selection]):
    """Made by best_subsets."""

    def __iter__(self) -> BestSubsets: ...
    def __next__(self) -> Selection: ...

def kth_subset(waits: _Waits, m: int, k: int = 1, method: Literal["exact", "app"] = "exact") -> Selection:
    """The m-subset with the k-th largest sum, exactly or by APP-Kth-SUM; all waits if there are fewer than m."""

def best_subsets(waits: _Waits, m: int) -> BestSubsets:
    """The m-subsets one after the other, the largest sum first, to the last."""

def jain_index(waits: _Waits) -> float:
    """Jain's fairness index: 1/n to 1; 1 for no waits and for equal ones, zeros included."""

@final
class WaitSummary:
    """Waits summed up, in milliseconds."""

    @property
    def count(self) -> int: ...
    @property
    def p50(self) -> int: ...
    @property
    def p90(self) -> int: ...
    @property
    def p99(self) -> int: ...
    @property
    def max(self) -> int: ...
    @property
    def jain(self) -> float: ...

def wait_summary(ended: _Waits, pending: _Waits | None = None) -> WaitSummary:
    """Of waits that have ended, and of the waits so far of what still waits, which make percentiles lower bounds."""

@final
class PercentileBounds:
    """Between what a percentile lies once all have ended."""

    @property
    def at_least_ms(self) -> int: ...
    @property
    def at_most_ms(self) -> int | None:
        """None where nothing bounds it."""

def percentile_bounds(ended: _Waits, pending: _Waits, percent: int) -> PercentileBounds | None:
    """The bounds of a percentile (0 to 100) by nearest rank; None for no waits."""

@final
class SenderSummary:
    """How alike senders were served: each sender counts once, by its mean wait."""

    @property
    def senders(self) -> int: ...
    @property
    def jain_wait(self) -> float:
        """Jain's index of the mean waits."""
    @property
    def jain_count(self) -> float:
        """Jain's index of how many transactions of each were counted."""
    @property
    def p50_ms(self) -> int: ...
    @property
    def p90_ms(self) -> int: ...
    @property
    def max_ms(self) -> int: ...

def sender_summary(senders: Sequence[str], waits: _Waits) -> SenderSummary:
    """Of the sender and the wait of each transaction."""

@final
class WaitingPool:
    """Items that wait, ordered by (start of waiting, id)."""

    def __init__(self) -> None: ...
    def insert(self, id: str, since_ms: int, bytes: int = 1) -> bool:
        """Adds an item; False, and nothing is changed, if the id is there already."""
    def remove(self, id: str) -> bool:
        """Takes an item out; False if it was not there."""
    def __len__(self) -> int: ...
    def __contains__(self, id: str, /) -> bool: ...
    def items(self) -> list[tuple[str, int, int]]:
        """(id, since_ms, bytes) of all, oldest first."""
    def kth(self, now_ms: int, m: int, k: int = 1) -> tuple[list[str], int]:
        """The ids, oldest first, of the m items with the k-th largest sum of waits, and that sum."""
    def pick(
        self,
        policy: str,
        capacity: int,
        now_ms: int,
        *,
        bytes: int | None = None,
        node_index: int = 1,
        node_count: int = 1,
        parent: bytes | None = None,
        seed: int = 0,
        alpha: int | None = None,
    ) -> list[str]:
        """What a policy of POLICY_NAMES picks, oldest first; alpha goes with wait-sampling (3 if not given)."""
