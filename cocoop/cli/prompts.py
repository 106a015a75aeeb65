"""The commands for what was learned: predict, explain, export and import-checkpoint."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cocoop.cli.arguments import SEED, command, path, template, whole
from cocoop.errors import UserError, counted

if TYPE_CHECKING:
    from cocoop.api import Prompt

FORMATS = ("table", "csv", "json")
POSITIONS = ("end", "middle", "front")
PROMPT = (
    "a run's folder (results/runs/.../ID), an exported folder, a repository of the Hugging Face Hub (OWNER/NAME), or a "
    "checkpoint of the authors' code (model.pth.tar-N)"
)


def add(commands: Any) -> None:
    """Adds predict, explain, export and import-checkpoint."""
    parser = command(commands, "predict", predict, "classify pictures with a learned prompt, or zero-shot")
    parser.add_argument("pictures", nargs="+", metavar="PICTURE", help="pictures, and folders of pictures")
    parser.add_argument("--prompt", metavar="PROMPT", help=f"{PROMPT}; without it: zero-shot CLIP with --backbone")
    _choices(parser)
    _classes(parser)
    parser.add_argument(
        "--template", type=template, nargs="+", metavar="TEXT", help="hand-crafted prompts with {} for the class name"
    )
    parser.add_argument("--top", type=whole(1), default=1, metavar="K", help="classes per picture (default: 1)")
    parser.add_argument("--format", choices=FORMATS, default="table", help="of the output (default: table)")
    path(parser, "--out", about="file to write (default: standard output)", required=False)

    parser = command(commands, "explain", explain, "nearest words of a prompt, confused classes, changed pictures")
    parser.add_argument("prompt", metavar="PROMPT", help=PROMPT)
    _choices(parser)
    parser.add_argument("--words", type=whole(1), default=5, metavar="K", help="words per context vector (default: 5)")
    parser.add_argument("--most", type=whole(1), default=20, metavar="N", help="rows of each table (default: 20)")
    path(
        parser, "--against", about="folder of zero-shot CLIP's run (default: found in the same results)", required=False
    )

    parser = command(
        commands, "export", export, "write a learned prompt as a folder for others: tensors, settings, card"
    )
    parser.add_argument("prompt", metavar="PROMPT", help=PROMPT)
    _choices(parser)
    path(parser, "--out", about="folder to write into")
    parser.add_argument(
        "--layout", choices=("ours", "official"), default="ours", help="official: for the authors' code (CoOp, CoCoOp)"
    )
    _licence(parser)

    about = "turn a checkpoint of the authors' code (CoOp, CoCoOp) into an exported folder, without running anything from it"
    parser = command(commands, "import-checkpoint", import_checkpoint, about)
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="model.pth.tar-N, or a folder around it")
    parser.add_argument("--backbone", required=True, metavar="NAME", help="name of a file in config/backbones")
    _classes(parser)
    parser.add_argument("--words", metavar="TEXT", help="its initial words (CTX_INIT), if they matter")
    parser.add_argument("--position", choices=POSITIONS, default="end", help="its CLASS_TOKEN_POSITION (default: end)")
    path(parser, "--out", about="folder to write into")
    _licence(parser)


def _choices(parser: Any) -> None:
    parser.add_argument(
        "--backbone", metavar="NAME", help="name of a file in config/backbones, for zero-shot CLIP and checkpoints"
    )
    parser.add_argument("--seed", type=SEED, metavar="N", help="which seed of a run (default: its first)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: auto")


def _classes(parser: Any) -> None:
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--classes", nargs="+", metavar="NAME", help="class names (default: those trained on)")
    path(group, "--classes-file", about="text file with one class name per line", required=False)


def _licence(parser: Any) -> None:
    about = "licence of the prompt on the Hugging Face Hub, such as mit (default: unknown)"
    parser.add_argument("--licence", default="unknown", metavar="ID", help=about)


def _named(classes: list[str] | None, file: Path | None) -> list[str] | None:
    """The class names of --classes or --classes-file."""
    if file is None:
        return classes
    try:
        lines = file.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--classes-file: {file}: cannot be read ({error}).") from error
    return [line.strip() for line in lines if line.strip()]


def _prompt(prompt: str | None, backbone: str | None, seed: int | None, device: str, **options: Any) -> "Prompt":
    from cocoop import api

    if prompt is not None:
        return api.load(prompt, seed=seed, backbone=backbone, device=device, **options)
    if backbone is None:
        raise UserError("give --prompt for a learned prompt, or --backbone for zero-shot CLIP.")
    if seed is not None:
        raise UserError("--seed: zero-shot CLIP has no seeds; leave it out.")
    return api.zero_shot(backbone, device=device, **{key: value for key, value in options.items() if value is not None})


def predict(
    pictures: list[str], prompt: str | None, backbone: str | None, seed: int | None, device: str, classes: list[str] | None,
    classes_file: Path | None, template: list[str] | None, top: int, format: str, out: Path | None,
) -> None:  # fmt: skip
    from cocoop import api, io
    from cocoop.api.output import written
    from cocoop.api.pictures import listed

    names, asked = _named(classes, classes_file), listed(pictures)
    loaded = _prompt(prompt, backbone, seed, device, templates=template)
    unreadable = 0

    def say(place: int, error: UserError) -> None:
        nonlocal unreadable
        unreadable += 1
        print(f"error: {error}", file=sys.stderr)

    found: api.Predictions = loaded.predict([picture.source for picture in asked], names, unreadable=say)
    text = written(found, top, format)
    if out is None:
        print(text, end="")
    else:
        io.write_text(out, text)
    if unreadable:
        raise UserError(
            f"{counted(unreadable, 'picture', 'pictures')} of {len(asked)} could not be read (named above); "
            "the others are classified."
        )


def explain(
    prompt: str, backbone: str | None, seed: int | None, device: str, words: int, most: int, against: Path | None
) -> None:
    from cocoop.api.explaining import explain, text_of

    loaded = _prompt(prompt, backbone, seed, device)
    print(text_of(explain(loaded, prompt, words, against), most))


def export(
    prompt: str, backbone: str | None, seed: int | None, device: str, out: Path, layout: str, licence: str
) -> None:
    loaded = _prompt(prompt, backbone, seed, device)
    if layout == "official":
        from cocoop.api import official

        file, options = official.write(loaded, out)
        print(f"wrote {file}; the authors' train.py tests it with\n{options}")
        return
    print(f"wrote {loaded.export(out, licence=licence)}")


def import_checkpoint(
    checkpoint: str, backbone: str, classes: list[str] | None, classes_file: Path | None, words: str | None, position: str,
    out: Path, licence: str,
) -> None:  # fmt: skip
    from cocoop import api
    from cocoop.api.official import locate
    from cocoop.places import expanded

    if locate(expanded(checkpoint)) is None:
        raise UserError(f"{checkpoint}: no checkpoint; expected a file model.pth.tar-N, or a folder with one.")
    names = _named(classes, classes_file)
    loaded = api.load(checkpoint, backbone=backbone, classnames=names, words=words, position=position)
    print(f"wrote {loaded.export(out, licence=licence)}")
