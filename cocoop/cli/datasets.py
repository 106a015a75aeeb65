"""`python -m cocoop dataset list | check | new`: list datasets, check one, or add one."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cocoop.cli.arguments import command, path, template
from cocoop.errors import UserError, counted

if TYPE_CHECKING:
    from cocoop.config import BackboneSpec, Registry


def add(commands: Any) -> None:
    """Adds dataset with its three subcommands."""
    parser = commands.add_parser("dataset", help="list datasets, check one, or add one from a folder of images")
    verbs = parser.add_subparsers(metavar="list|check|new", required=True)

    parser = command(verbs, "list", show, "list all datasets: classes, sizes, download size, licence, on disk or not")
    path(parser, "--data-root", about="folder of all datasets", required=False, default=Path("data"))

    parser = command(verbs, "check", check, "check every image of a dataset and list its problems")
    parser.add_argument("name", help="name of a file in config/datasets")
    path(parser, "--data-root", about="folder of all datasets", required=False, default=Path("data"))
    path(parser, "--sheet", about="contact sheet to write (PNG)", required=False)
    parser.add_argument(
        "--backbone",
        metavar="NAME",
        help="name of a file in config/backbones: looks for classes that this backbone cannot tell apart"
        " (default: the demo's backbone if its weights are available)",
    )

    parser = command(verbs, "new", new, "write config/datasets/NAME.yaml from a folder of images or a table of them")
    parser.add_argument(
        "folder", type=Path, metavar="PATH", help="folder of class folders, folder of train/val/test, or CSV file"
    )
    parser.add_argument("--name", help="name of the dataset (default: from the folder)")
    parser.add_argument("--template", type=template, default="a photo of a {}.", help="prompt of zero-shot CLIP")
    about = "configuration to add the dataset to, so that its results join those of your others; written if it does not exist"
    path(parser, "--config", about=about, required=False)


def show(data_root: Path) -> None:
    from cocoop.config import Registry
    from cocoop.data.listing import table

    registry = Registry()
    specs = registry.datasets(registry.names("datasets"), "config/datasets")
    print(table(specs.values(), data_root))


def check(name: str, data_root: Path, sheet: Path | None, backbone: str | None) -> None:
    from cocoop.config import Registry
    from cocoop.data.check import PROBLEM, report
    from cocoop.planning.stages import MANIFEST
    from cocoop.text.tokenizer import byte_pair

    registry = Registry()
    spec = registry.dataset(name, "dataset check")
    chosen = _backbone(registry, backbone)
    sheet = sheet or Path("results") / "datasets" / name / "contact_sheet.png"

    def tell_apart(classnames: Sequence[str]) -> str:
        from cocoop.text import distinguish

        assert chosen is not None
        return distinguish.check(chosen.settings, classnames, spec.template, name)

    manifest = Path(MANIFEST.outputs["manifest"].format(dataset=name, id=spec.data))
    text = report(spec, data_root, sheet, byte_pair().whole, tell_apart if chosen else None, manifest)
    print(text, flush=True)
    if problems := sum(line.startswith(PROBLEM) for line in text.splitlines()):
        raise UserError(f"dataset {name!r}: {counted(problems, 'problem', 'problems')}, listed above.")


def _backbone(registry: "Registry", name: str | None) -> "BackboneSpec | None":
    """The named backbone; without a name the demo's, unless its weights are a tag, which could start a download."""
    from cocoop.config.openclip import is_checkpoint
    from cocoop.planning import files
    from cocoop.planning.plan import backbones_of

    if name:
        return registry.backbone(name, "dataset check: --backbone")
    named = next(iter(backbones_of(files.load(), str(files.DEMO))))
    demo = registry.backbone(named, str(files.DEMO)) if named in registry.names("backbones") else None
    return demo if demo and demo.pretrained and is_checkpoint(demo.pretrained) else None


def new(folder: Path, name: str | None, template: str, config: Path | None) -> None:
    from cocoop.data.naming import from_path
    from cocoop.data.new import write_yaml
    from cocoop.planning import own
    from cocoop.text.tokenizer import byte_pair

    if config:
        own.check(config)
    name = from_path(folder) if name is None else name
    written, notes = write_yaml(folder, name, template=template, tokenize=byte_pair().whole)
    print(*(f"note: {note}" for note in notes), sep="\n", end="\n" if notes else "")
    print(f"wrote {written}; review it, then run: python -m cocoop dataset check {written.stem}")
    if config:
        print(f"{own.enlist(config, written.stem)}; to run it: snakemake --cores all --configfile {config}")
