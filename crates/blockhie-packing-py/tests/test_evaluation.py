"""The script that draws evaluations reads what `blockhie-sim paper` writes. The tables in `evaluation` are those of
`blockhie-sim paper --nodes 3 --seconds 20 --warm-up 5 --seeds 0..2 --capacity 5 --interval 0.5 --delay 0.25
--policy fair-first --policy stripe`.
"""

import pathlib
import sys
import unittest

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "examples"))
import evaluation  # noqa: E402: the folder of the examples is no package


class Evaluation(unittest.TestCase):
    def setUp(self):
        self.runs, self.steps, self.summary = evaluation.read(HERE / "evaluation")

    def test_sums_are_consistent(self):
        self.assertEqual(len(self.runs), 8)
        for run in self.runs:
            self.assertEqual(run["offered"], run["committed"] + run["waiting"] + run["undecided"])

    def test_runs_of_a_seed_are_paired(self):
        by_seed = {(run["seed"], run["schedule"], run["arrivals"]) for run in self.runs}
        self.assertEqual(sorted(seed for seed, _, _ in by_seed), [0, 1])

    def test_means_are_those_of_the_summary(self):
        groups = {(group["ledger"], group["policy"]): group for group in self.summary["groups"]}
        for column in ("throughput_tps", "jain_censored", "p99_ms", "max_ms"):
            for group, mean in evaluation.means(self.runs, column).items():
                self.assertAlmostEqual(mean, groups[group]["means"][column]["mean"], places=4)

    def test_overlap_is_a_share_and_time_ascends(self):
        lines = evaluation.overlap_over_time(self.steps)
        self.assertEqual(set(lines), {(l, p) for l in ("plain", "merged") for p in ("fair-first", "stripe")})
        for line in lines.values():
            self.assertTrue(all(0 <= overlap <= 1 for _, overlap in line))
            self.assertEqual([at for at, _ in line], sorted({at for at, _ in line}))

    def test_empty_cells_are_none(self):
        self.assertEqual([evaluation.number(text) for text in ("", "7", "0.5", "x")], [None, 7, 0.5, "x"])


if __name__ == "__main__":
    unittest.main()
