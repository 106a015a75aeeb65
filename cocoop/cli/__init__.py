"""`python -m cocoop STAGE`: run a stage of the workflow or a tool by hand."""

import argparse
import logging
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from cocoop import __version__
from cocoop.cli import (
    backbones,
    bench,
    cluster,
    datasets,
    draws,
    experiments,
    interrupts,
    prompts,
    stages,
    tools,
    usage,
    workflow,
)
from cocoop.errors import EXIT_CODE, INTERRUPTED, INTERRUPTION, UserError
from cocoop.planning import environment

CUT_OFF = 141  # a shell's exit code for SIGPIPE


class Parser(argparse.ArgumentParser):
    """Reports a mistake in one line, with exit code 2."""

    def error(self, message: str) -> None:  # type: ignore[override]
        self.exit(EXIT_CODE, f"error: {message} (see `{self.prog} --help`)\n")


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line; stages are imported only when they run."""
    as_command = Path(sys.argv[0]).stem == "cocoop"
    top = Parser(
        prog="cocoop" if as_command else "python -m cocoop", description=__doc__.split(":")[1].strip().capitalize()
    )
    top.add_argument("--version", action="version", version=f"cocoop {__version__}")
    commands = top.add_subparsers(metavar="STAGE", required=True, parser_class=Parser)
    for module in (workflow, tools, prompts, bench, backbones, datasets, draws, cluster, stages, experiments):
        module.add(commands)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one stage; a UserError becomes one line and exit code 2, and Ctrl-C one line and exit code 130."""
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    logging.getLogger("cocoop").setLevel(logging.INFO)  # of libraries only warnings: fontTools alone writes 500 lines
    try:
        with interrupts.remembered():
            _run(argv)
    except BrokenPipeError:  # `| head` has closed the pipe, and Python would flush again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CUT_OFF
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_CODE
    except KeyboardInterrupt:
        print(INTERRUPTION, file=sys.stderr)
        return INTERRUPTED
    return 0


def _run(argv: Sequence[str] | None) -> None:
    arguments = vars(parser().parse_args(argv))
    stage, used = arguments.pop("stage"), arguments.pop("usage", None)
    if (
        stage.__module__ in (stages.__name__, experiments.__name__) and not sys.stdout.isatty()
    ):  # write the command to the job's log
        print(
            "command:",
            *(f"{name}={shlex.quote(os.environ[name])}" for name in environment.ALL if name in os.environ),
            shlex.join(["python", "-m", "cocoop", *(sys.argv[1:] if argv is None else argv)]),
            flush=True,
        )
    with usage.measured(used):
        stage(**arguments)
    sys.stdout.flush()
