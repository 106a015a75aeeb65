"""Training steps of CoCoOp: launched one operation after another, and replayed."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from cocoop.bench import sides, timing
from cocoop.bench.cases import Case
from cocoop.bench.run import difference
from cocoop.bench.sides import SEED, Work
from cocoop.text.text_encoder import TextEncoder
from cocoop.training.replay import Replayed

WARM_UP = 3  # steps


@dataclass(frozen=True)
class Step:
    """Median seconds of a step in both ways; why the second is missing, or the relative difference of the results."""

    case: Case
    launched: float
    replayed: float | None
    difference: float | None
    note: str = ""


def measure(case: Case, geometry: Mapping[str, int], device: str, repeats: int) -> Step:
    """Both ways with the same inputs; they differ in the second step, which is the first that is replayed."""
    text = sides.sides(device, geometry, case.precision)["fast"]
    launched, again = _work(case, text), _work(case, text)
    launched.run()
    again.run()
    again.trainer.replay_steps()
    differs = difference(launched.outcome(), again.outcome())
    seconds, step = _seconds(launched, device, repeats), again.trainer.gradients
    if not isinstance(step, Replayed) or step.given_up:
        return Step(case, seconds, None, None, "only a GPU replays" if device == "cpu" else "not possible, see the log")
    return Step(case, seconds, _seconds(again, device, repeats), differs)


def _work(case: Case, text: TextEncoder) -> Work:
    return sides.work(case, text, range(SEED, SEED + case.seeds))


def _seconds(work: Work, device: str, repeats: int) -> float:
    for _ in range(WARM_UP):
        work.run()
    return median(timing.seconds(work.run, device) for _ in range(repeats))
