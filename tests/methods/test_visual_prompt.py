"""A method that takes live images: visual prompting, on the golden CLIP and real pictures on disk."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from cocoop import io, methods, splits
from cocoop.cli import main
from cocoop.config import Registry, TrainingSpec
from cocoop.data.images import open_rgb
from cocoop.errors import UserError
from cocoop.images import views
from cocoop.images.live import Live
from cocoop.methods.base import Task
from cocoop.methods.visual_prompt import VisualPrompt
from cocoop.methods.zero_shot import ZeroShot
from cocoop.text import text_encoder as text
from tests.images.pictures import CLASSNAMES, dataset, load_golden
from tests.runs import evaluation_of, run_of
from tests.training.trained import fit

TEMPLATE, BORDER, SEEDS = "a photo of a {}.", 5, (1, 2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("pictures")


@pytest.fixture(scope="module")
def backbone(folder):
    return load_golden(folder)


@pytest.fixture(scope="module")
def side(backbone, folder):
    text.save(folder / "tower.safetensors", backbone.model, "golden", backbone.fingerprint)
    return text.load(folder / "tower.safetensors", backbone.spec.settings)


@pytest.fixture(scope="module")
def manifest(folder):
    made = dataset(folder)
    made.save(folder / "manifest.json")
    for seed in SEEDS:
        splits.save_few_shot(folder / f"seed{seed}.json", made, 3, seed)
    return made


def live(backbone, folder, manifest, number, seeds=SEEDS):
    drawn = {seed: splits.load_few_shot(folder / f"seed{seed}.json") for seed in seeds}
    selected = {seed: views.select(manifest, selection, "all") for seed, selection in drawn.items()}
    return Live(backbone, folder, selected, number, 0), torch.tensor([of.labels for of in selected.values()])


def task(backbone, side, seeds=SEEDS) -> Task:
    return Task(side, tuple(seeds), tuple(CLASSNAMES), (TEMPLATE,), image=backbone)


def prompt(backbone, side, seeds=SEEDS) -> VisualPrompt:
    return VisualPrompt(task(backbone, side, seeds), border=BORDER)


def pixels(backbone, runs=2, images=3):
    side = backbone.image_size
    return torch.randn(runs, images, 3, side, side, generator=torch.Generator().manual_seed(0))


def test_an_empty_frame_is_zero_shot_clip(backbone, side):
    method, x = prompt(backbone, side), pixels(backbone)
    with torch.no_grad():
        for parameter in method.parameters():
            parameter.zero_()
        features = backbone.encode_images(x.flatten(0, 1)).unflatten(0, (2, 3))
        expected = ZeroShot(task(backbone, side)).for_classes(CLASSNAMES)(features)
        assert torch.equal(method.for_classes(CLASSNAMES)(x), expected)


def test_the_frame_is_on_the_border_and_gets_all_the_gradient(backbone, side):
    method = prompt(backbone, side)
    frame = method.frame()
    inner = frame[:, :, BORDER:-BORDER, BORDER:-BORDER]
    assert frame.shape == (2, 3, backbone.image_size, backbone.image_size)
    assert not inner.any()
    assert (frame != 0).sum() == frame.numel() - inner.numel()
    method.for_classes(CLASSNAMES)(pixels(backbone)).square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in method.parameters())
    assert all(p.grad is None for p in backbone.model.parameters())


def test_it_learns_and_seeds_do_not_see_one_another(backbone, side, folder, manifest):
    spec = TrainingSpec(12, 4, 0.2, 1, 1e-5, 0.9, 0.0)

    def trained(seeds):
        method, (source, labels) = prompt(backbone, side, seeds), live(backbone, folder, manifest, 0, seeds)
        done = fit(method, method.for_classes(CLASSNAMES), source, labels, spec)
        return method, [row for row in done.history if row["seed"] == SEEDS[1]]

    together, alone = trained(SEEDS), trained(SEEDS[1:])
    assert together[1][-1]["loss"] < together[1][0]["loss"]  # the loss of the last epoch against the first
    for (name, both), (_, one) in zip(together[0].named_parameters(), alone[0].named_parameters(), strict=True):
        assert (both[1] - one[0]).norm() <= 1e-3 * one[0].norm(), name


def test_a_border_as_wide_as_the_image_is_refused(backbone, side):
    most = (backbone.image_size - 1) // 2
    with pytest.raises(UserError, match=f"leaves nothing of an image of {backbone.image_size}; take at most {most}"):
        VisualPrompt(task(backbone, side), border=most + 1)


@pytest.fixture(scope="module")
def run(backbone):
    training = replace(Registry().variants["visual_prompt"].training, epochs=3, batch_size=4, lr=1.0)
    return run_of(
        "visual_prompt", backbone=backbone.spec, dataset="pictures", templates=(TEMPLATE,), params={"border": BORDER},
        training=training, views=2, shots=3, seeds=SEEDS,
    )  # fmt: skip


def train(folder, run, *options):
    return main(["train", "--run", run.to_json(), "--text-tower", *map(str, (folder / "tower.safetensors", *options))])


def evaluate(folder, run, *options):
    words = ["evaluate", "--evaluation", evaluation_of(run, "all").to_json(), "--text-tower"]
    return main([*words, *map(str, (folder / "tower.safetensors", *options))])


def test_stages_read_images_instead_of_features(side, folder, manifest, run, monkeypatch):
    monkeypatch.setenv("COCOOP_DEVICE", "cpu")
    images = ["--manifest", folder / "manifest.json", "--root", folder]
    drawn = ["--fewshot", *(folder / f"seed{seed}.json" for seed in SEEDS)]
    for out, workers in (("run", 0), ("again", 2)):
        options = [*images, *drawn, "--workers", workers, "--out", folder / out]
        assert train(folder, run, *options) == 0
    learned = [(folder / out / "learned.safetensors").read_bytes() for out in ("run", "again")]
    assert learned[0] == learned[1]
    learned = ["--learned", folder / "run/learned.safetensors"]
    assert evaluate(folder, run, *images, *learned, "--out", folder / "test") == 0
    records = io.read_json(folder / "test/metrics.json", "metrics")["records"]
    assert [record["seed"] for record in records] == list(SEEDS)

    tensors, _ = io.read_tensors(folder / "run/learned.safetensors", "learned")
    whole = load_golden(folder)
    method = methods.build(run, task(whole, side))
    method.load_learned(tensors, "file")
    crops = [whole.preprocessing.test(open_rgb(folder / i.path)) for i in manifest.splits["test"]]
    x = torch.stack([whole.preprocessing.normalise(torch.from_numpy(crop)) for crop in crops])
    with torch.no_grad():
        logits = method.for_classes(CLASSNAMES)(x.expand(2, *x.shape))
    truth = torch.tensor(manifest.labels("test"))
    assert [record["correct"] for record in records] == (logits.argmax(-1) == truth).sum(1).tolist()
    assert F.cross_entropy(logits[0], truth).isfinite()


def test_stages_say_what_they_need(side, folder, manifest, run, capsys):
    assert train(folder, run, "--views", "views.safetensors", "--out", folder / "no") == 2
    said = capsys.readouterr().err
    assert "visual_prompt takes images; give --manifest, --fewshot and --root instead of --views" in said
    learned = ["--learned", folder / "run/learned.safetensors", "--out", folder / "no"]
    assert evaluate(folder, run, "--features", "f.safetensors", *learned) == 2
    assert "visual_prompt takes images; give --manifest and --root instead of --features" in capsys.readouterr().err
    assert evaluate(folder, run, "--features", "f.safetensors", "--out", folder / "no") == 2
    assert "visual_prompt is trained: give --learned" in capsys.readouterr().err
    clip = run_of("clip", backbone=run.backbone, dataset="pictures")
    assert evaluate(folder, clip, "--out", folder / "no") == 2
    assert "clip takes image features; add --features" in capsys.readouterr().err
    assert train(folder, clip, "--out", folder / "no") == 2
    assert "clip learns nothing: there is no training" in capsys.readouterr().err
    coop = run_of("coop", backbone=run.backbone, dataset="pictures")
    assert train(folder, coop, "--out", folder / "no") == 2
    assert "coop takes image features; add --views" in capsys.readouterr().err
    assert not (folder / "no").exists()
