"""The `bench` command."""

from typing import Any

from cocoop.cli.arguments import command, path


def add(commands: Any) -> None:
    """Adds bench."""
    about = (
        "compare the speed of the exact prompt encoder with the literal computation, and measure images per second and the"
        " start of a stage (needs no data; about 20 minutes)"
    )
    parser = command(commands, "bench", bench, about)
    parser.add_argument(
        "--classes", type=int, nargs="+", default=(), metavar="N", help="numbers of classes (default on CPU: 10 50 100)"
    )
    parser.add_argument(
        "--methods", nargs="+", default=(), metavar="VARIANT",
        help="instead: a training step of these variants with images, on random towers with ViT-B/16's geometry"
        " (default on CPU: 50 classes; with 500, the literal side needs 30 GB)",
    )  # fmt: skip
    parser.add_argument("--batch", type=int, metavar="N", help="images per step of --methods (default: 4)")
    about = "also measure as many seeds in one batch, against as many literal runs (default: 3, with --quick 1)"
    parser.add_argument("--seeds", type=int, metavar="N", help=about)
    parser.add_argument("--quick", action="store_true", help="only CoCoOp with 50 classes, once: under a minute")
    path(parser, "--json", about="also write all measurements as JSON", required=False, dest="out")
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="cuda also measures bf16 and batch sizes"
    )
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: all)")
    parser.add_argument(
        "--repeats", type=int, default=3, metavar="N", help="timed steps of the literal computation, after one warm-up"
    )


def bench(**options: Any) -> None:
    from cocoop.bench.run import bench

    bench(**options)
