"""What fits its own classes only, tested by hand on as many others: one line, and no plausible accuracy."""

import json

import pytest

from cocoop import io
from tests.faults import processes

PROBE = {
    "implementation": "cocoop.methods.linear_probe:LinearProbe", "variant": "linear_probe", "method": "linear_probe",
    "label": "Linear probe", "training": None, "params": {"C": 0.316, "iterations": 100},
}  # fmt: skip


def bound(world, kind: str) -> dict:
    """The world's runs, class-bound."""
    if kind == "linear probe":
        return {**world.settings, **PROBE}
    return {**world.settings, "params": {**world.settings["params"], "csc": True}}


@pytest.mark.parametrize("kind", ["class-specific contexts", "linear probe"])
def test_the_other_half_of_a_dataset(kind, world, made, tmp_path, figures):
    """Two base classes and two new ones: equal numbers, equal shapes."""
    settings = io.canonical_json(bound(world, kind))

    def run(stage: str, **changes: str) -> processes.Ended:
        arguments = world.arguments(stage, tmp_path, made)
        for option, value in {"settings": settings, **changes}.items():
            arguments[arguments.index(f"--{option}") + 1] = value
        return processes.run(arguments, tmp_path / "log")

    ended = run("train")
    assert ended.code == 0, ended.text
    learned = str(tmp_path / "run/learned.safetensors")
    ended = run("evaluate", learned=learned, subsets="base")
    assert ended.code == 0, ended.text
    records = json.loads((tmp_path / "test/metrics.json").read_text())["records"]
    assert {len(record["classes"]) for record in records} == {2}
    ended = run("evaluate", learned=learned, subsets="new", out=str(tmp_path / "other"))
    assert ended.code == 2 and not (tmp_path / "other").exists(), ended.text
    line = ended.text.strip().splitlines()[-1]
    assert line.startswith(f"error: {learned}: evaluate ") and "on flags/new" in line and "Traceback" not in ended.text
    assert (
        f"{kind} of 2 classes cannot classify 2 others; the first that differs: 'blue flag', learned was 'red flag'"
        in line
    )
    figures.add("learned prompts for other class names", "refused in one line")
