"""The table in plain lines: how many times as fast as the reference each thing is, and how much less memory it needs."""

from collections.abc import Iterator, Mapping, Sequence

from cocoop.bench.table import Measured


def lines(measured: Sequence[Measured]) -> list[str]:
    """One line for steps, evaluations and memory of each method, precision and number of seeds; of batches, the smallest."""
    groups: dict[tuple[str, str, str, int], list[Measured]] = {}
    for m in measured:
        groups.setdefault((m.case.method, m.case.work, m.case.precision, m.case.seeds), []).append(m)
    return [line for group in groups.values() for line in _lines(group)]


def _lines(group: Sequence[Measured]) -> Iterator[str]:
    """Speed with the difference of the results, and memory; a line that nothing was measured for is left out."""
    smallest = min(m.case.batch for m in group)
    group = [m for m in group if m.case.batch == smallest]
    case, differences = group[0].case, [m.disagreement for m in group if m.disagreement is not None]
    work = "training step" if case.work == "train" else f"evaluation of {case.batch} images"
    what = f"{case.method} {work}, {case.precision}" + (f", {case.seeds} seeds together" if case.seeds > 1 else "")
    runs = "the reference" if case.seeds == 1 else f"{case.seeds} runs of the reference"
    if speeds := _by_classes("{:.1f}x", {m.case.classes: m.ratio() for m in group}):
        yield f"{what}: {speeds} the speed of {runs}; results differ by at most {max(differences):.1e}"
    if sizes := _by_classes("1/{:.1f}", {m.case.classes: m.memory_ratio() for m in group}):
        yield f"{what}, memory: {sizes} of the reference's"


def _by_classes(form: str, ratios: Mapping[int, float | None]) -> str:
    """`12.2x (10 classes), 21.8x (100 classes)`, without the unknown ones."""
    known = {classes: form.format(ratio) for classes, ratio in ratios.items() if ratio is not None}
    return ", ".join(f"{times} ({classes} classes)" for classes, times in known.items())
