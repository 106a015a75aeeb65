"""Training steps of CoCoOp: launched one operation after another, and replayed."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import torch

from cocoop.bench import sides, timing
from cocoop.bench.cases import Case
from cocoop.bench.run import difference
from cocoop.bench.sides import SEED, Work
from cocoop.text.text_encoder import TextEncoder

WARM_UP = 3  # steps; CUDA graphs are recorded in them


@dataclass(frozen=True)
class Step:
    """Median seconds of a step in both ways; why the second is missing, or the relative difference of the results."""

    case: Case
    launched: float
    replayed: float | None
    difference: float | None
    note: str = ""


def measure(case: Case, geometry: Mapping[str, int], device: str, repeats: int) -> Step:
    """Both ways with the same inputs."""
    text = sides.sides(device, geometry, case.precision)["fast"]
    launched, again = _work(case, text), replayed(case, text, device)
    expected = launched.outcome()
    try:
        differs = difference(expected, again.outcome())
        seconds = _seconds(again, device, repeats)
    except Exception as error:  # whatever a compiler says; the other figures are still wanted
        return Step(case, _seconds(launched, device, repeats), None, None, str(error).strip().splitlines()[0])
    return Step(case, _seconds(launched, device, repeats), seconds, differs)


def replayed(case: Case, text: TextEncoder, device: str) -> Work:
    """A step as a training replays it.

    The switch of the training loop for replayed steps goes here. Until there is one, torch.compile records the prompt encoder,
    forward and backward, with CUDA graphs. On a CPU it records but compiles nothing, which would take minutes.
    """
    how = {"mode": "reduce-overhead"} if device == "cuda" else {"backend": "aot_eager"}

    def encoder(prompts: Any) -> Any:
        return torch.compile(text.encoder(prompts), **how)

    return _work(case, replace(text, encoder=encoder))


def _work(case: Case, text: TextEncoder) -> Work:
    return sides.work(case, text, range(SEED, SEED + case.seeds))


def _seconds(work: Work, device: str, repeats: int) -> float:
    for _ in range(WARM_UP):
        work.run()
    return median(timing.seconds(work.run, device) for _ in range(repeats))
