"""The `plan`, `status` and `prune` commands: the cost of a benchmark, its progress, and results no longer needed."""

import argparse
import math
from pathlib import Path
from typing import Any

from cocoop.cli.arguments import command, configfile, whole


def add(commands: Any) -> None:
    """Adds plan, status and prune."""
    parser = command(
        commands, "plan", plan, "estimate what a configuration will cost: jobs, passes, disk, time by phase"
    )
    configfile(parser)
    parser.add_argument(
        "--throughput",
        metavar="FILE|NAME",
        help="output of `python -m cocoop bench --json` on the device; or h100, a100, rtx4090 or cpu for a model of one",
    )
    parser.add_argument(
        "--devices", type=whole(1), default=1, metavar="N", help="devices that work at the same time (default: 1)"
    )
    parser.add_argument(
        "--images-per-second",
        type=_rate,
        metavar="N",
        help="images decoded and encoded per second, from the log of a features job; overrides the bench",
    )
    parser.add_argument(
        "--workers",
        type=whole(0),
        metavar="N",
        help="processes that decode images for one GPU (default: as in slurm/profile.yaml; 0: the encoding process decodes)",
    )

    parser = command(commands, "status", status, "show the progress of a running or stopped benchmark, from its files")
    configfile(parser)

    parser = command(commands, "prune", prune, "delete results that the configuration does not ask for")
    configfile(parser)
    parser.add_argument("-n", "--dry-run", action="store_true", help="only list them, with their sizes")


def _rate(text: str) -> float:
    """The type of --images-per-second."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number > 0, got {text!r}")
    return value


def plan(
    configfile: list[Path],
    throughput: str | None,
    devices: int,
    images_per_second: float | None,
    workers: int | None,
) -> None:
    from cocoop.planning.cost import table
    from cocoop.planning.files import plan_of

    table.show(plan_of(configfile), Path(), throughput, images_per_second, workers, devices)


def status(configfile: list[Path]) -> None:
    from cocoop.planning.files import plan_of
    from cocoop.planning.status import report

    report.show(plan_of(configfile), Path(), configfile)


def prune(configfile: list[Path], dry_run: bool) -> None:
    from cocoop.planning.files import plan_of
    from cocoop.planning.status import leftovers

    leftovers.prune(plan_of(configfile), Path(), dry_run)
