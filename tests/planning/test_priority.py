"""Long jobs start first and short ones last, so that no processor is idle at the end."""

import re

import pytest

from cocoop.io import REPOSITORY
from cocoop.planning import stages
from cocoop.planning.files import plan_of
from cocoop.planning.jobs import jobs_of
from cocoop.planning.priority import BESIDE, FIRST, LAST, priority
from cocoop.run import Run


def order(config):
    """The variants of a configuration's trainings in the order of their priorities, and the priorities of each stage."""
    plan = plan_of([REPOSITORY / "config" / config])
    numbers = {job: priority(job, plan.datasets) for job in jobs_of(plan)}
    by_stage = {}
    for job, number in numbers.items():
        by_stage.setdefault(job.stage.name, set()).add(number)
    trained = [job for job in sorted(numbers, key=numbers.__getitem__, reverse=True) if job.stage is stages.TRAIN]
    return [job.about.variant for job in trained if isinstance(job.about, Run)], by_stage


@pytest.mark.parametrize(("config", "download"), [("config.yaml", FIRST), ("paper.yaml", BESIDE)])
def test_what_trainings_wait_for_comes_first_and_tests_last(config, download):
    _, found = order(config)
    assert found["download"] == {download}  # drawn by a processor, or fetched while a GPU trains
    for name in ("manifest", "text_tower", "fewshot", "views"):
        assert found[name] == {FIRST}
    assert max(BESIDE, LAST) < min(found["train"]) and max(found["train"]) < FIRST
    for name in ("features", "evaluate", "collect", "tables", "figures", "page"):
        assert found[name] == {LAST}


def test_the_longest_training_comes_first():
    trained, _ = order("config.yaml")
    assert trained[:5] == ["cocoop"] * 5  # ten epochs of single images are more steps than 200 in batches of 32
    assert set(trained[5:]) == {"coop", "coop_ctx21"}


def test_snakemake_asks_for_each_priority_that_is_not_its_own_default():
    rules = "\n".join(path.read_text() for path in sorted((REPOSITORY / "workflow" / "rules").glob("*.smk")))
    asked = dict(
        re.findall(r"^rule (\w+):\n(?:    .*\n|\n(?!\n))*?    priority: priority_of\(stages\.(\w+)\)\n", rules, re.M)
    )
    given = {
        name for config in ("config.yaml", "paper.yaml") for name, found in order(config)[1].items() if found != {0}
    }
    assert asked == {name: name.upper() for name in given}
