"""What fits its own classes only, tested by hand on as many others: one line, and no plausible accuracy."""

import json
from dataclasses import replace

import pytest

from cocoop.run import Run
from tests.faults import processes
from tests.runs import evaluation_of, run_of

SAME = ("backbone", "dataset", "data", "subset", "templates", "views", "shots", "seeds")


def bound(world, kind: str) -> Run:
    """The world's run, class-bound."""
    if kind == "linear probe":
        return run_of("linear_probe", **{key: getattr(world.run, key) for key in SAME})
    return replace(world.run, params={**world.run.params, "csc": True})


@pytest.mark.parametrize("kind", ["class-specific contexts", "linear probe"])
def test_the_other_half_of_a_dataset(kind, world, made, tmp_path, figures):
    """Two base classes and two new ones: equal numbers, equal shapes."""
    trained = bound(world, kind)

    def run(stage: str, **changes: str) -> processes.Ended:
        arguments = world.arguments(stage, tmp_path, made)
        for option, value in changes.items():
            arguments[arguments.index(f"--{option}") + 1] = value
        return processes.run(arguments, tmp_path / "log")

    ended = run("train", run=trained.to_json())
    assert ended.code == 0, ended.text
    learned = str(tmp_path / "run/learned.safetensors")
    ended = run("evaluate", learned=learned, evaluation=evaluation_of(trained, "base").to_json())
    assert ended.code == 0, ended.text
    records = json.loads((tmp_path / "test/metrics.json").read_text())["records"]
    assert {len(record["classes"]) for record in records} == {2}
    new, other = evaluation_of(trained, "new").to_json(), tmp_path / "other"
    ended = run("evaluate", learned=learned, evaluation=new, out=str(other))
    assert ended.code == 2 and not (tmp_path / "other").exists(), ended.text
    line = ended.text.strip().splitlines()[-1]
    assert line.startswith(f"error: {learned}: evaluate ") and "on flags/new" in line and "Traceback" not in ended.text
    assert (
        f"{kind} of 2 classes cannot classify 2 others; the first that differs: 'blue flag', learned was 'red flag'"
        in line
    )
    figures.add("learned prompts for other class names", "refused in one line")
