"""`python -m cocoop backbone list`: the backbones, and what is published about them."""

from typing import TYPE_CHECKING, Any

from cocoop.cli.arguments import command
from cocoop.config.openclip import HUB

if TYPE_CHECKING:
    from cocoop.config import Registry

HEAD = ("name", "label", "model", "pretrained", "precision", "ImageNet zero-shot", "source")


def add(commands: Any) -> None:
    """Adds backbone with its subcommand."""
    parser = commands.add_parser("backbone", help="list all backbones")
    verbs = parser.add_subparsers(metavar="list", required=True)
    command(
        verbs, "list", show, "list all backbones: model, weights, precision, published zero-shot accuracy on ImageNet"
    )


def show() -> None:
    from tabulate import tabulate

    from cocoop.config import Registry

    registry = Registry()
    rows = [_row(registry, name) for name in registry.names("backbones")]
    print(tabulate(rows, HEAD, "simple", disable_numparse=True, colalign=["left"] * 5 + ["right", "left"]))


def _row(registry: "Registry", name: str) -> list[str]:
    """Reads the file alone: a backbone that the installed open_clip lacks is listed, too."""
    content = registry.read("backbones", name, "config/backbones")
    published = content.get("imagenet_zero_shot")
    about = (f"{published['accuracy']:.2f}", published["source"]) if published else ("", "")
    weights = content.get("pretrained") or ("of the hub" if content["model"].startswith(HUB) else "random")
    return [name, content["label"], content["model"], weights, content.get("precision", "fp32"), *about]
