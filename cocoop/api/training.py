"""`train`: learn a prompt on a folder of pictures by running the workflow's stages in this process, without Snakemake."""

import logging
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from cocoop import device as devices
from cocoop.api import towers
from cocoop.api.dataset import Dataset, dataset_of
from cocoop.api.explaining import MANIFEST_FILE, ZERO_SHOT
from cocoop.api.loading import RUN_FILE, load, run_in
from cocoop.api.prompt import Prompt
from cocoop.config.specs import BackboneSpec
from cocoop.data import prepare
from cocoop.errors import UserError
from cocoop.evaluation.run import evaluate
from cocoop.images import features, views
from cocoop.images.inputs import TestFiles, TrainingFiles
from cocoop.manifest import Manifest
from cocoop.places import expanded
from cocoop.planning import files
from cocoop.planning.job import VALIDATION, Views, views_of
from cocoop.planning.plan import Plan
from cocoop.run import Evaluation, Run
from cocoop.splits import load_few_shot, save_few_shot
from cocoop.text import hf_tokenizer, text_encoder
from cocoop.text.prompt_encoder import DEFAULT_BUDGET_MB
from cocoop.text.tokenizer import byte_pair
from cocoop.training.run import train as train_run

logger = logging.getLogger(__name__)
EXPERIMENT = "train"
REFERENCE = "clip"


def train(
    pictures: str | Path,
    method: str = "coop",
    *,
    shots: int = 16,
    seed: int = 1,
    backbone: str | BackboneSpec = "vit_b16",
    subset: str = "all",
    views: int | str = "plain",
    training: Mapping[str, Any] | None = None,
    params: Mapping[str, Any] | None = None,
    template: str = "a photo of a {}.",
    name: str | None = None,
    data_root: str | Path = "data",
    out: str | Path | None = None,
    tensorboard: bool = False,
    device: str = "auto",
) -> Prompt:
    """Learns a prompt, tests it on the test pictures, and returns it with these results.

    The numbers are those of the workflow for the same dataset, variant, seed and settings.

    pictures: a folder with one folder of pictures per class, or with train, (val,) and test folders of this kind; a table of
        pictures (as for `dataset new`, which also decides the split); or the name of a file in config/datasets.
    method: a variant of a file in config/methods, such as coop, cocoop or kgcoop.
    shots: pictures per class; a class that has fewer gives all.
    seed: decides the few-shot draw, the initial values and the order.
    backbone: the name of a file in config/backbones; tiny is bundled, the weights of others are downloaded.
    subset: the classes to learn: all, base (the first half) or new.
    views: augmented versions of each picture, a number or per_epoch; plain trains on the pictures as they are.
    training, params: settings that differ from those of the method's file, such as {"epochs": 50} and
        {"n_ctx": 16, "ctx_init": None}: 16 context vectors, drawn at random, as CoOp's initial words are four.
    template: the hand-crafted prompt for methods that use one, and for zero-shot CLIP; a named dataset has its own.
    name: the dataset's name in results; by default from the folder's.
    data_root: where a named dataset is, or is downloaded to.
    out: a folder for the results, which `load` and `explain` read; an interrupted training continues there. Without it,
        only the returned prompt remains.
    tensorboard: with `out`, writes live curves into its folder tensorboard, too.
    device: auto, cpu or cuda.
    Raises a UserError with one line for everything that the workflow would refuse.
    """
    with _scratch() as scratch, _computing(device) as chosen:
        data = dataset_of(pictures, scratch, data_root, template, name)
        spec = towers.fitting(towers.spec_of(backbone, "train: backbone"), chosen, None)
        plan = _plan(data, spec, method, shots, seed, subset, views, training, params)
        folder = expanded(out) if out else scratch / "run"
        Stages(plan, data, scratch, folder, chosen, tensorboard).run()
        return load(folder, device=chosen, precision=spec.precision)


@contextmanager
def _scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="cocoop-") as name:
        yield Path(name)


@contextmanager
def _computing(wanted: str) -> Iterator[str]:
    """The deterministic settings of a stage for a block, and torch's earlier settings after it."""
    if wanted not in towers.DEVICES:
        raise UserError(f"device {wanted!r}: expected one of {', '.join(towers.DEVICES)}.")
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    only_warn, cudnn = torch.is_deterministic_algorithms_warn_only_enabled(), torch.backends.cudnn
    tf32, benchmark = (torch.backends.cuda.matmul.allow_tf32, cudnn.allow_tf32), cudnn.benchmark
    try:
        yield devices.choose(wanted)
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(strict, warn_only=only_warn)
        (torch.backends.cuda.matmul.allow_tf32, cudnn.allow_tf32), cudnn.benchmark = tf32, benchmark


def _plan(
    data: Dataset, spec: BackboneSpec, method: str, shots: int, seed: int, subset: str, views: int | str,
    training: Mapping[str, Any] | None, params: Mapping[str, Any] | None,
) -> Plan:  # fmt: skip
    """The plan of one training and its test, and of zero-shot CLIP on the same pictures."""
    experiment = {
        "title": EXPERIMENT, "table": "curves", "caption": "", "paper": None, "variants": list(dict.fromkeys([REFERENCE, method])),
        "train_datasets": [data.spec.name], "train_subset": subset, "shots": [shots], "targets": [], "target_subsets": [subset],
    }  # fmt: skip
    changed = {key: dict(values) for key, values in (("training", training), ("params", params)) if values}
    config = files.load() | {
        "backbone": spec.name, "seeds": [seed], "seeds_per_job": 1, "views": views, "experiments": [EXPERIMENT],
        "variants": {method: changed} if changed else {},
    }  # fmt: skip
    registry = data.registry(spec, {EXPERIMENT: experiment}, config["variants"])
    plan = Plan(config, registry, where="train")
    if not plan.runs:
        raise UserError(f"train: {method} learns nothing; use cocoop.zero_shot.")
    return plan


@dataclass
class Stages:
    """The stages of one training, with their files in a folder.

    Attributes:
        plan: has one run.
        scratch: for what is not kept.
        out: for the results.
    """

    plan: Plan
    data: Dataset
    scratch: Path
    out: Path
    device: str
    tensorboard: bool

    def __post_init__(self) -> None:
        [self.trained] = self.plan.runs
        if (self.out / RUN_FILE).exists() and run_in(self.out / RUN_FILE) != self.trained:
            raise UserError(f"{self.out}: holds the results of another run; name another folder.")
        self.tower, self.manifest_file = self.scratch / "text_tower.safetensors", self.out / MANIFEST_FILE

    def run(self) -> None:
        """Lists the pictures, draws, encodes, trains and tests."""
        prepare.download(self.data.spec, self.data.root, self.scratch / "source.json", offline=False)
        self.manifest = self._listed()
        self.backbone = towers.load(self.trained.backbone, self.device).image
        spec = self.backbone.spec
        text_encoder.save(self.tower, self.backbone.model, spec.name, self.backbone.fingerprint, hf_tokenizer.of(spec))
        self.draw = self.scratch / "fewshot.json"
        save_few_shot(self.draw, self.manifest, self.trained.shots, self.trained.seeds[0])
        self._train()
        for evaluation in self.plan.evaluations:
            self._test(evaluation)

    def _listed(self) -> Manifest:
        """The manifest; warns of its notes that the description of the pictures did not have."""
        found = prepare.checked(self.data.spec, self.data.root, byte_pair().whole)
        for note in found.notes:
            if note not in self.data.notes:
                logger.warning("dataset %r: %s", found.dataset, note)
        found.save(self.manifest_file)
        return found

    def _train(self) -> None:
        run = self.trained
        read = {name: tuple(self._views(views) for views in of) for name, of in views_of(run).items()}
        live: dict[str, Any] = (
            {"manifest": self.manifest_file, "fewshot": (self.draw,)} if run.inputs == "images" else {}
        )
        validation = read.get("validation", (None,))[0]
        given = TrainingFiles(
            self.tower, views=read.get("views", ()), validation=validation, **self._sources(run), **live
        )  # fmt: skip
        train_run(run, given, self.out, self.device, DEFAULT_BUDGET_MB, tensorboard=self.tensorboard)

    def _sources(self, run: Run) -> dict[str, Any]:
        spec = self.data.spec
        root = {"root": self.data.root / spec.folder} if run.inputs == "images" else {}
        return root | ({"descriptions": spec.descriptions} if run.descriptions else {})

    def _views(self, views_: Views) -> Path:
        """The file of these views of the drawn pictures."""
        out = self.scratch / f"{views_.name}.safetensors"
        if not out.exists():
            selection = {self.trained.seeds[0]: load_few_shot(self.draw)}
            span = range(*views_.epochs) if views_.epochs else None
            split = "val" if views_.kind == VALIDATION else "train"
            root = self.data.root / self.data.spec.folder
            views.extract(
                self.backbone, self.manifest, root, selection, views_.subset, span, out, split=split, local=views_.local
            )  # fmt: skip
        return out

    def _test(self, evaluation: Evaluation) -> None:
        run = evaluation.run
        home = self.out if run.trainable else self.out / ZERO_SHOT
        given: dict[str, Any] = {"manifest": self.manifest_file, **self._sources(run)}
        if run.inputs == "features":
            given["features"] = self._features(run.local)
        if run.trainable:
            given["learned"] = self.out / RUN_FILE
        out = home / "tests" / evaluation.target / evaluation.subsets_text / evaluation.identity
        evaluate(evaluation, TestFiles(self.tower, **given), out, self.device, DEFAULT_BUDGET_MB)

    def _features(self, local: bool) -> Path:
        out = self.scratch / f"test{'-local' * local}.safetensors"
        if not out.exists():
            root = self.data.root / self.data.spec.folder
            features.extract_test(self.backbone, self.manifest, root, "test", out, local=local)
        return out
