"""Times of a plan on devices that were not measured: by hand, and for several devices."""

import json

import pytest

from cocoop.cli import main
from cocoop.planning.cost import devices, phases, table
from cocoop.planning.cost.devices import Assumptions, Device
from cocoop.planning.cost.modelled import Modelled
from cocoop.planning.cost.phases import Phases
from cocoop.planning.cost.tokens import Counter
from cocoop.planning.files import load, plan_of
from cocoop.planning.jobs import jobs_of
from cocoop.planning.stages import FEATURES, VIEWS
from tests.planning.test_plan import estimator, evaluation_of, job_of, run_of, small

PEAK, IMAGES, TEXT, LAUNCH, START = 1e9, 0.5, 0.25, 1e-5, 3.0
DEVICE = Device("mine", "My device", "fp32", PEAK, "a book", False, Assumptions(IMAGES, TEXT, LAUNCH, START, "a guess"))
D, LAYERS, E, SEEDS = 128, 3, 128, 3  # of the bundled model


@pytest.fixture
def counter(tmp_path):
    return Counter(estimator(plan_of([small(tmp_path)]), tmp_path))


def text_operations(tokens, prompts):
    """Each token: output and MLP of the first layer, all of the second, keys and values of the third; its rest for each prompt."""
    return 2 * ((9 + 12 + 2) * D * D * tokens + (10 * D * D + D * E) * prompts)


def test_phases_of_a_training_by_hand(counter):
    plan = counter.estimator.plan
    job = job_of(plan, run_of(plan, "digits", "cocoop"))
    found = phases.of(job, Modelled(DEVICE, counter), counter)
    steps = 10 * 32  # epochs x images, each with two classes for three seeds: 4 + 6 - 1 tokens and 4 of the context
    count = 2 * text_operations(steps * SEEDS * 13, steps * SEEDS * 2)  # forward and backward
    launches = steps * 367 * (2 + LAYERS) / (2 + 12) * LAUNCH
    assert found.floor == pytest.approx(count / PEAK)
    assert (found.images, found.starts, found.literal) == (0, START, None)
    assert found.text == pytest.approx(count / (PEAK * TEXT))
    assert found.launches == pytest.approx(launches)
    assert found.total == pytest.approx(count / (PEAK * TEXT) + launches + START)


def test_phases_of_a_test_by_hand(counter):
    plan = counter.estimator.plan
    job = job_of(plan, evaluation_of(plan, run_of(plan, "digits", "cocoop"), "digits", ("base", "new")))
    found = phases.of(job, Modelled(DEVICE, counter), counter)
    count = text_operations(SEEDS * 2 * (13 + 10), SEEDS * 2 * 4)  # two images of each half
    assert found == pytest.approx((count / PEAK, 0, count / (PEAK * TEXT), 0, START, None))


def test_phases_of_images_by_hand(counter):
    job = next(job for job in jobs_of(counter.estimator.plan) if job.stage is FEATURES)
    one = 34_269_184  # of the bundled model
    assert counter.estimator.backbones["tiny"].image_operations == one
    alone = phases.of(job, Modelled(DEVICE, counter), counter)
    decoding = 0.0012 + 0.00115
    assert alone == pytest.approx((4 * one / PEAK, 4 * (one / (PEAK * IMAGES) + decoding), 0, 0, START, None))
    helped = phases.of(job, Modelled(DEVICE, counter, workers=1), counter)
    assert helped.images == pytest.approx(4 * one / (PEAK * IMAGES))  # slower than decoding
    given = phases.of(job, Modelled(DEVICE, counter, images_per_second=8.0), counter)
    assert given.images == 0.5


def test_an_architecture_of_unknown_size_has_no_time(counter):
    size = counter.estimator.backbones["tiny"]
    counter.estimator.backbones["tiny"] = type(size)(None, None)
    speed, plan = Modelled(DEVICE, counter), counter.estimator.plan
    for job in jobs_of(plan):
        if job.stage in (FEATURES, VIEWS):
            assert (phases.of(job, speed, counter).floor, phases.of(job, speed, counter).total) == (None, None)


def test_sums_and_several_devices():
    jobs = [
        Phases(1.0, 2.0, 1.0, 0.0, 1.0, None),
        Phases(2.0, 0.0, 5.0, 1.0, 1.0, None),
        Phases(0.5, 0.0, 0.0, 0.0, 3.0, None),
    ]
    total = phases.total(jobs)
    assert total == (3.5, 2.0, 6.0, 1.0, 5.0, None) and total.total == 14
    times = [job.total for job in jobs]  # 4, 7 and 3
    assert [phases.on(devices, times) for devices in (1, 2, 3, 100)] == [14, 7, 7, 7]
    assert phases.on(2, [1.0, None]) is None and phases.on(2, []) == 0


def test_the_devices_of_the_file(monkeypatch):
    assert devices.names() == ["h100", "a100", "rtx4090", "cpu"]  # as in the help of the command
    for name in devices.names():
        for precision in ("fp32", "bf16", "fp16", "auto", "reference-fp16"):
            device = devices.named(name, precision)
            assert device.precision == ("fp32" if precision == "fp32" or name == "cpu" else "bf16")
            assert device.source and device.assumed.source
            assert 0 < device.assumed.images <= 1 and 0 < device.assumed.text <= 1
    assert devices.named("h100", "fp16").peak == 989.4e12
    monkeypatch.setattr(devices.os, "sched_getaffinity", lambda process: {0, 2, 5}, raising=False)
    assert (devices.named("cpu", "fp32").peak, devices.named("cpu", "fp32").title) == (300e9, "CPU, 3 cores")


def test_a_model_says_that_it_is_one(tmp_path, capsys):
    path = small(tmp_path)
    assert main(["plan", "--configfile", str(path), "--throughput", "a100", "--devices", "2"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert (
        "NVIDIA A100 is a model, not a measurement: 20 TFLOP/s fp32, of which images reach 50% and text 50%; 367 "
        in out
    )
    assert "Sources: peak: NVIDIA's A100 datasheet, dense; shares and starts: assumed, not measured: " in out
    assert "total on 2 devices" in out


def test_all_jobs_are_in_the_table(tmp_path, capsys):
    """The sums of the table are those of the jobs; starts are one for each."""
    plan = plan_of([small(tmp_path)])
    table.show(plan, tmp_path, "h100")
    rows = capsys.readouterr().out.split("\nseconds ")[1].splitlines()
    assert rows[0].split() == ["floor", "images", "text", "launches", "starts", "total"]
    start = devices.assumptions("gpu").start * sum(job.needs_gpu for job in jobs_of(plan))
    assert float(rows[3].split()[-2]) == pytest.approx(start, abs=0.1)


@pytest.mark.parametrize(("name", "near"), [("h1000", " Did you mean 'h100'?"), ("bench.json", "")])
def test_unknown_device_is_one_line(name, near, tmp_path, monkeypatch, capsys):
    (tmp_path / "any.yaml").write_text(json.dumps(load()))
    monkeypatch.chdir(tmp_path)
    assert main(["plan", "--configfile", "any.yaml", "--throughput", name]) == 2
    assert capsys.readouterr().err == (
        f"error: --throughput: {name!r} is neither a file nor a device; devices: h100, a100, rtx4090, cpu.{near} "
        "For a file, run `python -m cocoop bench --json bench.json` on your device.\n"
    )


def test_no_devices_is_one_line(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["plan", "--devices", "0"])
    assert stopped.value.code == 2
    assert "--devices: expected an integer >= 1, got '0'" in capsys.readouterr().err
