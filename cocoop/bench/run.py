"""The `bench` command: measures all cases, checks that both sides agree, and prints the table."""

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cocoop import io, progress, provenance
from cocoop.bench import images, starts, summary, timing
from cocoop.bench.cases import PASSES, SEEDS, Case, cases, towers_cases
from cocoop.bench.memory import peak_mb
from cocoop.bench.models import Model, model_of
from cocoop.bench.table import Measured, rendered
from cocoop.device import choose, deterministic
from cocoop.errors import UserError

TOLERANCE = {"fp32": 1e-4, "bf16": 0.1}  # maximal relative difference between the two sides
ROOM = 0.8  # fraction of the free memory that a literal step may use


def bench(
    classes: Sequence[int] = (),
    quick: bool = False,
    out: Path | None = None,
    device: str = "auto",
    threads: int | None = None,
    repeats: int = 3,
    methods: Sequence[str] = (),
    batch: int | None = None,
    seeds: int | None = None,
) -> None:
    """Prints the tables and writes the measurements as JSON to `out`. Raises a UserError if the two sides disagree.

    seeds: also measure as many in one batch (default: three, but only one with quick or methods).
    """
    _check(classes, threads, repeats, methods, batch, seeds)
    device = choose(device)
    together = seeds or (1 if quick else SEEDS)
    if threads:
        torch.set_num_threads(threads)
    if methods:
        measured = measure(towers_cases(device, methods, classes, batch), device, repeats)
    elif quick:
        measured = measure(cases(device, classes, quick, together), device, 1, memory_of=("train",))
    else:
        measured = measure(cases(device, classes, seeds=together), device, repeats)
    print(rendered(measured, where(device)))
    content = record(measured, device)
    said = summary.lines(measured)
    if not quick and not methods:
        pictures, started = images.measure(device), starts.measure()
        print("", images.rendered(pictures), "", starts.rendered(started), sep="\n")
        content |= {"images": pictures.record(), "starts": starts.record(started)}
        said += starts.lines(started)
    print("", *said, sep="\n")
    if out:
        io.write_json(out, content)
    _agree(measured)


def record(measured: Sequence[Measured], device: str) -> dict[str, Any]:
    """Values for the output file, of which `plan` reads the rows: those of single seeds; several `together` are beside them."""
    single, several = ([m.record() for m in measured if (m.case.seeds > 1) is more] for more in (False, True))
    return {
        "schema": 1,
        "kind": "bench",
        "where": where(device),
        "threads": torch.get_num_threads(),
        "rows": single,
        "together": several,
        "provenance": provenance.describe(device),
    }


def _check(
    classes: Sequence[int],
    threads: int | None,
    repeats: int,
    methods: Sequence[str],
    batch: int | None,
    seeds: int | None,
) -> None:
    """Raises a UserError for a number that is too small, and for options that exclude each other."""
    for count in classes:
        if count < 2:
            raise UserError(f"--classes: expected 2 or more, got {count}.")
    if batch is not None and (batch < 1 or not methods):
        raise UserError(f"--batch: expected 1 or more, together with --methods, got {batch}.")
    if seeds is not None and (seeds < 1 or methods):
        raise UserError(f"--seeds: expected 1 or more, without --methods, got {seeds}.")
    if repeats < 1 or (threads is not None and threads < 1):
        raise UserError(f"--repeats and --threads: expected 1 or more, got {repeats} and {threads}.")


def measure(
    todo: Sequence[Case],
    device: str,
    repeats: int,
    geometry: Mapping[str, Any] | None = None,
    memory_of: Sequence[str] = PASSES,
) -> list[Measured]:
    """Measures the cases, and before each case the speed of matrix products; the best of these counts as peak for all cases."""

    @cache
    def peak(case: Case, side: str) -> float | None:
        return peak_mb(case, side, device, torch.get_num_threads(), geometry)

    models = {key: model_of(*key, device, geometry) for key in {(case.towers, case.precision) for case in todo}}
    measured, peaks = [], dict.fromkeys((precision for _, precision in models), 0.0)
    with progress.bar(len(todo), "bench", "case") as bar:
        for case in todo:
            bar.set_postfix_str(str(case), refresh=True)
            peaks[case.precision] = max(peaks[case.precision], timing.peak_flops(device, case.precision))
            m = _case(case, models[case.towers, case.precision], device, repeats)
            if case.work in memory_of:
                alone = replace(case, seeds=1)  # literal runs, one after another, need as much memory as one
                m.peak_mb = {side: peak(alone if side == "literal" else case, side) for side in m.seconds}
            measured.append(m)
            bar.update()
    for m in measured:
        m.peak = peaks[m.case.precision]
    return measured


def _case(case: Case, model: Model, device: str, repeats: int) -> Measured:
    fast = model.work(case, "fast")
    expected, note = deterministic(fast.outcome, str(case)), _too_large(case, model, device)
    literal = None if note else model.work(case, "literal")
    disagreement = None
    if literal:
        try:
            disagreement = difference(deterministic(literal.outcome, str(case)), expected)
        except torch.OutOfMemoryError:
            literal, note = None, "the literal computation needs more memory than this device has"
    seconds = timing.in_turn(literal.run if literal else None, fast.run, repeats, device, case.seeds)
    return Measured(case, seconds, *model.counted(case), disagreement, note)


def _too_large(case: Case, model: Model, device: str) -> str | None:
    """The reason to skip the literal side, from a rough estimate of its memory; None to run it."""
    free = (
        torch.cuda.mem_get_info()[0] if device == "cuda" else os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    )
    needed = model.numbers_kept(case) * (2 if case.precision == "bf16" else 4)
    if needed <= ROOM * free:
        return None
    return f"literal side skipped: it needs about {needed / 1e9:.0f} GB, but only {free / 1e9:.0f} GB are free"


def difference(literal: dict[str, Tensor], fast: dict[str, Tensor]) -> float:
    """The largest relative difference of two results, in the 2-norm."""
    differences = [(fast[name] - value).norm() / value.norm() for name, value in literal.items()]
    return float(torch.stack(differences).max())  # NaN if one is


def _agree(measured: Sequence[Measured]) -> None:
    for m in measured:
        allowed = TOLERANCE[m.case.precision]
        if m.disagreement is not None and not m.disagreement <= allowed:
            raise UserError(
                f"bench: literal and fast results differ by {m.disagreement:.1e} in {m.case} (rounding explains {allowed:.0e}), so "
                "the times above compare different computations. Please report this with the command's output."
            )


def where(device: str) -> str:
    """The device and the version of torch, for tables."""
    if device == "cuda":
        return f"{torch.cuda.get_device_name()}, torch {torch.__version__}"
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads, torch {torch.__version__}"
