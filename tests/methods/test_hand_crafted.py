"""Hand-crafted class features: the literal computation in fp64, the authors' numbers, each text encoded once."""

from dataclasses import replace

import open_clip
import pytest
import torch
from torch import Tensor

from cocoop import methods
from cocoop.config import Registry
from cocoop.errors import UserError
from cocoop.methods.base import Batch, Task
from cocoop.text.text_encoder import TextEncoder
from cocoop.text.tower import TextTower
from tests.oracle import TOKENIZER, text_model
from tests.runs import run_of
from tests.successors import case, clip, golden

NAMES = ("face", "wild_cat", "german shorthaired pointer")
ENSEMBLE = Registry().dataset("imagenet", "test").ensemble
SENTENCES = {
    "face": ("Two eyes and a nose.",),
    "wild_cat": ("A wild cat has a striped coat.", "Its claws are sharp.", "Whiskers, and a tail."),
    "german shorthaired pointer": ("A hunting dog.", "Its coat is short."),
}
USING = ["clip", "clip_adapter", "kgcoop", "prograd"]


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return text_model(32, 2, 2).double()


@pytest.fixture(scope="module", params=["fast", "literal"])
def text(request) -> TextEncoder:
    torch.manual_seed(0)
    model = text_model(32, 2, 2)
    if request.param == "literal":
        return TextEncoder.literal(model)
    return TextEncoder.fast(TextTower.from_open_clip(model, TOKENIZER.sot, TOKENIZER.eot))


@torch.no_grad()
def encoded(model, texts) -> Tensor:
    return model.encode_text(open_clip.tokenize(list(texts)))  # (T, E), fp64


def by_clip(model, texts) -> Tensor:
    """As CLIP's notebook and CuPL's classify_imagenet.py:39-63, for one class."""
    features = encoded(model, texts)
    features = features / features.norm(dim=-1, keepdim=True)
    mean = features.mean(0)
    return mean / mean.norm()


def near(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=2e-6)


def test_ensemble_is_the_literal_mean_of_the_authors(text, model):
    texts = [[template(name.replace("_", " ")) for template in open_clip.OPENAI_IMAGENET_TEMPLATES] for name in NAMES]
    found = Task(text, (1,), prompts=ENSEMBLE).hand_crafted(NAMES)
    near(found, torch.stack([by_clip(model, own) for own in texts]))


def test_ensemble_is_that_of_open_clip(text):
    literal = open_clip.build_zero_shot_classifier(
        _Whole(text),
        open_clip.tokenize,
        [name.replace("_", " ") for name in NAMES],
        open_clip.OPENAI_IMAGENET_TEMPLATES,
    )
    near(Task(text, (1,), prompts=ENSEMBLE).hand_crafted(NAMES), literal.T.double())


class _Whole:
    """The same weights as open_clip's own function calls them."""

    def __init__(self, text: TextEncoder) -> None:
        torch.manual_seed(0)
        self.model = text_model(32, 2, 2)

    def encode_text(self, tokens: Tensor, normalize: bool) -> Tensor:
        features = self.model.encode_text(tokens)
        return torch.nn.functional.normalize(features, dim=-1) if normalize else features


def test_descriptions_are_the_literal_mean_of_the_authors(text, model):
    found = Task(text, (1,), prompts=SENTENCES).hand_crafted(NAMES)
    near(found, torch.stack([by_clip(model, SENTENCES[name]) for name in NAMES]))


def test_raw_means_and_names_as_they_are(text, model):
    templates = ("a photo of a {}.", "art of the {}.")
    task = Task(text, (1,), prompts=templates)
    for underscores in (False, True):
        names = [name if underscores else name.replace("_", " ") for name in NAMES]
        raw = torch.stack([encoded(model, [template.format(name) for template in templates]).mean(0) for name in names])
        found = task.hand_crafted(NAMES, "raw", underscores=underscores)
        torch.testing.assert_close(found.double(), raw, rtol=1e-5, atol=1e-5)
    assert not torch.equal(task.hand_crafted(NAMES, "raw")[1], task.hand_crafted(NAMES, "raw", underscores=True)[1])


@pytest.mark.parametrize("name", ["r0", "r1", "r2"])
def test_taskres_base_features(name):
    of = case("taskres", name)
    tower = TextTower.from_open_clip(clip("taskres", name), TOKENIZER.sot, TOKENIZER.eot)
    task = Task(TextEncoder.fast(tower), (1,), prompts=tuple(of["templates"]))
    found = task.hand_crafted(of["classnames"], "raw", underscores=True)
    expected = golden("taskres", name, "base_text_features")
    assert (found - expected).norm() <= 1e-4 * expected.norm()


@pytest.mark.parametrize("prompts", [ENSEMBLE, SENTENCES], ids=["ensemble", "descriptions"])
def test_no_text_is_encoded_twice(text, prompts, monkeypatch):
    seen: list[str] = []
    features = TextEncoder.features
    monkeypatch.setattr(TextEncoder, "features", lambda self, texts: seen.extend(texts) or features(self, texts))
    fresh = replace(text)
    task = Task(fresh, (1, 2), prompts=prompts)
    for classnames in (NAMES[:2], NAMES[2:], NAMES):
        for average in ("unit", "raw"):
            task.hand_crafted(classnames, average)
            replace(task, seeds=(2,)).hand_crafted(classnames, average)  # another method of the same job
    assert (
        len(seen) == len(set(seen)) == sum(len(SENTENCES[n]) if prompts is SENTENCES else len(ENSEMBLE) for n in NAMES)
    )
    assert task.hand_crafted(NAMES) is task.hand_crafted(list(NAMES))


@pytest.mark.parametrize("variant", USING)
def test_every_method_starts_from_any_prompts(variant, text):
    """Templates, an ensemble and descriptions give different logits or losses, and one template is an ensemble of one."""
    image = torch.randn(2, 5, 32, generator=torch.Generator().manual_seed(1))
    labels = torch.tensor([0, 1, 2, 0, 1]).expand(2, -1)

    def numbers(prompts) -> Tensor:
        run = run_of(variant, seeds=(1, 2))
        method = methods.build(run, Task(text, (1, 2), NAMES, prompts, "a photo of a {}."))
        logits, losses = method.losses(method.for_classes(NAMES), Batch(image, labels, image))
        return torch.cat([logits.detach().flatten(), *(loss.detach() for loss in losses.values())])

    one, many, sentences = numbers(("a photo of a {}.",)), numbers(ENSEMBLE[:7]), numbers(SENTENCES)
    assert torch.equal(one, numbers({name: (f"a photo of a {name.replace('_', ' ')}.",) for name in NAMES}))
    assert all((a - b).abs().max() > 1e-4 for a, b in ((one, many), (many, sentences), (sentences, one)))


def test_what_cannot_be_encoded_is_named_before_anything_is_encoded(text, monkeypatch):
    long = Task(replace(text), (1,), prompts={"face": ("a face",), "wild_cat": ("very " * 90,)})
    with pytest.raises(
        UserError, match="text 'very very .* 92 tokens, but the text tower takes at most 77; shorten it"
    ):
        long.hand_crafted(["face", "wild_cat"])
    with pytest.raises(UserError, match="class 'dog' has no descriptions"):
        long.hand_crafted(["dog"])
    with pytest.raises(ValueError, match="average: expected 'unit' or 'raw', got 'mean'"):
        Task(text, (1,), prompts=ENSEMBLE).hand_crafted(NAMES, "mean")
