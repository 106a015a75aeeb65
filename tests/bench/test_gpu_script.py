"""benchmarks/gpu.py in its smallest form: one table with every part, and a file that `plan` reads like that of `bench`."""

import sys

import pytest

from cocoop import io
from cocoop.bench import run, starts
from cocoop.planning.cost.throughput import Throughput
from cocoop.training import replay
from tests.training.test_replay import in_place

STARTS = {starts.OWN: starts.Seconds(6.0, 6.1), starts.FORK: starts.Seconds(0.3, 0.3)}


def replaying_on_the_cpu(monkeypatch):
    """With a stand-in for a CUDA graph."""
    monkeypatch.setattr(replay, "possible", lambda *_: True)
    monkeypatch.setattr(replay.Replayed.__init__, "__defaults__", (in_place,))


@pytest.mark.slow
def test_table_and_file(monkeypatch, tmp_path, capsys):
    monkeypatch.syspath_prepend(str(io.REPOSITORY / "benchmarks"))
    import gpu

    monkeypatch.setattr(run, "peak_mb", lambda case, side, *_: {"literal": 20.0, "fast": 2.0}[side])
    monkeypatch.setattr(starts, "measure", lambda: STARTS)
    replaying_on_the_cpu(monkeypatch)
    out = tmp_path / "gpu.json"
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--small", "--json", str(out), "--workers", "1"])
    gpu.main()

    head, line, *rows = capsys.readouterr().out.splitlines()
    cells = [[cell.strip() for cell in row.split("|")[1:-1]] for row in (head, *rows)]
    assert head.startswith(f"| {run.where('cpu')}") and line.startswith("|:--")
    assert {len(row) for row in cells} == {3}
    assert [name for name, _, _ in cells[1:]] == [
        "cocoop train, 5 classes, batch 1, fp32", "cocoop train, 5 classes, batch 1, fp32, 3 seeds",
        "cocoop evaluate, 5 classes, batch 4, fp32", "cocoop evaluate, 5 classes, batch 4, fp32, 3 seeds",
        "cocoop train, 5 classes, batch 1, fp32, replayed", "cocoop train, 5 classes, batch 1, fp32, 3 seeds, replayed",
        "images a second, test pictures", "images a second, training views, 2 of a picture",
        "Table 1 in small, from start to end", "Table 1 in small, peak memory of a training", starts.OWN, starts.FORK,
    ]  # fmt: skip
    assert all(
        value[0].isdigit() and float(value.split()[0].rstrip(",").replace(",", "")) > 0 for _, value, _ in cells[1:]
    )
    assert cells[1][2].endswith("1/10.0 of its memory")
    assert all("results differ by" in about for _, _, about in cells[5:7])

    content = io.read_json(out, "bench")
    assert (
        content["table1"]["jobs"] == 1 + 2 + 2 + 3
    )  # test features, both trainings and their views, tests of three variants
    assert set(content["table1"]["stages"]) == {"features", "views", "train", "evaluate"}
    assert {row["seeds"] for row in content["rows"]} == {1} and {row["seeds"] for row in content["together"]} == {3}
    assert all(rate["together"] > 0 for rate in content["overlap"])
    assert Throughput(out, "fp32").curves["fast"].keys() == {(m, w) for m in ("cocoop", "coop") for w in run.PASSES}


@pytest.mark.parametrize("replays", [True, False])
def test_a_step_that_replays_is_measured_beside_one_that_does_not(monkeypatch, replays):
    monkeypatch.syspath_prepend(str(io.REPOSITORY / "benchmarks"))
    from on_gpu import steps

    from cocoop.bench.cases import Case

    if replays:
        replaying_on_the_cpu(monkeypatch)
    geometry = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2, "output_dim": 32}
    step = steps.measure(Case("cocoop", "train", 2, 1), geometry, "cpu", repeats=1)
    assert step.launched > 0
    if replays:
        assert step.replayed > 0 and step.difference == 0 and not step.note
    else:
        assert (step.replayed, step.difference, step.note) == (None, None, "only a GPU replays")
