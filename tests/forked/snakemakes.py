"""`snakemake` that asks Slurm after its jobs every second; without arguments, a server that forks one for each line it reads."""

import asyncio
import json
import os
import sys

SECONDS_BETWEEN_CHECKS = 1.0


def serve() -> None:
    """Reads requests, the arguments of `run` as JSON, and answers with exit codes."""
    from snakemake.cli import get_argument_parser

    get_argument_parser()  # imports the plugins
    answers = os.fdopen(os.dup(1), "w")
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        process = os.fork()
        if not process:
            run(**json.loads(line))
        _, status = os.waitpid(process, 0)
        print(os.waitstatus_to_exitcode(status), file=answers, flush=True)


def run(arguments: list[str], folder: str, environment: dict[str, str], said: list[str]) -> None:
    """The forked process, to its end. said: files for stdout and stderr."""
    for number, path in enumerate([os.devnull, *said]):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT), number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv, code = ["snakemake", *arguments], 1
    try:
        snakemake()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def snakemake() -> None:
    from snakemake.cli import main
    from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

    async def sleep(_: RemoteExecutor) -> None:
        await asyncio.sleep(SECONDS_BETWEEN_CHECKS)

    RemoteExecutor.sleep = sleep
    main()


if __name__ == "__main__":
    snakemake() if sys.argv[1:] else serve()
