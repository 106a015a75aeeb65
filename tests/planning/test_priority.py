"""Jobs that others wait for and long ones start first, so that no processor is idle at the end."""

import re

from cocoop.io import REPOSITORY
from cocoop.planning import stages
from cocoop.planning.files import plan_of
from cocoop.planning.jobs import jobs_of
from cocoop.planning.priority import priority
from cocoop.run import Run

DEMO = REPOSITORY / "config" / "config.yaml"


def test_trainings_wait_for_all_images_and_the_longest_come_first():
    jobs = sorted(jobs_of(plan_of([DEMO])), key=priority, reverse=True)
    number = {job.stage.name: [i for i, other in enumerate(jobs) if other.stage is job.stage] for job in jobs}
    before = ("download", "manifest", "text_tower", "fewshot", "features", "views")
    assert max(max(number[name]) for name in before) < min(number["train"])
    assert max(number["train"]) < min(min(number[name]) for name in ("evaluate", "collect", "figures", "page"))
    trained = [job.about.variant for job in jobs if isinstance(job.about, Run) and job.stage is stages.TRAIN]
    assert trained[:5] == ["cocoop"] * 5  # ten epochs of single images are more steps than 200 in batches of 32
    assert set(trained[5:]) == {"coop", "coop_ctx21"}


def test_snakemake_asks_for_the_priority_of_each_of_them():
    rules = "\n".join(path.read_text() for path in sorted((REPOSITORY / "workflow" / "rules").glob("*.smk")))
    asked = dict(
        re.findall(r"^rule (\w+):\n(?:    .*\n|\n(?!\n))*?    priority: priority_of\(stages\.(\w+)\)\n", rules, re.M)
    )
    assert asked == {job.stage.name: job.stage.name.upper() for job in jobs_of(plan_of([DEMO])) if priority(job)}
