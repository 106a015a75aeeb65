"""The `bench` command."""

from typing import Any

from cocoop.cli.arguments import command, path


def add(commands: Any) -> None:
    """Adds bench."""
    about = "measure the exact prompt encoder against the literal computation, and images a second (no data; about 10 minutes)"
    parser = command(commands, "bench", bench, about)
    parser.add_argument(
        "--classes", type=int, nargs="+", default=(), metavar="N", help="numbers of classes (CPU: 10 50 100)"
    )
    parser.add_argument("--quick", action="store_true", help="CoCoOp with 50 classes, once: under a minute")
    path(parser, "--json", about="also write everything measured as JSON", required=False, dest="out")
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="cuda also measures bf16 and batch sizes"
    )
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: all)")
    parser.add_argument(
        "--repeats", type=int, default=3, metavar="N", help="timed steps of the literal side, after one to warm up"
    )


def bench(**options: Any) -> None:
    from cocoop.bench.run import bench

    bench(**options)
