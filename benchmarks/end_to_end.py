"""Measures a whole benchmark of one method, from `snakemake` to the report: `python benchmarks/end_to_end.py [--before COMMIT]`.

The bundled tiny CLIP, digits, 16 shots, a fresh crop of every image in every epoch as in the paper, base and new classes, tables,
figures and report; for CoOp and CoCoOp with one seed, and for both with one and with three seeds. Prints the CPU seconds of all
processes together, which other work on the machine hardly changes, and the seconds that a user waits. With --before, the same with
the code of another commit, in turn.
"""

import argparse
import ctypes
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tabulate import tabulate

from cocoop import io

PR_SET_CHILD_SUBREAPER = (
    36  # of <sys/prctl.h>: processes whose parent has ended become ours, so that their CPU time counts
)
CASES = {
    "CoOp": (["coop"], [1]),
    "CoCoOp": (["cocoop"], [1]),
    "both": (["coop", "cocoop"], [1]),
    "both, three seeds": (["coop", "cocoop"], [1, 2, 3]),
}


def configuration(variants: list[str], seeds: list[int]) -> dict:
    experiment = {"base_to_new": {"train_datasets": ["digits"], "variants": variants}}
    return {"views": "per_epoch", "seeds": seeds, "device": "cpu", "experiments": [experiment]}


def measure(code: Path, variants: list[str], seeds: list[int], cores: int) -> tuple[float, float]:
    """CPU seconds of all processes and seconds of a run in a new folder with this code."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "mine.yaml").write_text(json.dumps(configuration(variants, seeds)))
        command = [
            sys.executable,
            "-m",
            "snakemake",
            "--snakefile",
            str(code / "workflow" / "Snakefile"),
            "--quiet",
            "all",
        ]
        command += ["--cores", str(cores), "--configfile", "mine.yaml"]
        before, start = _cpu(), time.perf_counter()
        environment = {**os.environ, "PYTHONPATH": str(code)}
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        seconds = time.perf_counter() - start
        if done.returncode:
            sys.exit(done.stderr[-4000:])
        _reap()
        return _cpu() - before, seconds


def _reap() -> None:
    """Waits for the processes that outlive Snakemake."""
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", help="a commit to compare with")
    parser.add_argument("--cores", type=int, default=2)
    given = parser.parse_args()
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    with tempfile.TemporaryDirectory() as folder:
        codes = {"now": io.REPOSITORY}
        if given.before:
            codes = {given.before: Path(folder, "before")} | codes
            subprocess.run(["git", "clone", "-q", io.REPOSITORY, codes[given.before]], check=True)
            subprocess.run(["git", "checkout", "-q", given.before], cwd=codes[given.before], check=True)
        rows = []
        for case, (variants, seeds) in CASES.items():
            for name, code in codes.items():
                cpu, seconds = measure(code, variants, seeds, given.cores)
                rows.append((case, name, cpu, seconds))
                print(f"{case}, {name}: {cpu:.1f} CPU s, {seconds:.1f} s", file=sys.stderr)
    print(tabulate(rows, ("run", "code", "CPU seconds", "seconds"), tablefmt="pipe", floatfmt=".1f"))


if __name__ == "__main__":
    main()
