"""The workflow's stages: explicit input and output paths, one --settings JSON."""

from pathlib import Path
from typing import Any

from cocoop.cli import shapes
from cocoop.cli.arguments import (
    SEED,
    budget_mb,
    command,
    compiled,
    device,
    parsed,
    path,
    settings,
    subsets,
    template,
    whole,
)


def add(commands: Any) -> None:
    """Adds download, manifest, fewshot, text-tower, features, views, train and evaluate."""
    for name, stage, about in (
        ("download", download, "fetch (or draw) a dataset's files into the data root, verified"),
        ("manifest", manifest, "list a dataset's images, labels and class names, checked against the disk"),
    ):
        parser = command(commands, name, stage, about)
        settings(parser, 'the dataset: {"name": ..., "settings": {...}}')
        path(parser, "--data-root", about="folder of all datasets")
        path(parser, "--out", about="file to write")
        if stage is download:
            parser.add_argument("--offline", action="store_true", help="fetch nothing; say what is missing")
            parser.add_argument("--request", default="", help="kept in the file; the workflow's word for changed files")

    parser = command(commands, "fewshot", fewshot, "draw the few-shot images of one seed, as the reference does")
    path(parser, "--manifest", about="manifest.json")
    parser.add_argument("--shots", type=whole(1), required=True, help="images per class")
    parser.add_argument("--seed", type=SEED, required=True, help="what the draw derives from")
    path(parser, "--out", about="file to write")

    parser = command(commands, "text-tower", text_tower, "save a backbone's text tower for training and evaluation")
    settings(parser, "the backbone")
    path(parser, "--out", about="safetensors file to write")

    parser = command(commands, "features", features, "encode the test images once")
    _images(parser, 'the backbone: {"backbone": {...}}')
    parser.add_argument("--split", default="test", choices=("train", "val", "test"), help="which images")

    parser = command(commands, "views", views, "encode augmented views of the few-shot images")
    _images(parser, '{"backbone": {...}, "subset": ..., "seeds": [...], "views": [start, stop] or null}')
    path(parser, "--fewshot", about="one selection per seed", nargs="+")

    parser = command(commands, "train", train, "learn the tensors of one variant on cached views")
    settings(parser, "the runs, as in the job's log")
    path(parser, "--text-tower", about="text_tower.safetensors")
    path(parser, "--views", about="view files, in order", nargs="+", required=False, default=[])
    path(parser, "--manifest", about="manifest.json, for a method that takes images", required=False)
    _live(parser)
    path(parser, "--fewshot", about="one selection per seed, with --manifest", nargs="+", required=False, default=[])
    parser.add_argument("--template", type=template, required=True, help="the dataset's hand-crafted prompt")
    path(parser, "--out", about="folder to write into")

    parser = command(commands, "evaluate", evaluate, "test runs on a dataset's subsets")
    settings(parser, "the runs, as in the job's log")
    parser.add_argument("--target", required=True, help="the dataset tested on")
    parser.add_argument("--subsets", type=subsets, required=True, help="all, or base+new")
    parser.add_argument("--template", type=template, required=True, help="the target's hand-crafted prompt")
    path(parser, "--text-tower", about="text_tower.safetensors")
    path(parser, "--features", about="the target's test features", required=False)
    path(parser, "--manifest", about="the target's manifest.json, to check the features against", required=False)
    _live(parser)
    path(parser, "--learned", about="learned.safetensors; none for an untrained variant", required=False)
    path(parser, "--out", about="folder to write into")


def _images(parser: Any, about: str) -> None:
    settings(parser, about)
    path(parser, "--manifest", about="manifest.json")
    path(parser, "--root", about="the dataset's folder")
    path(parser, "--out", about="safetensors file to write")
    parser.add_argument("--workers", type=whole(0, 1000), default=0, help="processes that decode images")


def _live(parser: Any) -> None:
    path(parser, "--root", about="the dataset's folder, for a method that takes images", required=False)
    parser.add_argument("--workers", type=whole(0, 1000), default=0, help="processes that decode its images")


def _image_files(manifest: Path | None, root: Path | None, workers: int, fewshot: list[Path] | None = None):
    from cocoop.images.sources import ImageFiles

    return ImageFiles(manifest, root, workers, fewshot or ()) if manifest and root else None


def _dataset(text: str):
    from cocoop.config.specs import DatasetSpec

    return DatasetSpec(**shapes.dataset_of(text))


def _backbone(content: dict[str, Any]):
    from cocoop.backbone import model as backbone
    from cocoop.config.specs import BackboneSpec

    return backbone.load(BackboneSpec(label=content["name"], **content), device())


def download(settings: str, data_root: Path, out: Path, offline: bool, request: str) -> None:
    from cocoop.data import prepare

    prepare.download(_dataset(settings), data_root, out, offline, request)


def manifest(settings: str, data_root: Path, out: Path) -> None:
    from cocoop.data import prepare
    from cocoop.text.tokenizer import byte_pair

    prepare.manifest(_dataset(settings), data_root, out, byte_pair().whole)


def fewshot(manifest: Path, shots: int, seed: int, out: Path) -> None:
    from cocoop.manifest import Manifest
    from cocoop.splits import save_few_shot

    save_few_shot(out, Manifest.load(manifest), shots, seed)


def text_tower(settings: str, out: Path) -> None:
    from cocoop.text import hf_tokenizer as foreign
    from cocoop.text import text_encoder as text

    backbone = _backbone(parsed(settings, shapes.BACKBONE))
    text.save(out, backbone.model, backbone.spec.name, backbone.fingerprint, foreign.of(backbone.spec))


def features(settings: str, manifest: Path, root: Path, split: str, out: Path, workers: int) -> None:
    from cocoop.images.features import extract_test
    from cocoop.manifest import Manifest

    backbone = _backbone(parsed(settings, shapes.IMAGES)["backbone"])
    extract_test(backbone, Manifest.load(manifest), root, split, out, workers=workers)


def views(settings: str, manifest: Path, fewshot: list[Path], root: Path, out: Path, workers: int) -> None:
    from cocoop.images.views import extract
    from cocoop.manifest import Manifest
    from cocoop.splits import load_few_shot

    content = shapes.views_of(settings)
    selections = {selection["seed"]: selection for selection in map(load_few_shot, fewshot)}
    backbone = _backbone(content["backbone"])
    epochs = range(*content["views"]) if content["views"] else None
    extract(backbone, Manifest.load(manifest), root, selections, content["subset"], epochs, out, workers=workers)


def train(
    settings: str,
    text_tower: Path,
    views: list[Path],
    manifest: Path | None,
    fewshot: list[Path],
    root: Path | None,
    workers: int,
    template: str,
    out: Path,
) -> None:
    from cocoop.training.run import train

    files = _image_files(manifest, root, workers, fewshot)
    train(shapes.run_of(settings), text_tower, views, template, out, device(), budget_mb(), compiled(), files)


def evaluate(
    settings: str,
    target: str,
    subsets: list[str],
    template: str,
    text_tower: Path,
    features: Path | None,
    manifest: Path | None,
    root: Path | None,
    workers: int,
    learned: Path | None,
    out: Path,
) -> None:
    from cocoop.evaluation.run import evaluate

    evaluate(
        shapes.run_of(settings),
        target,
        subsets,
        template,
        text_tower,
        features,
        learned,
        out,
        device(),
        budget_mb(),
        manifest,
        _image_files(manifest, root, workers),
    )
