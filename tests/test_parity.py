"""Parity with the reference implementation: zero-shot, CoOp and CoCoOp logits and gradients, training trajectories, schedules.

The cases are those of tests/goldens, and of the folder that the environment variable COCOOP_GOLDENS names.
"""

import json

import open_clip
import pytest
import torch
import torch.nn.functional as F

from cocoop.backbone.transforms import Preprocessing
from cocoop.config.specs import TrainingSpec
from cocoop.methods.base import Task
from cocoop.methods.cocoop import CoCoOp
from cocoop.methods.coop import CoOp
from cocoop.methods.zero_shot import ZeroShot
from cocoop.text.text_encoder import TextEncoder
from cocoop.text.tower import TextTower
from cocoop.training.schedule import Schedule
from tests.oracle import TOKENIZER
from tests.reference import GOLDENS, ClipCase, clip_cases
from tests.training.trained import fit

CASES = list(clip_cases())


def each(key: str) -> list[tuple[ClipCase, int | str]]:
    """Each case with the index (or key) of each of its variants, templates or trajectories."""
    entries = [(case, case.facts.get(key, ())) for case in CASES]
    return [(case, index) for case, of in entries for index in (of if isinstance(of, dict) else range(len(of)))]


@pytest.fixture(scope="module")
def models() -> dict[str, open_clip.CLIP]:
    return {case.name: case.model() for case in CASES}


@pytest.fixture(params=["fast", "literal"])
def text(request, models, case) -> TextEncoder:
    """Both text paths must agree with the reference."""
    model = models[case.name]
    if request.param == "literal":
        return TextEncoder.literal(model)
    return TextEncoder.fast(TextTower.from_open_clip(model, TOKENIZER.sot, TOKENIZER.eot))


def features(case: ClipCase) -> torch.Tensor:
    return case.array("image_features")[None]  # (1, 6, E)


def near(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def near_in_norm(found: torch.Tensor, expected: torch.Tensor) -> None:
    assert (found - expected).norm() <= 1e-3 * expected.norm()


def coop(case: ClipCase, text, variant: dict) -> CoOp:
    words, specific = variant.get("ctx_init"), variant.get("csc", False)
    contexts = len(words.split()) if words else variant["n_ctx"]
    position = variant.get("pos", "end")
    task = Task(text, (1,), tuple(case.facts["classnames"]))
    return CoOp(task, n_ctx=contexts, ctx_init=words, class_token_position=position, csc=specific)


def cocoop(case: ClipCase, text, variant: dict) -> CoCoOp:
    words = variant.get("ctx_init")
    return CoCoOp(
        Task(text, (1,)), n_ctx=len(words.split()) if words else variant["n_ctx"], ctx_init=words, reduction=16
    )


def put(method: torch.nn.Module, tensors: dict[str, torch.Tensor]) -> None:
    method.load_learned({f"seed1.{name}": tensor for name, tensor in tensors.items()}, "golden")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_image_features(case, models):
    with torch.no_grad():
        near(models[case.name].encode_image(case.array("pixels")), case.array("image_features"))


@pytest.mark.parametrize(("case", "index"), each("templates"), ids=str)
def test_zero_shot_logits(case, text, index):
    classifier = ZeroShot(Task(text, (0,), prompts=(case.facts["templates"][index],))).for_classes(
        case.facts["classnames"]
    )
    near(classifier(features(case))[0], case.array(f"zero_shot_logits_{index}"))


@pytest.mark.parametrize(("case", "index"), each("coop_variants"), ids=str)
def test_coop_logits_loss_and_gradient(case, text, index):
    variant = case.facts["coop_variants"][index]
    method = coop(case, text, variant)
    assert sum(p.numel() for p in method.parameters()) == variant["parameters"]
    if variant.get("ctx_init"):
        near(method.ctx[0].detach(), case.array(f"coop{index}_ctx"))
    put(method, {"ctx": case.array(f"coop{index}_ctx")})
    logits = method.for_classes(case.facts["classnames"])(features(case))
    near(logits[0], case.array(f"coop{index}_logits"))
    loss = F.cross_entropy(logits[0], torch.tensor(case.facts["labels"]))
    assert float(loss) == pytest.approx(variant["loss"], rel=1e-3)
    loss.backward()
    near_in_norm(method.ctx.grad[0], case.array(f"coop{index}_grad"))


@pytest.mark.parametrize(("case", "index"), each("cocoop_variants"), ids=str)
def test_cocoop_logits_loss_and_gradients(case, text, index):
    variant = case.facts["cocoop_variants"][index]
    method = cocoop(case, text, variant)
    assert sum(p.numel() for p in method.parameters()) == variant["parameters"]
    names = [name for name, _ in method.named_parameters()]
    put(method, {name: case.array(f"cocoop{index}_{name}") for name in names})
    logits = method.for_classes(case.facts["classnames"])(features(case))
    near(logits[0], case.array(f"cocoop{index}_logits"))
    loss = F.cross_entropy(logits[0], torch.tensor(case.facts["labels"]))
    assert float(loss) == pytest.approx(variant["loss"], rel=1e-3)
    loss.backward()
    for name, parameter in method.named_parameters():
        near_in_norm(parameter.grad[0], case.array(f"cocoop{index}_grad_{name}"))


@pytest.mark.parametrize(("case", "name"), each("trajectories"), ids=str)
def test_training_trajectory(case, text, models, name):
    facts_of = case.facts["trajectories"][name]
    method = (cocoop if name.startswith("cocoop") else coop)(case, text, facts_of)
    initial = {key: case.array(f"{name}_init_{key}") for key, _ in method.named_parameters() if key != "ctx"}
    put(method, {"ctx": method.ctx[0].detach().clone()} | initial)
    images = len(case.facts["train_labels"])
    training = TrainingSpec(facts_of["epochs"], facts_of["batch_size"], 0.002, 1, 1e-5, 0.9, 5e-4)
    classifier, losses = method.for_classes(case.facts["classnames"]), []

    def noted(image):
        logits = classifier(image)
        losses.append(logits)
        return logits

    labels = torch.tensor(case.facts["train_labels"])[None]
    train = train_features(case, models[case.name])[None, None]
    done = fit(method, noted, train, labels, training, order=lambda seed, epoch, n: torch.arange(n))
    steps = images // facts_of["batch_size"]
    targets = labels[0].view(steps, -1).repeat(facts_of["epochs"], 1)
    found = [float(F.cross_entropy(x[0], y)) for x, y in zip(losses, targets, strict=True)]
    assert found == pytest.approx(facts_of["losses"], rel=1e-3)
    assert [row["lr"] for row in done.history for _ in range(steps)] == pytest.approx(facts_of["lrs"], rel=1e-9)
    for key, parameter in method.named_parameters():
        near_in_norm(parameter[0].detach(), case.array(f"{name}_final_{key}"))
    with torch.no_grad():
        near(method.for_classes(case.facts["classnames"])(features(case))[0], case.array(f"{name}_final_logits"))


def train_features(case: ClipCase, model) -> torch.Tensor:
    """Image features (N, E) of the trajectory's pictures, by the test transform."""
    clip = Preprocessing(
        case.facts["architecture"]["image_size"], open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD
    )
    pixels = torch.stack([torch.from_numpy(clip.test(picture)) for picture in case.images("train_image")])
    with torch.no_grad():
        return model.encode_image(clip.normalise(pixels))


@pytest.mark.parametrize("epochs", ["3", "10", "50", "100", "200"])
def test_learning_rates(epochs):
    expected = json.loads((GOLDENS / "learning_rates.json").read_text())[epochs]
    training = TrainingSpec(int(epochs), 1, 0.002, 1, 1e-5, 0.9, 5e-4)
    assert [Schedule(training, 1).rate(epoch, 0) for epoch in range(int(epochs))] == pytest.approx(expected, rel=1e-12)
