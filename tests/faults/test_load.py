"""Load: an ImageNet-size manifest, twenty thousand runs, fifty thousand images. CI takes a fiftieth of each."""

import json
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from cocoop import io
from cocoop.images import feature_file
from cocoop.manifest import Manifest

SHARE_IN_CI, MOST_SECONDS = 50, 60.0
IMAGENET = r"""
import json, re, sys, time
from pathlib import Path
from cocoop.data import readers
from cocoop.manifest import Manifest
from cocoop.splits import load_few_shot
folder, images = Path(sys.argv[1]), int(sys.argv[2])
start = time.perf_counter()
listing = readers.read({"kind": "coop_split", "file": "split.json", "images": "images"}, folder)
splits = {split: tuple(items) for split, items in listing.splits.items()}
del listing.splits
Manifest("imagenet", listing.classnames, splits).save(folder / "m.json")
manifest = Manifest.load(folder / "m.json")
from cocoop.cli import main
main(["fewshot", "--manifest", str(folder / "m.json"), "--shots", "16", "--seed", "1", "--out", str(folder / "f.json")])
drawn = load_few_shot(folder / "f.json")
from cocoop import io
from cocoop.planning.files import plan_of
plan = plan_of([Path("config/paper.yaml")])
print("\n" + json.dumps({
    "seconds": time.perf_counter() - start,
    "mb": int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024,
    "lines": len(manifest.splits["train"]), "drawn": len(drawn["train"]), "jobs": len(plan.runs) + len(plan.evaluations),
}))
"""

MANY = r"""
import json, re, sys, time
from pathlib import Path
from cocoop.cli import main
start = time.perf_counter()
folder = sys.argv[2]
code = main(["manifest", "--dataset", sys.argv[1], "--data-root", f"{folder}/data", "--out", f"{folder}/m.json"])
status = Path("/proc/self/status").read_text()
print("\n" + json.dumps({
    "seconds": time.perf_counter() - start, "mb": int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024,
}))
sys.exit(code)
"""


def test_a_manifest_of_imagenets_size(tmp_path, full, figures):
    """From a split file through its reader; no disk holds as many files for a test, so `verify` is tried on fewer, below."""
    images = 1_281_167 // (1 if full else SHARE_IN_CI)
    write_split_file(tmp_path / "split.json", images)
    command = [sys.executable, "-c", IMAGENET, str(tmp_path), str(images)]
    done = subprocess.run(command, cwd=io.REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["lines"] == images and found["drawn"] == 16_000 and found["jobs"] > 100
    assert found["mb"] < 2048 and found["seconds"] < MOST_SECONDS
    seconds, size = found["seconds"], found["mb"]
    figures.add("load: reader, manifest, few-shot and plan", f"{images:,} lines in {seconds:.0f} s and {size:,.0f} MB")


def write_split_file(path: Path, images: int) -> None:
    def rows(split: str, number: int) -> list[list]:
        return [[f"{split}/n{i % 1000:08d}/{i}.JPEG", i % 1000, f"thing {i % 1000}"] for i in range(number)]

    path.write_text(json.dumps({"train": rows("train", images), "val": [], "test": rows("val", images // 25)}))


@pytest.mark.parametrize("split", ["column", "fractions"])
def test_a_listing_of_many_files(split, tmp_path, full, figures):
    """Real (empty) files, their reader, and all checks of the manifest stage; grouping by class was quadratic."""
    images, classes = 50_000 // (1 if full else SHARE_IN_CI), 1000 // (1 if full else 10)
    lines = ["path,class,split"]
    for i in range(images):
        place = tmp_path / f"data/many/{i % classes}/{i}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
        lines.append(f"{i % classes}/{i}.jpg,thing {i % classes},{'test' if i // classes % 5 == 4 else 'train'}")
    reader = {"kind": "listing", "file": "list.csv"}
    if split == "fractions":
        lines = [line.rpartition(",")[0] for line in lines]
        reader["split"] = {"train": 0.5, "val": 0.2, "test": 0.3}
    (tmp_path / "data/many/list.csv").write_text("\n".join(lines) + "\n")
    settings = {"title": "Many", "template": "a {}.", "reader": reader}
    command = [sys.executable, "-c", MANY, json.dumps({"name": "many", "settings": settings}), str(tmp_path)]
    done = subprocess.run(command, cwd=io.REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(Manifest.load(tmp_path / "m.json").classnames) == classes
    assert found["mb"] < 2048 and found["seconds"] < MOST_SECONDS
    figures.add(
        "load: a listing and its files", f"{images:,} files in {found['seconds']:.0f} s and {found['mb']:,.0f} MB"
    )


def test_a_folder_of_many_runs(made, tmp_path, full, figures):
    """Each of the runs has a metrics file of its own; then collect and tables."""
    runs = 20_000 // (1 if full else SHARE_IN_CI)
    metrics, experiment = (
        io.read_json(made / "test/metrics.json", "metrics"),
        io.read_json(made / "experiment.json", "experiment"),
    )
    record, expected, listing = metrics["records"][0], [], []
    for seed in range(1, runs + 1):
        body = {**metrics, "records": [{**record, "seed": seed, "target_subset": subset} for subset in ("base", "new")]}
        path = tmp_path / "runs" / f"{seed // 500}" / f"{seed}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**body, "sha256": io.sha256_text(io.canonical_json(body))}, ensure_ascii=False))
        listing.append(str(path))
        keys = ("dataset", "subset", "variant", "shots", "target")
        expected += [
            {**{key: record[key] for key in keys}, "seed": seed, "target_subset": subset} for subset in ("base", "new")
        ]
    variants = [entry for entry in experiment["variants"] if entry["trainable"]]
    io.write_json(
        tmp_path / "e.json",
        {**experiment, "variants": variants, "seeds": list(range(1, runs + 1)), "expected": expected},
    )
    (tmp_path / "metrics.txt").write_text("\n".join(listing))
    start, program = time.perf_counter(), [sys.executable, "-m", "cocoop"]
    for line in (
        ["collect", "--metrics", tmp_path / "metrics.txt", "--out", tmp_path / "records.csv"],
        [
            "tables",
            "--experiment",
            tmp_path / "e.json",
            "--records",
            tmp_path / "records.csv",
            "--out",
            tmp_path / "tables",
        ],
    ):
        done = subprocess.run([*program, *map(str, line)], cwd=io.REPOSITORY, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
    assert len((tmp_path / "records.csv").read_text().splitlines()) == 2 * runs + 1
    assert list((tmp_path / "tables").iterdir())
    seconds = time.perf_counter() - start
    assert seconds < MOST_SECONDS
    figures.add("load: collect and tables", f"{runs:,} runs in {seconds:.0f} s")


def test_features_stream(tmp_path, full, figures):
    """The file is written without holding the features: memory stays at one block."""
    images, width, rows = 50_000 // (1 if full else SHARE_IN_CI), 512, 500
    block = np.random.default_rng(0).random((rows, width), dtype=np.float32)
    blocks = (feature_file.Block("features", start * width, block) for start in range(0, images, rows))
    labels = {"labels": np.zeros(images, dtype=np.int64)}
    tracemalloc.start()
    feature_file.write(tmp_path / "x.safetensors", labels, {"features": (images, width)}, blocks, {"kind": "features"})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 2**20
    tensors, _ = io.read_tensors(tmp_path / "x.safetensors", "features")
    assert tensors["features"].shape == (images, width) and (tensors["features"][-rows:].numpy() == block).all()
    figures.add("load: streamed features", f"{images:,} images, {peak / 2**20:.1f} MB held")
