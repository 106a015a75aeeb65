"""`python -m cocoop STAGE`, and the command `cocoop`.

A workflow's stages run in forks of a process that has imported torch, where there is one.
"""

import sys

EXIT_CODE = 2  # as in cocoop.errors, which a forgotten environment may not be able to import
OLDEST = (3, 11)
ACTIVATE = "activate the environment with cocoop (of `make demo`: . .venv/bin/activate)"


def run() -> int:
    """Runs the command line; a Python that is too old, or lacks a package, becomes one line: the first mistake to be made."""
    if sys.version_info < OLDEST:
        found = ".".join(map(str, sys.version_info[:2]))
        return _refused(f"Python 3.11 or newer is needed, but {sys.executable} is {found}; {ACTIVATE}.")
    try:
        from cocoop.forkserver import client

        code = client.run(sys.argv[1:])
        if code is not None:
            return code
        from cocoop.cli import main

        return main()
    except ModuleNotFoundError as error:
        if str(error.name).split(".")[0] == "cocoop":
            raise
        return _refused(f"{sys.executable} has no package {error.name!r}; {ACTIVATE}, or install the package.")


def _refused(why: str) -> int:
    print(f"error: {why}", file=sys.stderr)
    return EXIT_CODE


def console() -> int:
    """The command `cocoop`; like `python -m cocoop`, it finds modules in the working folder, such as a method of your own."""
    sys.path.insert(0, "")
    return run()


if __name__ == "__main__":
    sys.exit(run())
