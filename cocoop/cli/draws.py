"""`python -m cocoop draws export`: few-shot draws as files for other code."""

from pathlib import Path
from typing import Any

from cocoop.cli.arguments import command, configfile, path
from cocoop.errors import counted


def add(commands: Any) -> None:
    """Adds draws with its subcommand."""
    parser = commands.add_parser("draws", help="write the few-shot draws of a configuration as files")
    verbs = parser.add_subparsers(metavar="export", required=True)
    about = "write the few-shot images of a configuration as JSON lines, which the key `draws` of an experiment reads"
    parser = command(verbs, "export", export, about)
    configfile(parser)
    path(parser, "--out", about="folder to write into")


def export(configfile: list[Path], out: Path) -> None:
    from cocoop.planning.export import export
    from cocoop.planning.files import plan_of

    files = export(plan_of(configfile), out, configfile)
    print(*files, sep="\n")
    print(f"wrote {counted(len(files), 'draw', 'draws')}.")
