"""The module against brute force in plain Python, and what it refuses. Needs numpy."""

import array
import itertools
import math
import random
import unittest
from fractions import Fraction

import numpy as np

import blockhie_packing as packing

MOST = 2**64 - 1


def all_sums(waits, m):
    """The sums of all m-subsets, largest first."""
    return sorted((sum(chosen) for chosen in itertools.combinations(waits, m)), reverse=True)


def jain(waits):
    """Jain's index as an exact fraction."""
    squares = sum(wait * wait for wait in waits)
    return Fraction(sum(waits) ** 2, len(waits) * squares) if squares else Fraction(1)


class Subsets(unittest.TestCase):
    def test_every_rank_against_brute_force(self):
        rng = random.Random(1)
        for n in range(1, 10):
            for spread in (1, 3, 1_000, MOST):
                waits = [rng.randint(0, spread) for _ in range(n)]
                for m in range(1, n + 1):
                    expected = all_sums(waits, m)
                    subsets = list(packing.best_subsets(waits, m))
                    self.assertEqual([subset.sum for subset in subsets], expected)
                    self.assertEqual(len({tuple(subset.indices) for subset in subsets}), len(expected))
                    for k in {1, len(expected), rng.randint(1, len(expected))}:
                        self.assertEqual(packing.kth_subset(waits, m, k), subsets[k - 1])
                        self.assertEqual(sum(waits[at] for at in subsets[k - 1].indices), expected[k - 1])
                    beyond = packing.kth_subset(waits, m, len(expected) + 1)
                    self.assertTrue(beyond.exhausted and beyond.sum == expected[-1])

    def test_app_against_brute_force(self):
        rng = random.Random(2)
        for _ in range(300):
            n = rng.randint(1, 9)
            m, k = rng.randint(1, n), rng.randint(1, 40)
            waits = [rng.randint(0, 50) for _ in range(n)]
            reach = next((reach for reach in range(m, n) if math.comb(reach, m) >= k), n)
            sums = all_sums(sorted(waits, reverse=True)[:reach], m)
            self.assertEqual(packing.kth_subset(waits, m, k, method="app").sum, sums[min(k, len(sums)) - 1])

    def test_every_kind_of_number(self):
        waits = [900, 100, 500, 700]
        kinds = ["uint64", "int64", "uint32", "int32", "uint16", "int16", "uint8", "float64", "float32"]
        given = [np.array(waits).clip(0, 255).astype(kind) if kind == "uint8" else np.array(waits, kind) for kind in kinds]
        given += [waits, tuple(waits), (wait for wait in waits), [np.int64(wait) for wait in waits], array.array("Q", waits)]
        given += [np.array(waits * 2)[:4], np.array([w for wait in waits for w in (wait, 0)])[::2], [900.0, 100, 500, 700]]
        for one in given:
            expected = 510 if isinstance(one, np.ndarray) and one.dtype == "uint8" else 1_400
            self.assertEqual(packing.kth_subset(one, 2, 2).sum, expected)
        huge = packing.kth_subset(np.full(9, MOST, "uint64"), 5)
        self.assertEqual(huge.sum, 5 * MOST)

    def test_a_million(self):
        waits = np.random.default_rng(3).integers(0, 10**9, 1_000_000)
        best = packing.kth_subset(waits, 2_000)
        self.assertEqual(best.sum, int(np.sort(waits)[-2_000:].sum()))
        self.assertEqual(best.indices, list(np.argsort(-waits, kind="stable")[:2_000]))


class Measures(unittest.TestCase):
    def test_jain(self):
        rng = random.Random(4)
        for _ in range(200):
            waits = [rng.choice([0, rng.randint(0, 99), rng.randint(0, MOST)]) for _ in range(rng.randint(1, 40))]
            self.assertAlmostEqual(packing.jain_index(waits), float(jain(waits)), places=12)
        self.assertEqual([packing.jain_index(waits) for waits in ([], [0, 0], [MOST] * 3)], [1, 1, 1])

    def test_percentiles_and_senders(self):
        summary = packing.wait_summary([10, 20, 30], [40])
        self.assertEqual((summary.count, summary.p50, summary.p90, summary.p99, summary.max), (4, 20, 40, 40, 40))
        bounds = packing.percentile_bounds([10, 20, 30], [5], 50)
        self.assertEqual((bounds.at_least_ms, bounds.at_most_ms), (10, 20))
        self.assertIsNone(packing.percentile_bounds([10, 20, 30], [5], 90).at_most_ms)
        self.assertIsNone(packing.percentile_bounds([], [], 50))
        senders = packing.sender_summary(["a", "b", "a"], [10, 40, 20])
        self.assertEqual((senders.senders, senders.p50_ms, senders.max_ms), (2, 15, 40))
        self.assertAlmostEqual(senders.jain_wait, float(jain([15, 40])))


class Pool(unittest.TestCase):
    def setUp(self):
        self.pool = packing.WaitingPool()
        for at in range(200):
            self.assertTrue(self.pool.insert(f"{at:03}", at * 10, bytes=100))

    def test_order_and_updates(self):
        self.assertFalse(self.pool.insert("000", 7))
        self.assertEqual(self.pool.items()[:2], [("000", 0, 100), ("001", 10, 100)])
        self.assertTrue("000" in self.pool and self.pool.remove("000") and not self.pool.remove("000"))
        self.assertEqual((len(self.pool), self.pool.kth(2_000, 2)), (199, (["001", "002"], 1_990 + 1_980)))

    def test_every_policy_keeps_both_limits(self):
        for name in packing.POLICY_NAMES:
            picked = self.pool.pick(name, 20, 2_000, bytes=1_500, node_index=3, node_count=8, seed=5)
            self.assertEqual((len(picked), picked), (15, sorted(picked)), name)
            self.assertEqual(picked, self.pool.pick(name, 20, 2_000, bytes=1_500, node_index=3, node_count=8, seed=5))
        second, _ = self.pool.kth(2_000, 20, 2)
        self.assertEqual(self.pool.pick("tp-fair", 20, 2_000, node_index=2), second)
        self.assertEqual(self.pool.pick("wait-sampling", 300, 2_000, alpha=1), [f"{at:03}" for at in range(200)])

    def test_what_it_refuses(self):
        pick = self.pool.pick
        for call in [
            lambda: pick("fee-first", 20, 2_000),
            lambda: pick("fifo", -1, 2_000),
            lambda: pick("fifo", 1, -2),
            lambda: pick("fifo", 1, 2, bytes=-1),
            lambda: pick("fifo", 1, 2, parent=b"short"),
            lambda: pick("fifo", 1, 2, alpha=3),
            lambda: pick("wait-sampling", 1, 2, alpha=17),
            lambda: self.pool.insert("x", -1),
            lambda: self.pool.insert("x", 0, bytes=2**32),
            lambda: self.pool.kth(0, 0),
        ]:
            self.assertRaises(ValueError, call)
        self.assertEqual(len(self.pool), 200)


class BadInput(unittest.TestCase):
    def test_values_that_are_no_waits(self):
        bad = [math.nan, math.inf, -math.inf, -1, -0.5, 0.5, 2**64, 2.0**64, -(2**70)]
        for value in bad:
            for waits in ([1, value], np.array([1, value], object)):
                with self.assertRaisesRegex(ValueError, r"waits\[1\]: expected whole milliseconds"):
                    packing.jain_index(waits)
        for kind, value in [("float64", math.nan), ("float32", -1), ("int64", -1), ("int32", -1), ("float64", 1.5)]:
            with self.assertRaisesRegex(ValueError, r"waits\[1\]: expected whole milliseconds"):
                packing.kth_subset(np.array([1, value], kind), 1)
        with self.assertRaisesRegex(ValueError, "expected one dimension, got 2"):
            packing.jain_index(np.zeros((2, 2)))
        for waits in (["a"], [None], 7, [[1]]):
            self.assertRaises(TypeError, packing.jain_index, waits)

    def test_ranks_and_sizes_out_of_range(self):
        for m, k in [(0, 1), (-1, 1), (1, 0), (1, -1), (1, packing.MAX_K + 1), (2**70, 1), (1, 2**70)]:
            self.assertRaises(ValueError, packing.kth_subset, [1, 2], m, k)
        self.assertRaises(ValueError, packing.best_subsets, [1], 0)
        self.assertRaises(ValueError, packing.kth_subset, [1], 1, 1, "guess")
        self.assertRaises(TypeError, packing.kth_subset, [1], 1.5)
        self.assertRaises(ValueError, packing.percentile_bounds, [1], [], 101)
        self.assertRaises(ValueError, packing.sender_summary, ["a"], [1, 2])
        everything = packing.kth_subset([3, 1], 9, 4)
        self.assertEqual((everything.indices, everything.rank, everything.exhausted), ([0, 1], 1, True))


if __name__ == "__main__":
    unittest.main()
