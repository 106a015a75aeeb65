"""`python -m cocoop STAGE`, and the command `cocoop`.

A workflow's stages run in forks of a process that has imported torch, where there is one.
"""

import sys

EXIT_CODE = 2  # as in cocoop.errors, which a forgotten environment may not be able to import


def run() -> int:
    """Runs the command line; a package that this Python does not have becomes one line."""
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
        print(
            f"error: {sys.executable} has no package {error.name!r}; activate the environment with cocoop (of `make demo`:"
            " . .venv/bin/activate), or install the package.",
            file=sys.stderr,
        )
        return EXIT_CODE


def console() -> int:
    """The command `cocoop`; like `python -m cocoop`, it finds modules in the working folder, such as a method of your own."""
    sys.path.insert(0, "")
    return run()


if __name__ == "__main__":
    sys.exit(run())
