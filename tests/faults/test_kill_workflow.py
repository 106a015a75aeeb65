"""kill -9 of a whole Snakemake with its jobs at random moments; unlocked and run again, the benchmark ends with the same bytes."""

import random
import shutil
import subprocess
from pathlib import Path

from cocoop import io
from cocoop.reporting.figures import WORDS
from tests.faults import workflow
from tests.faults.world import contents

KILLS, KILLS_IN_CI = 10, 2
SECONDS, SECONDS_IN_CI = (3.0, 20.0), (3.0, 10.0)  # Snakemake has begun, and is not yet done
MORE_SECONDS = 5.0  # on a busy machine, as long as no job has begun
OF_TIMES = ("cost", "report.html", "usage/", "logs/")  # files that say how long something took


def results(folder: Path) -> dict[str, str]:
    """Every finished file of results and data, but those that hold times, and the words of figures but those that say times."""
    found = {**contents(folder / "results"), **contents(folder / "data")}
    found |= {name: words_of(folder / "results" / name) for name in found if name.endswith(WORDS)}
    return {name: digest for name, digest in found.items() if not any(part in name for part in OF_TIMES)}


def words_of(path: Path) -> str:
    figures = io.read_json(path, "figures")["figures"]
    return io.identity({name: words for name, words in figures.items() if "cost" not in name})


def test_the_whole_group(world, benchmark, tmp_path, full, figures):
    source, whole, number = random.Random("snakemake"), results(benchmark), 0
    folder, ran = tmp_path / "here", 0
    shortest, longest = SECONDS if full else SECONDS_IN_CI
    while number < (KILLS if full else KILLS_IN_CI) or not ran:
        if not folder.exists():
            workflow.folder_of(world, folder)
        running = workflow.start(folder, "--rerun-incomplete", cores=2)
        try:
            running.communicate(timeout=source.uniform(shortest, longest))
        except subprocess.TimeoutExpired:
            workflow.killed(running)
            number, ran = number + 1, ran + any((folder / "results/logs").rglob("*.log"))
            longest += 0.0 if ran else MORE_SECONDS
            workflow.unlock(folder)
            continue
        assert running.returncode == 0, workflow.logs(folder)
        assert results(folder) == whole
        shutil.rmtree(folder)
    if folder.exists():
        workflow.finish(folder, "--rerun-incomplete")
        assert results(folder) == whole
    figures.add("kill -9 of Snakemake and all its jobs", "unlocked and run again: the same bytes at the end", number)
