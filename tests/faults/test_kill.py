"""kill -9 at random points of every stage, each followed by a run to the end: the bytes of an undisturbed run, no half file."""

import hashlib
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from cocoop import io
from tests.faults import processes
from tests.faults.world import STAGES, archive, contents, dataset_of

KILLS, KILLS_IN_CI = 50, 2
MOST_IN_A_ROW = 5  # kills of one folder before it starts anew
PIECE = 8192  # bytes that the slow server sends at a time
MEMBERS = 1000

Line = Callable[[Path], list[str]]  # a stage's command line, for the folder it writes below


@pytest.fixture
def killed(tmp_path, full, figures):
    """Kills what a command line runs many times, continues a copy to the end each time, and compares.

    hit: whether a kill has fallen where it should; on a busy machine more are needed.
    """

    def kill(
        name: str,
        line: Line,
        prepare: Callable[[Path], None] = Path.mkdir,
        folder: Path | None = None,
        hit: Callable[[], bool] = lambda: True,
    ) -> None:
        whole, length = _finished(line, _prepared(tmp_path / "undisturbed", prepare), folder)
        source, out, copy = random.Random(name), tmp_path / "out", tmp_path / "copy"
        enough = KILLS if full else KILLS_IN_CI
        for number in range(10 * enough):
            if number >= enough and hit():
                break
            if number % MOST_IN_A_ROW == 0:
                _prepared(out, prepare)
            _kill_once(line, out, prepare, folder, lambda: source.uniform(0.0, length), whole)
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(out, copy, symlinks=True)
            assert _finished(line, copy, folder)[0] == whole
            figures.add(f"kill -9 during {name}", "no half file, the same bytes after a restart")

    return kill


@pytest.mark.parametrize("stage", [stage for stage in (*STAGES, "paired", "figures") if stage != "download"])
def test_a_stage(stage, killed, world, made):
    killed(stage, lambda out: world.arguments(stage, out, made))


def test_report(killed, benchmark):
    results, data = benchmark / "results", benchmark / "data"
    experiment = next(results.glob("experiments/flags/experiment-*.json"))
    lists = {"metrics": results.rglob("metrics.json"), "manifests": results.rglob("manifest.json")}
    (metrics := benchmark.parent / "metrics.txt").write_text("\n".join(map(str, lists["metrics"])))
    inputs = ["--results", results, "--experiments", experiment, "--data-root", data, "--metrics", metrics]
    inputs += ["--manifests", *lists["manifests"]]
    killed("report", lambda out: [*map(str, ["report", *inputs, "--out", out / "report.html"])], folder=benchmark)


def test_transfer(killed, served):
    """A slow server, so that kills fall between the pieces; the parts are continued where they end."""
    content = archive()
    url = served.put("/slow/flags.tar", content, f"slow:{PIECE}")
    line = _download(url, content)
    before = len(served.log)

    def continued() -> bool:
        starts = [int(wanted[6:-1]) for path, wanted in served.log[before:] if path == "/slow/flags.tar" and wanted]
        return any(0 < start < len(content) for start in starts)

    killed("download: transfer", line, hit=continued)
    assert continued()


def test_extraction(killed, served):
    """The archive has come already; what takes time is its many members."""
    content = archive(MEMBERS)
    url = served.put("/many/flags.tar", content)

    def prepare(folder: Path) -> None:
        part = folder / "data/flags/.download" / f"flags.tar.{hashlib.sha256(url.encode()).hexdigest()[:8]}.part"
        part.parent.mkdir(parents=True)
        part.write_bytes(content)
        part.with_name(f"{part.name}.validator").write_text('"one"')

    before = len(served.log)
    killed("download: extraction", _download(url, content), prepare)
    assert served.log[before][1] == f"bytes={len(content)}-"  # the part that lay there was taken


def _download(url: str, content: bytes) -> Line:
    settings = {"name": "flags", "settings": dataset_of(url, hashlib.sha256(content).hexdigest())}
    text = io.canonical_json(settings)
    return lambda out: [
        "download", "--dataset", text, "--data-root", str(out / "data"), "--out", str(out / "source.json"),
    ]  # fmt: skip


def _kill_once(line: Line, out: Path, prepare, folder: Path | None, moment: Callable[[], float], whole: dict) -> None:
    """Starts the stage until one start is killed before its end; what lies there then is whole or not there."""
    while True:
        ended = processes.Stage(line(out), out.with_suffix(".log"), folder=folder).kill_after(moment())
        found = contents(out)
        assert {name: whole.get(name) for name in found} == found
        if ended.code == -9:
            return
        assert ended.code == 0, ended.text
        _prepared(out, prepare)


def _prepared(out: Path, prepare: Callable[[Path], None]) -> Path:
    shutil.rmtree(out, ignore_errors=True)
    prepare(out)
    return out


def _finished(line: Line, out: Path, folder: Path | None) -> tuple[dict[str, str], float]:
    """What an undisturbed run leaves, and the seconds it takes."""
    ended = processes.run(line(out), out.with_suffix(".log"), folder=folder)
    assert ended.code == 0, ended.text
    return contents(out), ended.seconds
