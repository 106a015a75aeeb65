"""The time left by `python -m cocoop status`: pace, what is unknown, what running jobs have done."""

import json
from dataclasses import replace

import pytest

from cocoop.io import REPOSITORY
from cocoop.planning.cost.sizes import dataset_sizes
from cocoop.planning.cost.work import Estimator
from cocoop.planning.files import plan_of
from cocoop.planning.jobs import jobs_of
from cocoop.planning.status.logs import Ending, ending
from cocoop.planning.status.report import show
from cocoop.planning.status.states import Seen, State, look
from cocoop.planning.status.time_left import _predicted, rest

DEMO = REPOSITORY / "config" / "config.yaml"


@pytest.fixture(scope="module")
def plan():
    return plan_of([DEMO])


@pytest.fixture(scope="module")
def estimator(plan, tmp_path_factory):
    return Estimator(plan, dataset_sizes(plan, tmp_path_factory.mktemp("nothing")))


def of_stage(plan, stage):
    return [job for job in jobs_of(plan) if job.stage.name == stage]


def write(path, text=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def finish(folder, job, seconds):
    for output in job.outputs.values():
        write(folder / output)
    write(folder / job.log)
    write(folder / job.usage, json.dumps({"s": seconds}) + "\n")


def test_grows_with_the_work(plan, estimator, tmp_path):
    """Two done jobs of a stage give start and pace; a stage without any is counted as unknown."""
    features = of_stage(plan, "features")
    images = {job: estimator.work(job).images for job in features}
    by_size = sorted(features, key=images.get)
    for job in (by_size[0], by_size[-1]):
        finish(tmp_path, job, 5 + images[job] / 100)
    found = rest(look(features, tmp_path), estimator)
    assert found.seconds == pytest.approx(sum(5 + images[job] / 100 for job in by_size[1:-1]))
    assert found.unknown == 0
    everything = rest(look(jobs_of(plan), tmp_path), estimator)
    assert everything.seconds == pytest.approx(found.seconds)
    assert everything.unknown == sum(len(of_stage(plan, stage)) for stage in ("views", "train", "evaluate"))


@pytest.mark.parametrize(
    ("points", "amount", "seconds"),
    [
        ([(1e5, 90), (5e5, 495), (1e6, 1000), (2e6, 2010)], 1e8, 1e8 * 3595 / 3.6e6),  # the line would start below zero
        ([(1e5, 100)], 1e8, 1e5),
        ([(1e5, 90), (1e5, 110)], 1e8, 1e5),
        ([(1e5, 110), (2e5, 100)], 3e5, 210),  # no growth to be seen
        ([(100, 7), (200, 9)], 1000, 25),
        ([(0, 4), (0, 6)], 0, 5),  # zero-shot CLIP without work for the text tower
    ],
)
def test_prediction(points, amount, seconds):
    assert _predicted(points, amount) == pytest.approx(seconds)


def test_a_continued_training_counts_with_all_its_attempts(plan, tmp_path):
    job = of_stage(plan, "train")[0]
    finish(tmp_path, job, 8.0)
    (cost,) = (path for path in job.outputs.values() if path.endswith("/cost.json"))
    write(tmp_path / cost, json.dumps({"seconds": 4000.0}, indent=1))
    assert look([job], tmp_path)[0].seconds == 4000.0
    write(tmp_path / cost, json.dumps({"seconds": 6.0}))
    assert look([job], tmp_path)[0].seconds == 8.0  # with the start of the process


def test_unknown_work_is_not_no_work(plan, tmp_path):
    """A dataset whose size nobody knows gives no point, and its job is unknown although others of its kind are done."""
    first, second, third = of_stage(plan, "features")[:3]
    sizes = dict(dataset_sizes(plan, tmp_path))
    sizes.pop(first.about)
    estimator = Estimator(plan, sizes)
    images = estimator.work(second).images
    done = [Seen(second, State.DONE, images / 10.0), Seen(replace(first, wildcards={}), State.DONE, 1e9)]
    found = rest([*done, Seen(first, State.LEFT), Seen(third, State.LEFT)], estimator)
    assert found.unknown == 1
    assert found.seconds == pytest.approx(estimator.work(third).images / 10)


def test_what_is_unknown_makes_it_a_least_time(plan, tmp_path, capsys):
    features = of_stage(plan, "features")
    finish(tmp_path, features[0], 100)
    show(plan, tmp_path, [])
    out = capsys.readouterr().out
    assert "left: at least " in out
    assert "jobs have an unknown time" in out
    for job in jobs_of(plan):
        if job.usage and job != features[1]:
            finish(tmp_path, job, 100)
    show(plan, tmp_path, [])
    assert "left: about " in capsys.readouterr().out


def test_running_jobs_count_with_what_is_left_of_them(plan, estimator):
    training, evaluation = of_stage(plan, "train")[0], of_stage(plan, "evaluate")[0]
    end = Ending(empty=False, elapsed=10.0, left=75.0)
    assert rest([Seen(training, State.RUNNING, end=end)], estimator) == rest_of(75.0, 0)
    done = Seen(replace(evaluation, wildcards={"backbone": evaluation.backbone}), State.DONE, 100.0)
    assert rest([done, Seen(evaluation, State.RUNNING, end=end)], estimator) == rest_of(90.0, 0)
    late = Ending(empty=False, elapsed=500.0, left=None)
    assert rest([done, Seen(evaluation, State.RUNNING, end=late)], estimator) == rest_of(0.0, 0)
    assert rest([Seen(training, State.RUNNING)], estimator) == rest_of(0.0, 1)  # its log does not say yet


def rest_of(seconds, unknown):
    from cocoop.planning.status.time_left import Rest

    return Rest(pytest.approx(seconds), unknown)


def test_bars_of_a_log(tmp_path):
    lines = [
        "command: python -m cocoop evaluate",
        "evaluate coop on a/base:   0%|          | 0/12 [00:00<?, ?image/s]",
        "evaluate coop on a/base: 100%|##########| 12/12 [01:30<00:00,  2.89image/s]",
        "evaluate coop on a/new:  40%|####      | 4/10 [1:00:05<2:30:10,  1.5s/image]",
    ]
    (tmp_path / "log").write_text("\n".join(lines))
    found = ending(tmp_path / "log")
    assert (found.empty, found.finished, found.elapsed, found.left) == (False, False, 90 + 3605, 9010)
    (tmp_path / "log").write_text("\n".join(lines[:3]))
    assert ending(tmp_path / "log").finished
    (tmp_path / "log").write_text("\n".join(lines[:2]))
    assert ending(tmp_path / "log").left is None
    assert ending(tmp_path / "none") == Ending()
