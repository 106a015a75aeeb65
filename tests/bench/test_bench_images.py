"""Images a second: what the bench times is what the stages do, and `plan` needs nothing else."""

import json

import numpy as np
import pytest
from PIL import Image

from cocoop.backbone.model import Backbone
from cocoop.backbone.transforms import Preprocessing
from cocoop.bench import images, run, starts, timing
from cocoop.cli import main
from cocoop.io import REPOSITORY
from cocoop.planning.cost.image_rate import ImageRate, decoders
from cocoop.planning.files import plan_of
from cocoop.planning.job import Views
from cocoop.planning.jobs import jobs_of
from tests.planning.test_plan import ROWS, bench

PAPER = REPOSITORY / "config" / "paper.yaml"
MEASURED = images.Measured(64, {"fp32": 0.32, "bf16": 0.064}, picture=0.004, view=0.001)  # 200 and 1000 images a second

STARTS = {starts.OWN: starts.Seconds(6.0, 6.1), starts.FORK: starts.Seconds(0.3, 0.3)}


def tiny():
    return plan_of([REPOSITORY / "config/config.yaml"]).backbones["tiny"]


def test_what_is_timed(monkeypatch):
    """The tower on normalised pixels of its size, and photos decoded and cut by the stages' own functions."""
    encoded, cut = [], []
    encode, view = Backbone.encode_images, Preprocessing.view
    monkeypatch.setattr(Backbone, "encode_images", lambda self, x: encoded.append(x) or encode(self, x))
    monkeypatch.setattr(Preprocessing, "view", lambda self, x, key: cut.append((x.size, key)) or view(self, x, key))
    monkeypatch.setattr(timing, "seconds", lambda run, device: run() is None or 2.0)
    found = images.measure("cpu", tiny())
    assert {tuple(pixels.shape) for pixels in encoded} == {(8, 3, 64, 64)}
    assert encoded[0].min() < -1 < 1 < encoded[0].max()  # normalised
    assert {size for size, _ in cut} == {(500, 375)}
    assert len({key for _, key in cut}) == 32  # every picture has a crop of its own
    assert found.record()["tower"] == [{"precision": "fp32", "batch": 8, "seconds": 2.0, "images_per_second": 4.0}]
    assert found.picture == 2.0 / 32


def test_pictures_are_as_large_as_photos(tmp_path):
    (tmp_path / "again").mkdir()
    for path, same in zip(images.draw(tmp_path, 2), images.draw(tmp_path / "again", 2), strict=True):
        with Image.open(path) as picture:
            assert (picture.format, picture.size) == ("JPEG", (500, 375))
            assert np.asarray(picture).std() > 40
        assert 60_000 < path.stat().st_size < 130_000
        assert path.read_bytes() == same.read_bytes()


@pytest.mark.parametrize("quick", [False, True])
def test_second_table_and_json(quick, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(run, "measure", lambda *_, **__: [])
    monkeypatch.setattr(run, "rendered", lambda *_: "the first table")
    monkeypatch.setattr(images, "measure", lambda device: MEASURED)
    monkeypatch.setattr(starts, "measure", lambda: STARTS)
    assert main(["bench", "--device", "cpu", "--json", str(tmp_path / "b.json"), *["--quick"] * quick]) == 0
    out = capsys.readouterr().out.splitlines()
    assert [line.split("|")[-2].strip() for line in out if line.startswith("| ")] == (
        [] if quick else ["a second", "200.0", "1,000.0", "250.0", "1,000.0", "seconds", "6.10", "0.30"]
    )
    content = json.loads((tmp_path / "b.json").read_text())
    assert content.get("images") == (None if quick else MEASURED.record())
    assert content.get("starts") == (None if quick else starts.record(STARTS))
    assert quick or out[-1] == "start of a stage: 20.0 times less CPU time than in a process of its own"


def job_of(stage, per_image=1):
    jobs = jobs_of(plan_of([PAPER]))
    return next(
        job
        for job in jobs
        if job.stage.name == stage and (not isinstance(job.about, Views) or job.about.per_image == per_image)
    )


@pytest.mark.parametrize(
    ("precision", "workers", "stage", "per_image", "rate"),
    [
        ("bf16", 7, "features", 1, 1000),  # seven processes would decode 1400
        ("bf16", 3, "features", 1, 3 / 0.005),
        ("fp32", 7, "features", 1, 200),
        ("fp32", 0, "features", 1, 1 / (1 / 200 + 0.005)),  # one process, one after the other
        ("bf16", 7, "train", 1, 500),  # of a method that takes images: forward and backward
        ("bf16", 1, "views", 40, 1 / (0.004 / 40 + 0.001)),  # decoded once for forty views
    ],
)
def test_the_slower_of_device_and_decoding_counts(precision, workers, stage, per_image, rate):
    found = ImageRate.measured(MEASURED.record(), precision, workers)
    assert found.of(job_of(stage, per_image)) == pytest.approx(rate)


def test_decoding_processes_are_the_profiles(tmp_path):
    assert decoders() == 7
    (tmp_path / "profile.yaml").write_text("set-threads: {features: 13}")
    assert decoders(tmp_path / "profile.yaml") == 12


def hours(capsys, *options):
    """Of the row of everything: hours for images and for text."""
    assert main(["plan", "--configfile", str(PAPER), *options]) == 0
    out = capsys.readouterr().out
    rows = [line for line in out.splitlines() if line.startswith("all, shared jobs once")]
    cells = (
        rows[1].removeprefix("all, shared jobs once").split() if len(rows) > 1 else ["?"] * 3
    )  # no table if none is known
    assert len(rows) == 1 or "\nhours " in out
    return cells[1:3], " ".join(out.split())


@pytest.mark.slow
def test_plan_shows_each_kind_of_hours_by_itself(tmp_path, capsys):
    rows = [row for row in ROWS if row["precision"] == "fp32"]
    without = str(bench(tmp_path / "without.json", rows))
    with_images = str(bench(tmp_path / "with.json", rows, images=MEASURED.record()))
    assert hours(capsys)[0] == ["?", "?"]
    (image, text), out = hours(capsys, "--throughput", without)
    assert image == "?" != text
    assert "For images, run the bench without --quick" in out
    (image, unknown), _ = hours(capsys, "--images-per-second", "500")
    assert image != "?" == unknown
    both, out = hours(capsys, "--throughput", with_images, "--workers", "7")
    assert both[1] == text
    assert "each of 7 processes (--workers) decodes 250 images or crops 1,000 views per second" in out
    assert hours(capsys, "--throughput", with_images)[0] == both
    slow, _ = hours(capsys, "--throughput", with_images, "--workers", "0")
    assert float(slow[0]) > float(both[0])
    given, _ = hours(capsys, "--throughput", with_images, "--images-per-second", "500")
    assert given == [image, text]


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("--workers", "-1", "expected an integer >= 0, got '-1'"),
        *(
            ("--images-per-second", text, f"expected a number > 0, got {text!r}")
            for text in ("nan", "0", "-3", "inf", "x")
        ),
    ],
)
def test_numbers_that_cannot_be_are_one_line(option, value, expected, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["plan", "--configfile", str(PAPER), option, value])
    said = capsys.readouterr().err
    assert said.startswith(f"error: argument {option}: {expected}") and said.count("\n") == 1
