"""Measures the overhead of Slurm jobs: runs a small base-to-new experiment on a one-node Slurm that this script starts and stops.

    python benchmarks/slurm_overhead.py --jobs 1                  (needs slurmctld, slurmd and munge)
    python benchmarks/slurm_overhead.py --jobs 1 --no-forks       the same without the server that forks stages

Computing time is the time in loops over images and training steps, from the progress bars. Everything else is overhead: outside
the processes of the stages (Slurm, a start of Snakemake for the job and one for each stage) and inside them (Python, torch, files).
The last line is the wall time of the Snakemake that submits the jobs. It includes local stages, queueing and delayed status checks.
"""

import argparse
import json
import re
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

from tabulate import tabulate

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from tests.slurm.clone import BASE_TO_NEW, VARIANTS, Clone  # noqa: E402
from tests.slurm.cluster import GPUS, Cluster, missing  # noqa: E402

BAR_END = re.compile(r"100%\S* (\d+)/\d+ \[.*?([\d.]+)(s/)?\w+(?:/s)?\]")


def computing(log: Path) -> float:
    """Seconds in the loops of a stage, from the last line of each progress bar: items divided by items per second."""
    ends = BAR_END.findall(log.read_text(encoding="utf-8"))
    return sum(int(items) * float(pace) if inverse else int(items) / float(pace) for items, pace, inverse in ends)


def seconds(job: dict[str, str], since: str, until: str) -> float:
    return (datetime.fromisoformat(job[until]) - datetime.fromisoformat(job[since])).total_seconds()


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument(
        "--jobs", type=int, default=len(GPUS), help="jobs at a time; more than cores disturb each other"
    )
    parser.add_argument("--no-forks", action="store_true", help="forkserver: false")
    options = parser.parse_args()
    if programs := missing():
        raise SystemExit(f"error: not installed: {', '.join(programs)}; on Debian: apt-get install slurm-wlm munge")
    with Cluster() as cluster, tempfile.TemporaryDirectory() as folder:
        experiments = {"base_to_new": BASE_TO_NEW}
        content = {"variants": VARIANTS, "experiments": experiments, "forkserver": not options.no_forks}
        clone = Clone(Path(folder) / "clone", REPOSITORY, cluster, content)
        start = time.monotonic()
        if clone.snakemake("--jobs", str(options.jobs)).wait() != 0:
            raise SystemExit(clone.log())
        in_head = time.monotonic() - start
        results, jobs = clone.folder / "results", cluster.submitted(clone.folder)
        stages = [json.loads(path.read_text()) for path in results.glob("usage/**/*.json")]
        logs = [
            path
            for stage in ("features", "views", "train", "evaluate")
            for path in results.glob(f"logs/{stage}/**/*.log")
        ]
        in_slurm = sum(seconds(job, "StartTime", "EndTime") for job in jobs)
        in_stages = sum(stage["s"] for stage in stages)
        in_loops = sum(map(computing, logs))
    rows = [
        ["Slurm jobs, start to end", len(jobs), in_slurm],
        ["- Slurm and Snakemake", len(jobs), in_slurm - in_stages],
        ["- start of Python and torch, files", len(stages), in_stages - in_loops],
        ["- computing", len(stages), in_loops],
    ]
    rows = [[what, count, total, total / count, total / in_slurm] for what, count, total in rows]
    headers = ["", "jobs or stages", "seconds", "seconds each", "share"]
    print(tabulate(rows, headers, "github", floatfmt=("", "", ".1f", ".1f", ".0%")))
    print(f"\nWall time of Snakemake: {in_head:.1f} s, with up to {options.jobs} jobs at a time.")


if __name__ == "__main__":
    main()
