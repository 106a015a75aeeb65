"""Methods that learn behind the towers: closed forms, searches, and several seeds at once."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import multivariate_normal

from cocoop import methods
from cocoop.config import TrainingSpec
from cocoop.errors import UserError
from cocoop.methods.base import FewShot, Task
from cocoop.methods.selection import first_best, right
from cocoop.text.text_encoder import TextEncoder
from cocoop.text.tower import TextTower
from cocoop.training.checkpoint import Keeper, resume
from tests.oracle import TOKENIZER, text_model
from tests.runs import run_of
from tests.training.trained import fit

NAMES = ("cat", "wild_dog", "fish")
SELECTING = ("taskres", "tip_adapter_val", "tip_adapter_f_val", "lpp", "gda", "linear_probe_val")
PARAMS = {
    "tip_adapter_val": {"search_step": [6, 5]},
    "tip_adapter_f_val": {"search_step": [6, 5]},
    "lpp": {"epochs": 25},
}
ADAMW = TrainingSpec(6, 4, 0.05, 0, 0, 0, 0.01, "adamw", "step", None, False, eps=1e-4)


@pytest.fixture(scope="module")
def text():
    torch.manual_seed(0)
    return TextEncoder.fast(TextTower.from_open_clip(text_model(32, 2, 2), TOKENIZER.sot, TOKENIZER.eot))


def build(name: str, text: TextEncoder, seeds=(1, 2, 3)):
    run = run_of(name)
    run = run_of(name, params={**run.params, **PARAMS.get(name, {})})
    return methods.build(run, Task(text, tuple(seeds), NAMES, ("a photo of a {}.",)))


def data(seeds: int = 3):
    """Features (S, V, N, E) and labels (S, N), and noisier ones (S, Nv, E), (S, Nv) to select on; each seed has its own."""
    draw = torch.Generator().manual_seed(7)
    centres = torch.randn(3, 32, generator=draw)
    labels = torch.arange(12).remainder(3).expand(seeds, -1)
    features = centres[labels][:, None] + torch.randn(seeds, 2, 12, 32, generator=draw)
    return features, labels, centres[labels] + 2 * torch.randn(seeds, 12, 32, generator=draw), labels


def trained(name: str, text: TextEncoder, few_shot: FewShot, seeds):
    method = build(name, text, seeds)
    method.fit(few_shot)
    if run_of(name).training:
        on = few_shot[2:] if few_shot.val_labels is not None else None
        fit(method, method.for_classes(NAMES), *few_shot[:2], ADAMW, validation=on)
    return method


@pytest.mark.parametrize("name", SELECTING)
def test_together_equals_alone(name, text):
    seeds, parts = (1, 2, 3), data()
    together = trained(name, text, FewShot(*parts), seeds)
    for i, seed in enumerate(seeds):
        alone = trained(name, text, FewShot(*(part[i : i + 1] for part in parts)), (seed,))
        assert alone.chosen()[seed] == together.chosen()[seed]
        for key, tensor in alone.learned().items():
            torch.testing.assert_close(together.learned()[key], tensor, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", SELECTING)
def test_class_bound(name, text):
    with pytest.raises(UserError, match="of 3 classes cannot classify 2 others"):
        build(name, text).for_classes(["tree", "ray"])


def test_selection_changes_what_is_learned(text):
    """That of LP++ is compared with the authors' in test_goldens_adapters.py; here its last epoch is the best one."""
    few_shot = FewShot(*data())
    for name in ("tip_adapter_val", "tip_adapter_f_val", "gda", "linear_probe_val"):
        method, fixed = (trained(name, text, images, (1, 2, 3)) for images in (few_shot, FewShot(*few_shot[:2])))
        assert method.chosen() != fixed.chosen(), name


def test_interrupted_training_selects_the_same(text, tmp_path, monkeypatch):
    """The best epoch so far is in the checkpoint."""
    monkeypatch.setattr("cocoop.training.checkpoint.SECONDS_BETWEEN", 0)
    few_shot, path = FewShot(*data()), tmp_path / "checkpoint.safetensors"
    whole = trained("tip_adapter_f_val", text, few_shot, (1, 2, 3))

    class Killed(Exception):
        pass

    method = build("tip_adapter_f_val", text)
    method.fit(few_shot)
    keeper = Keeper(method, path, "views", ADAMW.epochs)

    def stop(done):
        keeper(done)
        if done.epochs == 4:
            raise Killed

    of_training = {"training": ADAMW, "validation": few_shot[2:]}
    with pytest.raises(Killed):
        fit(method, method.for_classes(NAMES), *few_shot[:2], after_epoch=stop, **of_training)
    again = build("tip_adapter_f_val", text)
    fit(again, again.for_classes(NAMES), *few_shot[:2], done=resume(again, path, "views"), **of_training)
    assert again.chosen() == whole.chosen()
    assert all(torch.equal(tensor, whole.learned()[name]) for name, tensor in again.learned().items())


def test_counts_and_the_first_best():
    logits = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]]])
    assert right(logits, torch.tensor([[0, 0], [1, 1]])).tolist() == [1, 2]
    assert first_best(torch.tensor([[1, 3, 3], [2, 2, 2], [0, 1, 4]])).tolist() == [1, 0, 2]


def test_gda_is_bayes_rule_for_gaussians_with_the_shrunk_covariance(text):
    """Up to a constant of each image, its logits are the log densities plus the log prior."""
    features, labels, *_ = data()
    method = build("gda", text)
    method.fit(FewShot(features, labels))
    image = F.normalize(features[:, 0], dim=-1)
    _, found = method.parts(image)
    for seed in range(3):
        samples = F.normalize(features[seed], dim=-1).flatten(0, 1).double().numpy()
        truth, width = np.tile(labels[seed].numpy(), 2), samples.shape[1]
        means = np.stack([samples[truth == label].mean(0) for label in range(3)])
        covariance, n = np.cov((samples - means[truth]).T), len(samples)
        shrunk = ((n - 1) * covariance + np.trace(covariance) * np.eye(width)) / width
        density = np.stack(
            [multivariate_normal(mean, shrunk).logpdf(image[seed].double().numpy()) for mean in means], 1
        )
        expected = density - np.log(3)
        actual = found[seed].detach().double().numpy()
        np.testing.assert_allclose(
            actual - actual.mean(1, keepdims=True), expected - expected.mean(1, keepdims=True), rtol=1e-3, atol=1e-3
        )


def test_gda_takes_the_first_best_alpha(text):
    features, labels, val, val_labels = data()
    method = build("gda", text)
    method.fit(FewShot(features, labels, val, val_labels))
    zero_shot, of_samples = method.parts(val)
    for seed, chosen in enumerate(method.chosen().values()):
        counts = [
            int(((zero_shot + alpha * of_samples)[seed].argmax(-1) == val_labels[seed]).sum())
            for alpha in method.alphas
        ]
        assert chosen["alpha"] == pytest.approx(method.alphas[counts.index(max(counts))])


def test_gda_of_equal_samples_is_zero_shot_clip(text):
    """One image per class in one view has no covariance."""
    features, labels, *_ = data()
    method = build("gda", text)
    method.fit(FewShot(features[:, :1, :3], labels[:, :3]))
    logits, (zero_shot, _) = method.logits(features[:, 0]), method.parts(features[:, 0])
    torch.testing.assert_close(logits - logits.mean(-1, keepdim=True), zero_shot - zero_shot.mean(-1, keepdim=True))


@pytest.mark.parametrize(
    ("right_at", "expected"),
    [
        (
            lambda exponent: -abs(exponent - 2.7),
            2.703125,
        ),  # 3, 3, 2.5, 2.75, 2.75, 2.6875, 2.6875, 2.703125
        (lambda exponent: 0, 5),  # all alike: the first of the list, 10^6, and always the left end
        (lambda exponent: exponent, 7),
        (lambda exponent: -exponent, -7),
    ],
)
def test_the_search_of_C_takes_the_authors_steps(right_at, expected, text, monkeypatch):
    method = build("linear_probe_val", text)
    labels = np.arange(1000)

    def probe(C, images, _):
        correct = round(500 + 50 * right_at(np.log10(C)))
        return SimpleNamespace(C=C, predict=lambda val: np.where(labels < correct, labels, -1))

    monkeypatch.setattr(method, "probe", probe)
    chosen = method.search(np.zeros((1, 1)), np.zeros(1), np.zeros((1000, 1)), labels)
    assert np.log10(chosen.C) == pytest.approx(expected, abs=1e-6)


def test_the_searched_C_is_that_of_its_layer(text):
    method, few_shot = build("linear_probe_val", text), FewShot(*data())
    method.fit(few_shot)
    for seed, chosen in method.chosen().items():
        again = build("linear_probe", text, (seed,))
        again.fixed = chosen["C"]
        again.fit(FewShot(*(part[seed - 1 : seed] for part in few_shot[:2])))
        torch.testing.assert_close(again.weight[0], method.weight[seed - 1], rtol=1e-3, atol=1e-4)
