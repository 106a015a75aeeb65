"""The contract of a method, kept by the shared code: noise, saved tensors, held features, seeds in turn."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from cocoop import methods
from cocoop.config import TrainingSpec
from cocoop.errors import UserError
from cocoop.evaluation.predict import predict
from cocoop.methods.base import FewShot, Method, Task, cross_entropy
from cocoop.methods.coop import CoOp
from cocoop.methods.noise import SeedDropout
from cocoop.methods.shared_text import SharedText, holding
from cocoop.methods.zero_shot import ZeroShot
from cocoop.text.text_encoder import TextEncoder
from cocoop.text.tower import TextTower
from tests.oracle import TOKENIZER, text_model
from tests.runs import run_of
from tests.training.trained import fit

NAMES, TEMPLATE = ("cat", "dog", "fish"), "a photo of a {}."
TRAINING = TrainingSpec(3, 4, 0.1, 1, 1e-5, 0.9, 5e-4)


class Noisy(Method):
    """A linear map of the image feature with dropout, noise, a frozen module and a tensor that is kept."""

    def __init__(self, task: Task, *, p: float) -> None:
        super().__init__(task)
        self.weight = nn.Parameter(torch.eye(task.text.embed_dim).repeat(len(task.seeds), 1, 1))
        self.dropout, self.plain = SeedDropout(self.noise, p), nn.Dropout(p if len(task.seeds) == 1 else 0.0)
        self.frozen = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5)).requires_grad_(False)
        self.keep("epochs_seen", torch.zeros(len(task.seeds)))

    def for_classes(self, classnames):
        text = self.task.hand_crafted(classnames)

        def logits(image):
            noise = 0.01 * self.noise.normal(*image.shape[1:])
            return self.plain(self.dropout(image + noise)) @ self.weight.mT @ text.mT

        return logits

    def losses(self, classify, batch):
        logits = classify(batch.inputs)
        drift = (self.weight - torch.eye(self.weight.shape[-1])).square().sum((1, 2))
        return logits, {"cross_entropy": cross_entropy(logits, batch.labels), "drift": 0.1 * drift}

    def parameter_groups(self):
        return [{"params": [self.weight], "lr_scale": 0.5}]

    def after_epoch(self, epoch, epochs):
        self.epochs_seen += 1


@pytest.fixture
def text():
    torch.manual_seed(0)
    return TextEncoder.fast(TextTower.from_open_clip(text_model(32, 2, 2), TOKENIZER.sot, TOKENIZER.eot))


def task(text, seeds=(1, 2)) -> Task:
    return Task(text, seeds, NAMES, (TEMPLATE,), TEMPLATE)


def data(seeds=2):
    draw = torch.Generator().manual_seed(3)
    return torch.randn(2, 2, 10, 32, generator=draw)[:seeds], torch.arange(10).remainder(3).expand(seeds, -1)


def train(method, training=TRAINING, images=None, **options):
    done = fit(method, method.for_classes(NAMES), *(images or data(len(method.seeds))), training, **options)
    return method.learned(), done


def counting(text) -> tuple[TextEncoder, list]:
    """The text tower with a list that grows at each of its runs."""
    runs = []

    def encoder(prompts):
        exact = text.encoder(prompts)
        exact.register_forward_hook(lambda *_: runs.append(1))
        return exact

    return replace(text, encoder=encoder), runs


def test_noise_and_dropout_repeat_in_training_and_evaluation(text):
    (first, one), (second, two) = (train(Noisy(task(text, (1,)), p=0.3)) for _ in range(2))
    assert one.history == two.history
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())
    method = Noisy(task(text), p=0.3)
    learned, _ = train(method)
    assert not torch.equal(learned["seed1.weight"], train(Noisy(task(text), p=0.0))[0]["seed1.weight"])
    images = torch.randn(20, 32, generator=torch.Generator().manual_seed(1))

    def counts():
        method.eval().noise.restart("evaluation")
        return predict(method.for_classes(NAMES), [images], torch.zeros(20).long(), 2, "fp32", "x").predicted.tolist()

    torch.rand(3)
    assert counts() == counts()


def test_noise_of_a_seed_does_not_depend_on_the_others(text):
    together, _ = train(Noisy(task(text), p=0.3))
    for i, seed in enumerate((1, 2)):
        method = Noisy(task(text, (seed,)), p=0.3)
        method.plain.p = 0.0  # torch's own dropout cannot tell the seeds apart
        alone, _ = train(method, images=tuple(part[i : i + 1] for part in data()))
        torch.testing.assert_close(alone[f"seed{seed}.weight"], together[f"seed{seed}.weight"], rtol=1e-5, atol=1e-6)


def test_training_leaves_the_global_random_numbers_alone(text):
    method = Noisy(task(text), p=0.3)
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    train(method)
    assert torch.equal(torch.rand(3), expected)


def test_kept_tensors_are_saved_but_not_counted(text):
    method = Noisy(task(text), p=0.1)
    learned, _ = train(method)
    assert set(learned) == {f"seed{seed}.{name}" for seed in (1, 2) for name in ("weight", "epochs_seen")}
    assert method.shapes() == {"weight": [32, 32]}
    again = Noisy(task(text), p=0.1)
    again.load_learned(learned, "file")
    assert again.epochs_seen.tolist() == [3, 3]


def test_frozen_modules_stay_in_eval_mode(text):
    method = Noisy(task(text), p=0.1).train()
    assert method.dropout.training and not any(part.training for part in method.frozen.modules())
    assert not method.eval().dropout.training


def test_a_saved_tensor_without_seeds_is_named(text):
    class Wrong(Noisy):
        def __init__(self, task, *, p):
            super().__init__(task, p=p)
            self.bias = nn.Parameter(torch.zeros(7))

    with pytest.raises(UserError, match=r"Wrong.bias: shape \(7,\), but the first dimension .* must be the 2 seeds"):
        Wrong(task(text), p=0.1).saved()


def test_each_term_of_the_loss_is_a_column(text):
    _, done = train(Noisy(task(text), p=0.1))
    assert list(done.history[0]) == ["seed", "epoch", "lr", "loss", "accuracy", "cross_entropy", "drift"]
    for row in done.history:
        assert row["loss"] == pytest.approx(row["cross_entropy"] + row["drift"])
    coop = CoOp(task(text), n_ctx=2, ctx_init=None, class_token_position="end", csc=False)
    assert list(train(coop)[1].history[0]) == ["seed", "epoch", "lr", "loss", "accuracy"]


def test_lr_scale_of_a_group_scales_its_rate(text):
    plain = replace(TRAINING, epochs=1, warmup_epochs=0, momentum=0.0, weight_decay=0.0, batch_size=10)
    start = Noisy(task(text), p=0.0).learned()["seed1.weight"].clone()
    half = train(Noisy(task(text), p=0.0), plain)[0]["seed1.weight"] - start

    class Whole(Noisy):
        def parameter_groups(self):
            return Method.parameter_groups(self)

    whole = train(Whole(task(text), p=0.0), plain)[0]["seed1.weight"] - start
    torch.testing.assert_close(2 * half, whole)


def test_a_parameter_that_the_images_shape_is_made_by_fit(text):
    class Keys(ZeroShot):
        def __init__(self, task):
            super().__init__(task)
            self.keys = nn.UninitializedParameter()

        def fit(self, few_shot):
            self.keys.materialize(few_shot.features.mean(1).shape)
            self.keys.data = few_shot.features.mean(1)

    method, (features, labels) = Keys(task(text)), data()
    method.fit(FewShot(features, labels))
    again = Keys(task(text))
    again.load_learned(method.learned(), "file")
    assert torch.equal(again.keys, features.mean(1)) and again.shapes() == {"keys": [10, 32]}
    with pytest.raises(UserError, match="file: learned tensor seed2.keys has shape"):
        Keys(task(text)).load_learned(method.learned() | {"seed2.keys": torch.zeros(3)}, "file")


def test_classifiers_use_the_tensors_as_they_are(text):
    counted, runs = counting(text)
    method = CoOp(task(counted), n_ctx=2, ctx_init=None, class_token_position="end", csc=False)
    classify, image = method.for_classes(NAMES), torch.randn(2, 4, 32)
    with torch.no_grad():
        before = classify(image)
        method.ctx += 0.1
        assert not torch.equal(classify(image), before)
        runs.clear()
        with holding():
            held = [classify(image) for _ in range(5)]
        assert len(runs) == 1 and torch.equal(held[0], classify(image))
    runs.clear()
    predict(classify, [image[0]] * 3, torch.zeros(12).long(), 2, "fp32", "x")
    assert len(runs) == 1


@pytest.mark.parametrize("constant", [Noisy, ZeroShot])
def test_constant_prompts_leave_a_step_without_the_text_tower(text, constant):
    counted, runs = counting(text)
    method = constant(task(counted), **({"p": 0.1} if constant is Noisy else {}))
    classify = method.for_classes(NAMES)
    assert len(runs) == 1
    if constant is Noisy:
        fit(method, classify, *data(), TRAINING)
    else:
        classify(torch.randn(2, 4, 32))
    assert len(runs) == 1


@pytest.mark.parametrize(("variant", "params"), [("kgcoop", {}), ("tcp", {"inject_before_block": 1})])
def test_a_teacher_runs_the_text_tower_once(text, variant, params):
    counted, runs = counting(text)
    run = run_of(variant)
    method = methods.build(replace(run, params={**run.params, **params}), task(counted))
    _, done = train(method)
    steps = done.epochs * 2
    assert len(runs) == steps + 1  # one for all steps, for the hand-crafted prompts


def test_options_of_a_subclass_are_those_of_its_parents_too(text):
    params = run_of("kgcoop").params
    without = {name: value for name, value in params.items() if name != "n_ctx"}
    with pytest.raises(UserError, match="kgcoop.yaml: KgCoOp needs n_ctx"):
        methods.build(run_of("kgcoop", params=without), task(text))
    with pytest.raises(UserError, match="kgcoop.yaml: KgCoOp takes no depth"):
        methods.build(run_of("kgcoop", params={**params, "depth": 1}), task(text))


def test_shared_text_keeps_nothing_by_itself(text):
    calls = []
    shared = SharedText(lambda: calls.append(1) or torch.ones(1, 3, 4), 1.0)
    with torch.no_grad():
        shared(torch.ones(1, 2, 4)), shared(torch.ones(1, 2, 4))
    assert len(calls) == 2
