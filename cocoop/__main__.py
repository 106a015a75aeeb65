"""`python -m cocoop STAGE`."""

import sys

OLDEST = (3, 11)


def run() -> int:
    """The command line; a Python that cannot run it is reported in one line, because that is the first mistake to be made."""
    if sys.version_info < OLDEST:
        found = ".".join(map(str, sys.version_info[:2]))
        return _refused(f"Python 3.11 or newer is needed, but {sys.executable} is {found}")
    try:
        from cocoop.cli import main

        return main()
    except ModuleNotFoundError as error:
        if not error.name or error.name.partition(".")[0] == "cocoop":
            raise
        return _refused(f"package {error.name!r} is not installed for {sys.executable}")


def _refused(why: str) -> int:
    print(
        f"error: {why}; activate the environment with `. .venv/bin/activate` (`make demo` creates it).", file=sys.stderr
    )
    return 2


if __name__ == "__main__":
    sys.exit(run())
