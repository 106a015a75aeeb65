"""Temperature scaling as a row of its own: fitted on the validation draw, without another training, predictions unchanged."""

import numpy as np
import pytest
import torch
from scipy.special import log_softmax

from cocoop import io
from cocoop.cli import main
from cocoop.methods.class_head import UNSEEN
from cocoop.planning import stages
from cocoop.training.temperature import LEAST, best
from tests.protocol.benchmark import configured, learned, made, recorded, table

SCALED = {
    "coop_ts": {"based_on": "coop", "temperature": "val"},
    "clip_ts": {"based_on": "clip", "temperature": "val", "label": "CLIP, scaled"},
    "visual_prompt": {"params": {"border": 4}, "training": {"epochs": 1}},
    "visual_ts": {"based_on": "visual_prompt", "temperature": "val"},
}


@pytest.mark.parametrize("right", [0.5, 2.0])
def test_the_temperature_of_calibrated_logits_is_found(right):
    """Labels drawn with the probabilities of logits / right have this temperature, about, and nothing does better."""
    generator = np.random.default_rng(0)
    logits = 3 * generator.standard_normal((20_000, 5))
    chances = np.exp(log_softmax(logits / right, axis=1))
    labels = (chances.cumsum(1) < generator.random((len(chances), 1))).sum(1).clip(max=4)
    found = best(logits, labels)

    def loss(temperature):
        return -log_softmax(logits / temperature, axis=1)[np.arange(len(labels)), labels].mean()

    assert found == pytest.approx(right, rel=0.05)
    assert loss(found) <= min(loss(found * 1.01), loss(found / 1.01))


def test_all_right_answers_end_at_the_limit():
    assert best(np.eye(3), np.arange(3)) == pytest.approx(LEAST, rel=1e-3)


def test_images_of_a_class_without_training_images_do_not_count():
    generator = np.random.default_rng(0)
    logits, labels = 3 * generator.standard_normal((300, 4)), generator.integers(0, 4, 300)
    without = logits.copy()
    without[:, 3] = UNSEEN
    assert best(without, labels) == pytest.approx(best(logits[labels < 3][:, :3], labels[labels < 3]))
    assert best(without[labels == 3], labels[labels == 3]) == 1


@pytest.fixture(scope="module")
def jobs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scaled")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        variants = ["clip", "clip_ts", "coop", "coop_ts", "visual_ts"]
        yield made(configured(folder, SCALED, variants=variants))


def test_every_scaled_variant_is_a_row_of_its_own(jobs):
    text = table()
    assert all(label in text for label in ("CoOp + temperature", "CLIP, scaled", "Visual prompt + temperature"))
    assert set(recorded()["variant"]) == {"clip", "clip_ts", "coop", "coop_ts", "visual_ts"}


def test_nothing_is_trained_a_second_time(jobs):
    runs = {job.about.variant: job for job in jobs if job.stage is stages.TRAIN}
    assert set(runs) == {"coop", "coop_ts", "clip_ts", "visual_prompt", "visual_ts"}
    assert runs["coop_ts"].inputs["trained"] == runs["coop"].outputs["learned"]
    (plain,), (scaled,) = learned(jobs, "coop"), learned(jobs, "coop_ts")
    assert all(torch.equal(scaled[name], plain[name]) for name in plain)
    assert set(scaled) - set(plain) == {"seed1.temperature", "seed2.temperature"}


@pytest.mark.parametrize(("variant", "scaled"), [("coop", "coop_ts"), ("clip", "clip_ts")])
def test_classes_stay_and_probabilities_change(variant, scaled, jobs):
    plain, other = (predictions(jobs, name) for name in (variant, scaled))
    for seed in (1, 2):
        for subset in ("base", "new"):
            of = f"seed{0 if variant == 'clip' else seed}.{subset}"
            assert torch.equal(plain[f"{of}.predicted"], other[f"seed{seed}.{subset}.predicted"])
            assert not torch.allclose(plain[f"{of}.confidence"], other[f"seed{seed}.{subset}.confidence"])


def test_the_value_stands_in_the_metrics(jobs):
    (tensors,) = learned(jobs, "coop_ts")
    (job,) = (job for job in jobs if job.stage is stages.EVALUATE and job.about.run.variant == "coop_ts")
    for record in io.read_json(job.outputs["metrics"], "metrics")["records"]:
        value = float(tensors[f"seed{record['seed']}.temperature"])
        assert record["chosen"] == {"temperature": pytest.approx(value, rel=1e-5)}


def predictions(jobs, variant):
    (job,) = (job for job in jobs if job.stage is stages.EVALUATE and job.about.run.variant == variant)
    return io.read_tensors(job.outputs["predictions"], "predictions")[0]


REFUSED = {
    "a dataset without a val split": (
        {"coop_ts": SCALED["coop_ts"]},
        {"train_datasets": ["imagenet"], "variants": ["coop_ts"]},
        "variant 'coop_ts' has temperature: val, but imagenet has no validation split to fit it on",
    ),
    "an unknown base": ({"coop_ts": {"based_on": "cop"}}, {}, "unknown variant 'cop'"),
    "an existing name": (
        {"cocoop": {"based_on": "coop"}},
        {},
        "variants.cocoop.based_on: variant 'cocoop' exists already",
    ),
    "a wrong value": (
        {"coop": {"temperature": "test"}},
        {},
        "variants.coop.temperature: 'test' is not one of none, val",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_scaled_is_refused_in_one_line(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    variants, keys, expected = REFUSED[name]
    assert main(["plan", "--configfile", str(configured(tmp_path, variants, **keys))]) == 2
    said = capsys.readouterr().err
    assert expected in said and said.count("\n") == 1
