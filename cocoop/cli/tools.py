"""Commands that the workflow does not use: print tables and published numbers, and rebuild the tiny CLIP."""

from pathlib import Path
from typing import Any

from cocoop.cli.arguments import SEED, command, configfile, path, whole

ARCHITECTURES = ("tiny_clip", "tiny_clip_vit")


def add(commands: Any) -> None:
    """Adds show, published and pretrain-tiny."""
    parser = command(commands, "show", show, "print a configuration's tables")
    configfile(parser)
    path(parser, "--results", about="results folder", required=False, default=Path("results"))

    parser = command(commands, "published", published, "write all published numbers of config/paper as one page")
    path(parser, "--out", about="Markdown file to write (default: print it)", required=False)
    about = (
        "results folder: the numbers of its experiments join the published ones of the same dataset, backbone and shots"
    )
    path(parser, "--results", about=about, required=False)

    parser = command(commands, "pretrain-tiny", pretrain_tiny, "retrain a bundled tiny CLIP (CPU, about 25 minutes)")
    path(parser, "--out", about="folder to write into")
    parser.add_argument("--steps", type=whole(1), default=3300, help="training steps")
    parser.add_argument("--seed", type=SEED, default=0, help="seed of images, captions and weights")
    parser.add_argument(
        "--architecture",
        choices=ARCHITECTURES,
        default=ARCHITECTURES[0],
        help="image tower: ResNet or vision transformer",
    )


def show(configfile: list[Path], results: Path) -> None:
    from cocoop.planning.files import plan_of
    from cocoop.reporting.tables.showing import show

    show(plan_of(configfile), results)


def published(out: Path | None, results: Path | None) -> None:
    from cocoop import io
    from cocoop.reporting.tables import published_page

    text = published_page.markdown(results)
    if out is None:
        print(text, end="")
    else:
        io.write_text(out, text)


def pretrain_tiny(out: Path, steps: int, seed: int, architecture: str) -> None:
    from cocoop.backbone import tiny
    from cocoop.demo.pretraining import pretrain

    pretrain(out, steps=steps, seed=seed, architecture=tiny.config(architecture))
