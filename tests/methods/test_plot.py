"""PLOT's transport: the plan, the rounds that the authors' code took, and seeds that do not see one another."""

import pytest
import torch
import torch.nn.functional as F

from cocoop.config import TrainingSpec
from cocoop.methods import plot
from cocoop.methods.base import Task
from cocoop.methods.plot import PLOT, sinkhorn
from cocoop.text.text_encoder import TextEncoder
from cocoop.text.tower import TextTower
from tests.methods import test_goldens
from tests.oracle import TOKENIZER, text_model
from tests.training.trained import fit

CASES = [case for case in test_goldens.HERE if case.method == "plot"]
OPTIONS = {"n_prompts": 3, "n_ctx": 2, "epsilon": 0.1, "rounds": 100, "threshold": 0.01, "global_logits": ["imagenet"]}
NAMES = ("cat", "wild cat", "dog", "fish")


@pytest.fixture(scope="module")
def text():
    torch.manual_seed(0)
    return TextEncoder.fast(TextTower.from_open_clip(text_model(32, 2, 2), TOKENIZER.sot, TOKENIZER.eot))


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_rows_and_columns_of_a_plan_have_equal_masses():
    plan, rounds = sinkhorn(random(2, 3, 5, 7, 4).sigmoid(), 0.1, 1000, 0.0)
    torch.testing.assert_close(plan.sum(-1), torch.full((2, 3, 5, 7), 1 / 7))
    torch.testing.assert_close(plan.sum(-2), torch.full((2, 3, 5, 4), 1 / 4))
    assert rounds.tolist() == [1000, 1000]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_rounds_are_those_of_the_authors(case, monkeypatch):
    taken = []

    def counted(*given):
        plan, rounds = sinkhorn(*given)
        taken.append(int(rounds))
        return plan, rounds

    monkeypatch.setattr(plot, "sinkhorn", counted)
    method, settings = test_goldens.build(case, test_goldens.text_of("fast", case.model)), case.settings
    test_goldens.put(method, case, "")
    classify, images = method.for_classes(case.classnames), test_goldens.features(case)
    for batch in (images, *images.split(1, 1)):
        classify(batch)
    assert taken == [settings["at_given"]["sinkhorn_iterations"], *settings["sinkhorn_iterations_one_by_one"]]
    taken.clear()
    test_goldens.put(method, case, "init_")
    test_goldens.train(method, case)
    assert taken == settings["sinkhorn_iterations"]


def test_global_logits_are_added_where_the_dataset_is_named(text):
    images, found = random(1, 3, 5, 32), {}
    for dataset in ("imagenet", "dtd"):
        method = PLOT(Task(text, (1,), NAMES, dataset=dataset), **OPTIONS)
        found[dataset] = method.for_classes(NAMES)(images)
    encoder = text.encoder(text.learnable(NAMES, 2))
    pooled = F.normalize(encoder(method.ctx[0]).mean(0), dim=-1)
    added = text.scale * F.normalize(images[:, :, 0], dim=-1) @ pooled.T
    torch.testing.assert_close(found["imagenet"] - found["dtd"], added, rtol=1e-3, atol=1e-3)


def test_seeds_do_not_see_one_another(text):
    seeds, training = (1, 2, 3), TrainingSpec(3, 4, 0.1, 1, 1e-5, 0.9, 5e-4)
    centres, labels = random(len(NAMES), 6, 32), torch.arange(12).remainder(len(NAMES)).expand(3, -1)
    spread = torch.tensor([0.1, 1.0, 10.0]).view(3, 1, 1, 1, 1)  # so that they need different rounds
    images = centres[labels][:, None] + spread * random(3, 1, 12, 6, 32, seed=1)

    def learned(rows: slice) -> dict[str, torch.Tensor]:
        method = PLOT(Task(text, seeds[rows], NAMES), **OPTIONS)
        fit(method, method.for_classes(NAMES), images[rows], labels[rows], training)
        return method.learned()

    together = learned(slice(None))
    for i in range(3):
        for name, alone in learned(slice(i, i + 1)).items():
            torch.testing.assert_close(together[name], alone, rtol=1e-4, atol=1e-6)
    cost = 1 - torch.stack([torch.full((2, 3, 4), 0.5), random(2, 3, 4).sigmoid()])
    plans, rounds = sinkhorn(cost, 0.1, 100, 0.01)
    assert rounds[0] < rounds[1]
    for i in range(2):
        plan, alone = sinkhorn(cost[i : i + 1], 0.1, 100, 0.01)
        assert torch.equal(plans[i], plan[0]) and alone == rounds[i]
