"""Draws an evaluation of `blockhie-sim paper`: `python evaluation.py FOLDER OUT`.

FOLDER is what `--out` of the simulator was: runs.csv (a line a run), overlap.csv (how alike concurrent blocks were over
time) and summary.json (means with 95 % intervals over seeds). Writes OUT/evaluation.svg (throughput, Jain's index and
waits of each policy and ledger), OUT/fairness.svg (each run: Jain's index against the 99th percentile of the waits) and
OUT/overlap.svg, and prints the means. Only drawing needs matplotlib, and nothing here needs the packing crate: what
runs.csv holds may as well be read into a data frame.
"""

import argparse
import csv
import json
import pathlib
from collections import defaultdict

LEDGERS = {"plain": "#4477aa", "merged": "#ee6677"}
PANELS = [
    ("throughput_tps", "committed, tx/s", 1, "linear"),
    ("stale_share", "blocks not on the best chain", 1, "linear"),
    ("duplicate_share", "places that repeat a transaction", 1, "linear"),
    ("jain_censored", "Jain's index, pending waits so far", 1, "linear"),
    ("p50_ms", "median wait, s", 1e-3, "log"),
    ("p90_ms", "p90 of the waits, s", 1e-3, "log"),
    ("p99_ms", "p99 of the waits, s", 1e-3, "log"),
    ("max_ms", "longest wait, s", 1e-3, "log"),
]


def number(text):
    """A cell of the tables: an int, a float, None where it is empty, or else the text."""
    if text == "":
        return None
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def table(path):
    """The lines of a CSV file as dictionaries."""
    with open(path, newline="", encoding="utf-8") as file:
        return [{column: number(cell) for column, cell in line.items()} for line in csv.DictReader(file)]


def read(folder):
    """Runs, steps of overlap, summary."""
    folder = pathlib.Path(folder)
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    return table(folder / "runs.csv"), table(folder / "overlap.csv"), summary


def means(runs, column):
    """The mean of a column over seeds, by ledger and policy."""
    cells = defaultdict(list)
    for run in runs:
        cells[run["ledger"], run["policy"]].append(run[column])
    return {group: sum(values) / len(values) for group, values in cells.items()}


def overlap_over_time(steps):
    """By ledger and policy: (seconds, overlap) of all seeds together, each step weighed by its pairs of blocks."""
    sums = defaultdict(lambda: [0.0, 0])
    for step in steps:
        entry = sums[step["ledger"], step["policy"], step["at_s"]]
        entry[0] += step["overlap"] * step["pairs"]
        entry[1] += step["pairs"]
    lines = defaultdict(list)
    for (ledger, policy, at_s), (overlap, pairs) in sorted(sums.items()):
        lines[ledger, policy].append((at_s, overlap / pairs))
    return dict(lines)


def title(config):
    """What was run."""
    seconds = [config["interval_ms"] / 1_000, config["delay_ms"] / 1_000]
    seeds = config["seeds"]["end"] - config["seeds"]["start"]
    return (
        f"{config['nodes']} nodes × {config['rate']:g} tx/s, T {seconds[0]:g} s, d {seconds[1]:g} s, "
        f"m {config['capacity']}; mean and 95 % of {seeds} seeds"
    )


def draw_means(pyplot, out, summary):
    """A mark and an interval for each policy and ledger."""
    config = summary["config"]
    policies = config["policies"]
    figure, panels = pyplot.subplots(2, 4, figsize=(15, 1.5 + 0.8 * len(policies)), sharey=True)
    for (metric, label, scale, axis), axes in zip(PANELS, panels.flat):
        for at, ledger in enumerate(config["ledgers"]):
            groups = [group for group in summary["groups"] if group["ledger"] == ledger]
            cells = [group["means"][metric] for group in groups]
            axes.errorbar(
                [cell["mean"] * scale for cell in cells],
                [policies.index(group["policy"]) + 0.25 * at for group in groups],
                xerr=[(cell["half_width"] or 0) * scale for cell in cells],
                fmt="o",
                capsize=3,
                color=LEDGERS[ledger],
                label=ledger,
            )
        axes.set(xlabel=label, xscale=axis, yticks=range(len(policies)), yticklabels=policies)
        axes.grid(alpha=0.3)
    panels[0][0].invert_yaxis()
    panels[0][0].legend()
    figure.suptitle(title(config))
    figure.tight_layout()
    figure.savefig(out / "evaluation.svg")


def draw_fairness(pyplot, out, runs, config):
    """Jain's index alone misleads: beside it how long the slowest hundredth waits."""
    figure, panels = pyplot.subplots(1, len(config["ledgers"]), figsize=(11, 4.5), squeeze=False, sharey=True)
    for ledger, axes in zip(config["ledgers"], panels[0]):
        for policy in config["policies"]:
            of = [run for run in runs if run["ledger"] == ledger and run["policy"] == policy]
            axes.plot([run["p99_ms"] / 1_000 for run in of], [run["jain_censored"] for run in of], "o", label=policy)
        axes.set(xlabel="p99 of the waits, s", xscale="log", ylim=(0, 1), title=ledger)
        axes.grid(alpha=0.3)
    panels[0][0].set_ylabel("Jain's index")
    panels[0][-1].legend()
    figure.suptitle(title(config))
    figure.tight_layout()
    figure.savefig(out / "fairness.svg")


def draw_overlap(pyplot, out, steps, config):
    """How alike concurrent blocks are."""
    figure, panels = pyplot.subplots(len(config["ledgers"]), 1, figsize=(9, 7), squeeze=False, sharex=True)
    lines = overlap_over_time(steps)
    for ledger, axes in zip(config["ledgers"], panels[:, 0]):
        for policy in config["policies"]:
            points = lines.get((ledger, policy), [])
            axes.plot([at_s for at_s, _ in points], [overlap for _, overlap in points], label=policy)
        axes.set(ylabel=f"overlap, {ledger}", ylim=(0, 1.05))
        axes.grid(alpha=0.3)
    panels[-1][0].set_xlabel("virtual time, s")
    panels[0][0].legend(loc="center left", bbox_to_anchor=(1, 0.5))
    figure.suptitle(title(config))
    figure.savefig(out / "overlap.svg", bbox_inches="tight")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path, help="what --out of the simulator was")
    parser.add_argument("out", type=pathlib.Path, help="folder for the plots")
    arguments = parser.parse_args()
    runs, steps, summary = read(arguments.folder)
    for group, tps in means(runs, "throughput_tps").items():
        jain, p99 = (means(runs, column)[group] for column in ("jain_censored", "p99_ms"))
        print(f"{group[0]:<7} {group[1]:<14} {tps:7.2f} tx/s  Jain {jain:.3f}  p99 {p99 / 1_000:.1f} s")

    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    arguments.out.mkdir(parents=True, exist_ok=True)
    draw_means(pyplot, arguments.out, summary)
    draw_fairness(pyplot, arguments.out, runs, summary["config"])
    draw_overlap(pyplot, arguments.out, steps, summary["config"])


if __name__ == "__main__":
    main()
