"""`cocoop init` and `cocoop run`: the workflow in any folder, from an installed package or from a clone."""

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cocoop import places
from cocoop.cli.arguments import command
from cocoop.errors import UserError, listed

SNAKEFILE = Path("workflow/Snakefile")
EDITABLE = ("config", "slurm")  # shipped folders whose files can be copied to be edited
HOW_MANY = (
    "--cores",
    "-c",
    "--jobs",
    "-j",
    "--profile",
    "--workflow-profile",
)  # options that decide the number of cores
CONFIGFILE, PROFILE = ("--configfile", "--configfiles"), "--profile"


def add(commands: Any) -> None:
    """Adds init and run."""
    parser = command(commands, "init", init, "copy shipped files into the working folder, to edit them there")
    about = "files or folders, such as config/paper.yaml or slurm/profile.yaml (default: config/config.yaml, the demo)"
    parser.add_argument("files", type=Path, nargs="*", metavar="FILE", help=about)

    about = "run the workflow in the working folder: snakemake with the shipped Snakefile and all arguments that follow"
    # Nothing begins with this prefix, so all options are Snakemake's, even --help.
    parser = commands.add_parser("run", help=about, prefix_chars="\0", add_help=False)
    parser.set_defaults(stage=run)
    parser.add_argument("arguments", nargs="...")


def init(files: Sequence[Path]) -> None:
    """Copies shipped files. Those in the working folder win over the shipped ones, so a copy can be edited."""
    from cocoop import io

    wanted = [path for file in files or [Path("config/config.yaml")] for path in _files(file)]
    for path in wanted:
        if path.exists():
            raise UserError(f"{path}: already exists; move it away to get the shipped one.")
    for path in wanted:
        io.write_bytes(path, (places.SHIPPED / path).read_bytes())
        print(f"wrote {path}")
    print("next: edit what was written, then `cocoop run -n` shows what would run, and `cocoop run` runs it.")


def _files(wanted: Path) -> list[Path]:
    """The shipped files that a relative path names, relative to the working folder."""
    found = places.SHIPPED / wanted
    if wanted.is_absolute() or ".." in wanted.parts or wanted.parts[:1] not in [(name,) for name in EDITABLE]:
        raise UserError(f"init: {wanted}: expected a file or folder in {listed(f'{name}/' for name in EDITABLE)}.")
    if found.is_file():
        return [wanted]
    if not found.is_dir():
        known = (path.relative_to(places.SHIPPED) for path in sorted(found.parent.glob("*")))
        raise UserError(f"init: {wanted}: no such shipped file; known: {listed(known, 40)}.")
    return [path.relative_to(places.SHIPPED) for path in sorted(found.rglob("*")) if path.is_file()]


def run(arguments: Sequence[str]) -> None:
    """Replaces this process by Snakemake, with this Python first on PATH for the jobs."""
    words = [
        "--snakefile",
        str(places.SHIPPED / SNAKEFILE),
        "--rerun-incomplete",
        *_cores(arguments),
        *_shipped(arguments),
    ]
    here = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": os.pathsep.join([here, os.environ.get("PATH", os.defpath)])}
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, "-m", "snakemake", *words], environment)


def _cores(arguments: Sequence[str]) -> list[str]:
    """All cores, unless something else is said."""
    named = [word.split("=")[0] for word in arguments]
    short = any(word[:2] in HOW_MANY for word in arguments)
    return [] if short or set(named) & set(HOW_MANY) or "SNAKEMAKE_PROFILE" in os.environ else ["--cores", "all"]


def _shipped(arguments: Sequence[str]) -> Iterator[str]:
    """The arguments, with shipped configurations and profiles in place of files that the working folder does not have."""
    option = ""
    for word in arguments:
        name, equals, value = word.partition("=")
        option = name if word.startswith("-") else option
        if option in (*CONFIGFILE, PROFILE) and (equals or not word.startswith("-")):
            yield f"{name}={_found(value, option)}" if equals else _found(word, option)
        else:
            yield word


def _found(name: str, option: str) -> str:
    """The path of a configuration or profile; a UserError if there is no such configuration."""
    if option == PROFILE:
        shipped = places.SHIPPED / name
        return str(shipped) if not Path(name).exists() and (shipped / "profile.yaml").is_file() else name
    if found := places.found(name):
        return str(found)
    known = (path.relative_to(places.SHIPPED) for path in sorted((places.SHIPPED / "config").glob("*.yaml")))
    raise UserError(f"--configfile: {name}: no such file, here or among the shipped ones: {listed(known)}.")
