"""`python -m cocoop STAGE`: run a stage of the workflow or a tool by hand."""

import argparse
import logging
import os
import shlex
import sys
from collections.abc import Sequence

from cocoop import __version__
from cocoop.cli import bench, cluster, datasets, experiments, prompts, stages, tools
from cocoop.errors import EXIT_CODE, UserError
from cocoop.planning import environment

INTERRUPTED, CUT_OFF = 130, 141  # a shell's exit codes for SIGINT and SIGPIPE


class Parser(argparse.ArgumentParser):
    """Reports a mistake in one line, with exit code 2."""

    def error(self, message: str) -> None:  # type: ignore[override]
        self.exit(EXIT_CODE, f"error: {message} (see `{self.prog} --help`)\n")


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line; stages are imported only when they run."""
    top = Parser(prog="python -m cocoop", description=__doc__.split(":")[1].strip().capitalize())
    top.add_argument("--version", action="version", version=f"cocoop {__version__}")
    commands = top.add_subparsers(metavar="STAGE", required=True, parser_class=Parser)
    for module in (tools, prompts, bench, datasets, cluster, stages, experiments):
        module.add(commands)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one stage; a UserError becomes one line and exit code 2."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        arguments = vars(parser().parse_args(argv))
        stage = arguments.pop("stage")
        if (
            stage.__module__ in (stages.__name__, experiments.__name__) and not sys.stdout.isatty()
        ):  # write the command to the job's log
            print(
                "command:",
                *(f"{name}={shlex.quote(os.environ[name])}" for name in environment.ALL if name in os.environ),
                shlex.join(["python", "-m", "cocoop", *(sys.argv[1:] if argv is None else argv)]),
                flush=True,
            )
        stage(**arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` has closed the pipe, and Python would flush again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CUT_OFF
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_CODE
    except KeyboardInterrupt:
        print("interrupted: finished work is kept; run the same command again to continue.", file=sys.stderr)
        return INTERRUPTED
    return 0
