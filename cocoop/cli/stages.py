"""The workflow's stages, with explicit input and output paths and settings as one JSON object."""

from pathlib import Path
from typing import Any

from cocoop.cli import runs, usage
from cocoop.cli.arguments import (
    SEED,
    backbone_option,
    budget_mb,
    command,
    dataset_option,
    decoders,
    device,
    json_option,
    offline,
    path,
    shots_option,
    states_mb,
    subset_option,
    tensorboard,
    whole,
)
from cocoop.errors import UserError


def add(commands: Any) -> None:
    """Adds download, manifest, fewshot, text-tower, features, views, train and evaluate."""
    for name, stage, about in (
        ("download", download, "download (or draw) a dataset's files into the data root and verify them"),
        ("manifest", manifest, "list a dataset's images, labels and class names, checked against the disk"),
    ):
        parser = command(commands, name, stage, about)
        json_option(parser, "--dataset", 'the dataset: {"name": ..., "settings": {...}}')
        path(parser, "--data-root", about="folder of all datasets")
        path(parser, "--out", about="file to write")

    parser = command(commands, "fewshot", fewshot, "draw the few-shot images of one seed like the reference")
    path(parser, "--manifest", about="manifest.json")
    parser.add_argument("--shots", type=shots_option, required=True, help="images per class, or all")
    parser.add_argument("--seed", type=SEED, required=True, help="seed of the draw")
    parser.add_argument(
        "--draw", metavar="JSON", default="{}", help="what differs from the reference, as in the job's log"
    )
    parser.add_argument(
        "--subset", type=subset_option, default="all", help="the classes of a draw with uneven numbers of images"
    )
    path(parser, "--drawn", about="a file of `draws export`, to take its images instead of drawing", required=False)
    path(parser, "--out", about="file to write")

    parser = command(commands, "text-tower", text_tower, "save a backbone's text encoder for training and evaluation")
    json_option(parser, "--backbone", "the backbone")
    path(parser, "--out", about="safetensors file to write")

    parser = command(commands, "features", features, "encode the test images once")
    _images(parser)
    parser.add_argument("--split", default="test", choices=("train", "val", "test"), help="which images")

    parser = command(commands, "views", views, "encode views of the few-shot images")
    _images(parser)
    parser.add_argument("--subset", required=True, type=subset_option, help="classes whose images are encoded")
    parser.add_argument(
        "--epochs", type=whole(0), nargs=2, metavar=("START", "STOP"),
        help="one augmented view for each of these epochs (default: the test transform)",
    )  # fmt: skip
    path(parser, "--fewshot", about="one selection per seed", nargs="+")
    parser.add_argument(
        "--split", default="train", choices=("train", "val"), help="which draw; val has no augmentation"
    )

    parser = command(commands, "train", train, "learn the tensors of one variant on cached views")
    json_option(parser, "--run", "the run, as in the job's log")
    path(parser, "--text-tower", about="text_tower.safetensors")
    path(parser, "--views", about="view files, in order", nargs="+", required=False, default=[])
    path(
        parser,
        "--validation",
        about="features to select hyper-parameters on: the validation draw, or for hold_one_out the plain training images",
        required=False,
    )
    path(parser, "--manifest", about="manifest.json, for a method that takes images", required=False)
    path(parser, "--fewshot", about="one selection per seed, with --manifest", nargs="+", required=False, default=[])
    about = "learned.safetensors of the same training without a temperature, which is then only fitted"
    path(parser, "--trained", about=about, required=False)
    _live(parser)
    path(parser, "--out", about="folder to write into")
    usage.option(parser)

    parser = command(commands, "evaluate", evaluate, "test runs on a dataset's subsets")
    json_option(parser, "--evaluation", "the evaluation, as in the job's log")
    path(parser, "--text-tower", about="text_tower.safetensors")
    path(parser, "--features", about="the target's test features", required=False)
    path(parser, "--manifest", about="the target's manifest.json, to check the features against", required=False)
    _live(parser)
    path(parser, "--learned", about="learned.safetensors; none for an untrained variant", required=False)
    path(parser, "--out", about="folder to write into")
    usage.option(parser)


def _images(parser: Any) -> None:
    json_option(parser, "--backbone", "the backbone")
    path(parser, "--manifest", about="manifest.json")
    path(parser, "--root", about="the dataset's folder")
    path(parser, "--out", about="safetensors file to write")
    parser.add_argument("--local", action="store_true", help="also encode local features, in half precision")
    _workers(parser)
    usage.option(parser)


def _workers(parser: Any) -> None:
    about = "processes that decode images (default: OMP_NUM_THREADS - 1)"
    parser.add_argument("--workers", type=whole(0, 1000), default=decoders(), help=about)


def _live(parser: Any) -> None:
    path(parser, "--root", about="the dataset's folder, for a method that takes images", required=False)
    _workers(parser)
    path(parser, "--descriptions", about="sentences about each class, for a method that needs them", required=False)


def _load(backbone: str):
    from cocoop.backbone import model

    return model.load(backbone_option(backbone), device())


def download(dataset: str, data_root: Path, out: Path) -> None:
    from cocoop.data import prepare

    prepare.download(dataset_option(dataset), data_root, out, offline())


def manifest(dataset: str, data_root: Path, out: Path) -> None:
    from cocoop.data import prepare
    from cocoop.text.tokenizer import byte_pair

    prepare.manifest(dataset_option(dataset), data_root, out, byte_pair().whole)


def fewshot(manifest: Path, shots: int, seed: int, draw: str, subset: str, drawn: Path | None, out: Path) -> None:
    from cocoop import draws, io
    from cocoop.manifest import Manifest
    from cocoop.splits import save_few_shot

    listed = Manifest.load(manifest)
    if drawn:
        io.write_json(out, draws.selection_from(drawn, listed, shots, seed))
    else:
        save_few_shot(out, listed, shots, seed, runs.draw_of(draw), subset)


def text_tower(backbone: str, out: Path) -> None:
    from cocoop.backbone import effort
    from cocoop.text import hf_tokenizer, text_encoder

    loaded = _load(backbone)
    text_encoder.save(
        out, loaded.model, loaded.spec.name, loaded.fingerprint, hf_tokenizer.of(loaded.spec),
        image_encoder=effort.of_images(loaded), weights=loaded.origin,
    )  # fmt: skip


def features(backbone: str, manifest: Path, root: Path, split: str, out: Path, local: bool, workers: int) -> None:
    from cocoop.images.features import extract_test
    from cocoop.manifest import Manifest

    extract_test(_load(backbone), Manifest.load(manifest), root, split, out, workers=workers, local=local)


def views(
    backbone: str,
    manifest: Path,
    fewshot: list[Path],
    root: Path,
    subset: str,
    epochs: list[int] | None,
    split: str,
    out: Path,
    **how: Any,
) -> None:
    from cocoop.images.views import extract
    from cocoop.manifest import Manifest
    from cocoop.splits import load_few_shot

    if epochs and epochs[0] >= epochs[1]:
        raise UserError(
            f"--epochs: {epochs[0]} {epochs[1]} is an empty range; give the first epoch and the last epoch plus one."
        )
    selections = {selection["seed"]: selection for selection in map(load_few_shot, fewshot)}
    span = range(*epochs) if epochs else None
    extract(_load(backbone), Manifest.load(manifest), root, selections, subset, span, out, split=split, **how)


def train(run: str, out: Path, views: list[Path], fewshot: list[Path], **files: Any) -> None:
    from cocoop.images.inputs import TrainingFiles
    from cocoop.training.run import train

    given, parsed = TrainingFiles(views=tuple(views), fewshot=tuple(fewshot), **files), runs.run_of(run)
    if parsed.temperature == "none":
        train(parsed, given, out, device(), budget_mb(), states_mb(), tensorboard=tensorboard())
    else:
        from cocoop.training.temperature import fit

        fit(parsed, given, out, device(), budget_mb())


def evaluate(evaluation: str, out: Path, **files: Any) -> None:
    from cocoop.evaluation.run import evaluate
    from cocoop.images.inputs import TestFiles

    evaluate(runs.evaluation_of(evaluation), TestFiles(**files), out, device(), budget_mb())
