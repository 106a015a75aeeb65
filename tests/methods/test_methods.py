"""Every registered variant of every method, the moment it is registered."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from cocoop import methods
from cocoop.config import Registry, TrainingSpec
from cocoop.errors import UserError
from cocoop.evaluation.predict import comparable
from cocoop.methods.base import Batch, FewShot, Task
from cocoop.methods.coop import CoOp
from cocoop.text.text_encoder import TextEncoder
from cocoop.text.tower import TextTower
from tests.oracle import TOKENIZER, text_model
from tests.runs import run_of
from tests.training.trained import fit

ALL = Registry().variants
VARIANTS = {
    name: spec for name, spec in ALL.items() if spec.inputs == "features"
}  # the others: test_towers.py, test_visual_prompt.py
NAMES = ["cat", "wild_dog", "german shorthaired pointer", "dog"]
TEMPLATE = "a photo of a {}."
OTHERS = ["fish", "tree", "ray"]


@pytest.fixture(scope="module")
def text():
    torch.manual_seed(0)
    """With as many layers as ViT-B/16, which TCP and deep prompts need."""
    return TextEncoder.fast(TextTower.from_open_clip(text_model(32, 12, 2), TOKENIZER.sot, TOKENIZER.eot))


def task(text: TextEncoder, seeds=(1, 2)) -> Task:
    return Task(text, tuple(seeds), tuple(NAMES), (TEMPLATE,), TEMPLATE)


def build(name: str, text: TextEncoder, seeds=(1, 2)):
    return methods.build(run_of(name), task(text, seeds))


def data(name: str, seeds: int = 2, images: int = 12, views: int = 2):
    """Features (S, V, N, E), with local ones (S, V, N, 1 + L, E), and labels (S, N)."""
    generator = torch.Generator().manual_seed(3)
    tokens = [5] * ("local_features" in ALL[name].needs)
    centres = torch.randn(len(NAMES), *tokens, 32, generator=generator)
    labels = torch.arange(images).remainder(len(NAMES)).expand(seeds, -1)
    noise = torch.randn(seeds, views, images, *tokens, 32, generator=generator)
    return centres[labels][:, None] + 0.3 * noise, labels


def fitted(name: str, text: TextEncoder, features, labels):
    """As the training stage has a method before the first step; selects on the same images if its variant selects."""
    method = build(name, text)
    if VARIANTS[name].trainable:
        on = (features[:, 0], labels) if VARIANTS[name].selection != "none" else ()
        method.fit(FewShot(features, labels, *on))
    return method


@pytest.mark.parametrize("name", ALL)
def test_params_of_the_file_are_those_of_the_class(name):
    implementation = methods.find(ALL[name].implementation, name)
    assert set(ALL[name].params) == set(methods.options_of(implementation))


def test_a_run_without_the_prompts_that_its_method_uses_is_one_line(text):
    silent = methods.build(run_of("clip"), replace(task(text), prompts=()))
    with pytest.raises(UserError, match=r"the run has no hand-crafted prompts; .* `prompts_from: template`"):
        silent.for_classes(NAMES)
    with pytest.raises(UserError, match=r"prograd.yaml: ProGrad needs a template, but the run has none"):
        methods.build(run_of("prograd"), replace(task(text), template=""))


@pytest.mark.parametrize("name", VARIANTS)
def test_logits_and_gradients(name, text):
    features, labels = data(name)
    method = fitted(name, text, features, labels)
    classify = method.for_classes(NAMES)
    logits = classify(features[:, 0])
    assert logits.shape == (2, 12, len(NAMES))
    assert torch.isfinite(logits).all()
    if VARIANTS[name].learns == "by_gradient":
        with torch.no_grad():
            for parameter in method.parameters():  # some start at zero, and with them the gradients of others
                parameter += 0.01 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0))
        _, losses = method.losses(classify, Batch(features[:, 0], labels, features[:, 0]))
        torch.stack(list(losses.values())).sum().backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in method.parameters())
    assert all(not buffer.requires_grad for buffer in method.buffers())


@pytest.mark.parametrize("name", [name for name, spec in VARIANTS.items() if spec.trainable])
@pytest.mark.slow
def test_learning_lowers_the_loss_and_survives_a_file(name, text):
    features, labels = data(name)

    def loss(of) -> float:
        of.eval()  # without dropout
        with torch.no_grad():
            found = float(F.cross_entropy(of.for_classes(NAMES)(features[:, 0]).flatten(0, 1), labels.flatten()))
        of.train()
        return found

    by_gradient = VARIANTS[name].learns == "by_gradient"
    method = fitted(name, text, features, labels)
    before = loss(method if by_gradient else build("clip", replace(text, scale=100.0)))  # CLIP's own scale
    if by_gradient:
        fit(method, method.for_classes(NAMES), features, labels, TrainingSpec(10, 4, 0.02, 1, 1e-5, 0.9, 5e-4))
    assert loss(method) < before
    again = build(name, text)
    again.load_learned(method.learned(), "file")
    assert loss(again) == loss(method)


@pytest.mark.parametrize("name", [name for name, spec in VARIANTS.items() if not spec.class_bound])
def test_other_classes(name, text):
    method, (features, _) = build(name, text), data(name)
    with torch.no_grad():
        assert method.for_classes(OTHERS)(features[:, 0]).shape == (2, 12, len(OTHERS))


@pytest.mark.parametrize("name", [name for name, spec in VARIANTS.items() if not spec.class_bound])
def test_comparable_halves_have_the_logits_of_one_classifier(name, text):
    """Else measures of base and new classes together would compare numbers on two scales."""
    method, (features, _) = build(name, text).eval(), data(name)
    with torch.no_grad():
        for parameter in method.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0))
        base, new, one = (method.for_classes(names) for names in (NAMES, OTHERS, NAMES + OTHERS))
        if not comparable(base, new):
            assert name == "dept"
            return
        joined = torch.cat([base(features[:, 0]), new(features[:, 0])], -1)
        transported = {"atol": 0.5} if name == "plot" else {"atol": 1e-3}  # its rounds end by a mean over classes
        torch.testing.assert_close(joined, one(features[:, 0]), rtol=0, **transported)


@pytest.mark.parametrize("name", [name for name, spec in VARIANTS.items() if spec.class_bound])
def test_class_bound_variants_refuse_other_classes(name, text):
    with pytest.raises(UserError, match="4 classes cannot classify 3 others"):
        build(name, text).for_classes(OTHERS)


def test_class_bound_refuses_other_classes(text):
    method = CoOp(task(text, [1]), n_ctx=2, ctx_init=None, class_token_position="end", csc=True)
    with pytest.raises(UserError, match="contexts of 4 classes cannot classify 3 others"):
        method.for_classes(OTHERS)
    with pytest.raises(UserError, match="linear probe of 4 classes cannot classify 3 others"):
        build("linear_probe", text).for_classes(OTHERS)


def test_every_class_starts_from_its_own_copy_of_the_words(text):
    """The reference would learn one shared context here."""
    options = {"n_ctx": 4, "ctx_init": "a photo of a", "class_token_position": "end"}
    task = Task(text, (1,), NAMES)
    specific, shared = (CoOp(task, csc=csc, **options).ctx for csc in (True, False))
    assert specific.shape == (1, len(NAMES), *shared.shape[1:])
    assert torch.equal(specific, shared[:, None].expand_as(specific))


def test_wrong_learned_tensors_are_named(text):
    method = build("coop", text)
    with pytest.raises(UserError, match=r"file: learned tensor seed1.ctx has shape \(3, 32\), expected \(4, 32\)"):
        method.load_learned({"seed1.ctx": torch.zeros(3, 32)}, "file")
    with pytest.raises(UserError, match=r"file: learned tensor seed1.ctx is missing"):
        method.load_learned({}, "file")


def test_words_and_context_vectors_must_match(text):
    with pytest.raises(UserError, match="words 'a photo': expected 4 words, one for each context vector, got 2"):
        CoOp(task(text, [1]), n_ctx=4, ctx_init="a photo", class_token_position="end", csc=False)


def test_unknown_implementation_is_one_line():
    with pytest.raises(
        UserError, match="config/methods/mine.yaml: class 'cocoop.methods.none:Mine' cannot be imported"
    ):
        methods.find("cocoop.methods.none:Mine", "mine")


def test_seeds_start_from_their_own_draws(text):
    together, alone = build("cocoop_random", text, (1, 2)), build("cocoop_random", text, (2,))
    for (name, both), (_, one) in zip(together.named_parameters(), alone.named_parameters(), strict=True):
        assert torch.equal(both[1], one[0]), name
        assert not torch.equal(both[0], both[1]), name
