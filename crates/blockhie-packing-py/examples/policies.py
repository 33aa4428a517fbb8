"""How the policies share out waiting, in a queue of one place: `python policies.py OUT [--blocks N] [--seed S]`.

Eight nodes take turns at random in making blocks of 60, from one pool which all of them see at once; transactions come
at random, 55 for each block in the mean, 110 during the second quarter, and 37 in the second half. There is no delay and no fork, so the policies
differ in nothing but whom they serve first: this shows fairness, not throughput. It is this script's own small
computation and no figure of the paper.

Writes OUT/policies.csv, OUT/waits.svg (share of transactions that waited longer) and OUT/subsets.svg (what the k-th
best subset gives up).
"""

import argparse
import csv
import hashlib
import pathlib
import random

import matplotlib
import numpy as np

import blockhie_packing as packing

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402: after the choice of a backend that needs no display

NODES, CAPACITY, BLOCK_MS = 8, 60, 1_000


def run(policy, blocks, seed):
    """The waits that ended, those that did not, and the sender of each that did."""
    rng = random.Random(seed)  # the same arrivals and the same makers for each policy
    pool, starts, senders = packing.WaitingPool(), {}, {}
    ended, by_whom = [], []
    for block in range(blocks):
        now = (block + 1) * BLOCK_MS
        rate = [55, 110, 37, 37][min(4 * block // blocks, 3)]
        for _ in range(np.random.default_rng([seed, block]).poisson(rate)):
            name = hashlib.sha256(str((seed, len(starts))).encode()).hexdigest()
            starts[name] = now - rng.randrange(BLOCK_MS)
            # A tenth of the senders send half of it.
            senders[name] = f"sender {rng.randrange(4) if rng.random() < 0.5 else rng.randrange(4, 40)}"
            pool.insert(name, starts[name])
        parent = hashlib.sha256(str((seed, block)).encode()).digest()
        maker = rng.randrange(NODES) + 1
        picked = pool.pick(
            policy, CAPACITY, now, node_index=maker, node_count=NODES, parent=parent, seed=seed
        )
        for name in picked:
            pool.remove(name)
            ended.append(now - starts[name])
            by_whom.append(senders[name])
    pending = [blocks * BLOCK_MS - since for _, since, _ in pool.items()]
    return ended, pending, by_whom


def table(out, results):
    """One line for each policy."""
    columns = ["policy", "ended", "pending", "jain", "p50_ms", "p90_ms", "p99_ms", "max_ms", "jain_of_senders"]
    with open(out / "policies.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for name, (ended, pending, by_whom) in results.items():
            waits = packing.wait_summary(ended, pending)
            senders = packing.sender_summary(by_whom, ended)
            row = [name, len(ended), len(pending), f"{waits.jain:.3f}", waits.p50, waits.p90, waits.p99, waits.max]
            row.append(f"{senders.jain_wait:.3f}")
            writer.writerow(row)
            print("  ".join(f"{column}={cell}" for column, cell in zip(columns, row)))


def plot_waits(out, results):
    """Which share of the transactions waited longer than so long; the pending ones at what they reached."""
    figure, axes = pyplot.subplots(figsize=(7, 4.5))
    for name, (ended, pending, _) in results.items():
        waits = np.sort(np.array(ended + pending)) / 1_000
        axes.step(waits, 1 - np.arange(1, len(waits) + 1) / len(waits), where="post", label=name)
    axes.set(xlabel="wait (s)", ylabel="share that waited longer", yscale="log", ylim=(1e-4, 1))
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(out / "waits.svg", bbox_inches="tight")


def plot_subsets(out, seed):
    """How much of the largest sum the k-th subset gives up, exact and by APP-Kth-SUM."""
    waits = np.random.default_rng(seed).exponential(30_000, 2_000).astype("int64")
    figure, axes = pyplot.subplots(figsize=(7, 4.5))
    ranks = range(2, 60)
    for method, style in [("exact", "-"), ("app", "--")]:
        for m in (15, 60, 240):
            best = packing.kth_subset(waits, m).sum
            lost = [1 - packing.kth_subset(waits, m, k, method=method).sum / best for k in ranks]
            axes.plot(ranks, lost, style, label=f"{method}, m = {m}")
    axes.set(xlabel="k", ylabel="share of the largest sum given up", yscale="log")
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(out / "subsets.svg", bbox_inches="tight")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=pathlib.Path, help="folder for the table and the plots")
    parser.add_argument("--blocks", type=int, default=600)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    results = {name: run(name, arguments.blocks, arguments.seed) for name in packing.POLICY_NAMES}
    table(arguments.out, results)
    plot_waits(arguments.out, results)
    plot_subsets(arguments.out, arguments.seed)


if __name__ == "__main__":
    main()
