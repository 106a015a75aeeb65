"""What `python -m cocoop plan` counts, against the numbers derived from the reference's settings and by hand."""

import json
from dataclasses import replace

import pytest

from cocoop import io
from cocoop.cli import main
from cocoop.errors import UserError
from cocoop.io import REPOSITORY
from cocoop.manifest import Item, Manifest
from cocoop.planning.cost import table
from cocoop.planning.cost.sizes import backbone_size, dataset_sizes
from cocoop.planning.cost.throughput import Throughput
from cocoop.planning.cost.tokens import Counter
from cocoop.planning.cost.work import Estimator
from cocoop.planning.files import load, plan_of
from cocoop.planning.jobs import jobs_of
from cocoop.planning.stages import FEATURES, MANIFEST, TRAIN, VIEWS

PAPER = REPOSITORY / "config" / "paper.yaml"
PASSES = json.loads((REPOSITORY / "tests/goldens/passes.json").read_text())["datasets"]
SEEDS = 3


@pytest.fixture(scope="module")
def paper():
    return plan_of([PAPER])


def estimator(plan, folder) -> Estimator:
    return Estimator(plan, dataset_sizes(plan, folder))


def job_of(plan, about):
    return next(job for job in jobs_of(plan) if job.about == about)


def run_of(plan, dataset, variant, subset="base"):
    """The plan's run with 16 shots and seeds 1 to 3."""
    wanted = (dataset, subset, variant, 16, (1, 2, 3))
    return next(r for r in plan.runs if (r.dataset, r.subset, r.variant, r.shots, r.seeds) == wanted)


def evaluation_of(plan, run, target, subsets):
    return next(e for e in plan.evaluations if (e.run, e.target, e.subsets) == (run, target, subsets))


@pytest.mark.parametrize("dataset", PASSES)
@pytest.mark.slow
def test_text_passes_of_the_paper(paper, dataset, tmp_path):
    count, golden = estimator(paper, tmp_path), PASSES[dataset]
    coop = run_of(paper, dataset, "coop")
    cocoop = run_of(paper, dataset, "cocoop")
    work = count.work(job_of(paper, coop))
    assert (work.steps, work.prompts) == (golden["coop_steps"], SEEDS * golden["coop_text_passes"])
    work = count.work(job_of(paper, cocoop))
    assert (work.steps, work.prompts) == (golden["cocoop_steps"], SEEDS * golden["cocoop_train_text_passes"])
    passes = count.work(job_of(paper, evaluation_of(paper, cocoop, dataset, ("base", "new")))).prompts
    assert passes == pytest.approx(
        SEEDS * golden["cocoop_test_text_passes"], rel=1e-3
    )  # halves are uneven on some datasets


def test_image_passes_and_disk(paper, tmp_path):
    count = estimator(paper, tmp_path)
    features = count.work(next(job for job in jobs_of(paper) if job.stage is FEATURES and job.about == "dtd"))
    assert (features.images, features.disk) == (1692, 1692 * 512 * 4)
    run = run_of(paper, "dtd", "coop")
    read = job_of(paper, run).files
    views = [job for job in jobs_of(paper) if job.stage is VIEWS and job.outputs["views"] in read]
    assert sum(count.work(job).images for job in views) == 200 * 16 * 24 * SEEDS


def test_dataset_of_unknown_size_has_no_work(paper, tmp_path):
    sizes = dataset_sizes(paper, tmp_path)
    assert set(sizes) == set(paper.datasets)
    sizes.pop("dtd")
    count = Estimator(paper, sizes)
    for job in jobs_of(paper):
        if job.stage is FEATURES:
            assert (count.work(job) is None) == (job.about == "dtd")


def test_memory_of_images_in_a_training_step(tmp_path, capsys):
    """ViT-B/16 in half precision: 197 tokens of width 768 in 12 layers, of which MMA changes the last 8 (from the fifth)."""
    plan = plan_of([REPOSITORY / "config/successors.yaml"])
    count, a_layer = estimator(plan, tmp_path), 14 * 197 * 768 * 2
    found = {name: count.activations(run_of(plan, "dtd", name)) for name in ("coop", "maple", "clip_lora", "mma")}
    seeds = {name: 3 if plan.registry.variant(name, "test").stacked else 1 for name in found}
    assert found == {
        "coop": None,
        "maple": seeds["maple"] * 4 * 12 * a_layer,
        "clip_lora": seeds["clip_lora"] * 32 * 12 * a_layer,
        "mma": seeds["mma"] * 16 * 8 * a_layer,
    }
    table.show(plan, tmp_path)
    assert "MB of memory in a training step (mma_transfer; less in others, up to twice" in words(capsys)


def test_an_unverified_size_is_used_and_mentioned(paper, tmp_path, capsys):
    count = estimator(paper, tmp_path)
    assert [name for name, size in count.datasets.items() if size.estimated] == ["imagenet_sketch"]
    sketch = evaluation_of(paper, run_of(paper, "imagenet", "cocoop", "all"), "imagenet_sketch", ("all",))
    assert count.work(job_of(paper, sketch)).prompts == SEEDS * 50_889 * 1000
    table.show(paper, tmp_path)
    assert "Unverified numbers of the authors: 50,889 test images of imagenet_sketch.\n" in capsys.readouterr().out


def small(folder, names=("a cat", "a very small dog", "fish", "horse")):
    """The demo's digits with a manifest of other classes in a working folder."""
    items = tuple(Item(f"{label}.png", label) for label in range(len(names)))
    Manifest("digits", names, {"train": items, "val": (), "test": items}).save(
        folder / MANIFEST.outputs["manifest"].format(dataset="digits", id=plan_of().datasets["digits"].data)
    )
    experiments = {"base_to_new": {"train_datasets": ["digits"], "variants": ["clip", "coop", "cocoop"]}}
    path = folder / "small.yaml"
    path.write_text(json.dumps(load() | {"experiments": experiments}))
    return path


def test_tokens_with_class_names(tmp_path):
    plan = plan_of([small(tmp_path)])
    count = estimator(plan, tmp_path)
    tokens = Counter(count)
    evaluation = evaluation_of(plan, run_of(plan, "digits", "cocoop"), "digits", ("base", "new"))
    found = tokens.tokens(job_of(plan, evaluation))
    # Two test images and two classes in each half: 3 seeds x 2 x 2 x 2 prompts of 77 tokens.
    assert found.literal == 3 * 8 * 77
    # Per image: 4 context vectors and each class's own tokens up to EOT: "a cat." 3 + 1, "a very small dog." 5 + 1 (both begin
    # with "a", computed once), "fish." 2 + 1, "horse." 2 + 1.
    assert found.fast == 3 * (2 * (4 + 4 + 6 - 1) + 2 * (4 + 3 + 3))


def test_tokens_of_a_tower_on_the_literal_path(tmp_path):
    """All of them, counted without cutting the names into another tokenizer's tokens (16 are too few for CLIP's)."""
    plan = plan_of([small(tmp_path, ("a very small dog of many colours and a few spots", "cat"))])
    count = estimator(plan, tmp_path)
    size = backbone_size(replace(plan.backbones["tiny"], model="ViT-SO400M-14-SigLIP"))
    assert (size.context_length, size.literal) == (16, True)
    count.backbones["tiny"] = size
    evaluation = evaluation_of(plan, run_of(plan, "digits", "cocoop"), "digits", ("base", "new"))
    assert Counter(count).tokens(job_of(plan, evaluation)) == (3 * 2 * 16, 3 * 2 * 16, False)


def test_tokens_before_the_class_names_are_known(tmp_path):
    plan = plan_of([PAPER])
    run = run_of(plan, "eurosat", "cocoop")
    found = Counter(estimator(plan, tmp_path)).tokens(job_of(plan, run))
    prompts = 3 * 5 * (10 * 5 * 16)  # seeds, classes, images of ten epochs
    assert found == (prompts * 77, round(prompts * (4.2 + 4 / 5)), True)


def words(capsys):
    """What was printed, without its line breaks."""
    return " ".join(capsys.readouterr().out.split())


def bench(path, rows, **more):
    io.write_json(path, {"schema": 1, "kind": "bench", "where": "a device", "rows": rows, **more})
    return path


def row(method, work, classes, batch, seconds, precision="fp32"):
    return {
        "method": method,
        "work": work,
        "classes": classes,
        "batch": batch,
        "precision": precision,
        "fast": {"seconds": seconds},
    }


ROWS = [
    row("cocoop", "train", 10, 1, 0.01), row("cocoop", "train", 100, 1, 0.04), row("cocoop", "train", 100, 1, 9.0, "bf16"),
    row("cocoop", "evaluate", 100, 4, 0.04), row("coop", "train", 100, 32, 0.05), row("coop", "evaluate", 100, 32, 0.01),
]  # fmt: skip


def test_seconds_from_the_bench(tmp_path):
    plan = plan_of([small(tmp_path)])
    count, speed = estimator(plan, tmp_path), Throughput(bench(tmp_path / "bench.json", ROWS), "fp32", 50.0)
    run = run_of(plan, "digits", "cocoop")
    steps = (
        10 * 32
    )  # epochs x images of one seed; a step has 3 seeds x 2 classes, fewer than the smallest step measured
    assert speed.text_seconds(count, job_of(plan, run)) == pytest.approx(steps * 0.01)
    test = job_of(plan, evaluation_of(plan, run, "digits", ("base", "new")))
    assert speed.text_seconds(count, test) == pytest.approx(24 * 0.04 / 400)
    features = next(job for job in jobs_of(plan) if job.stage is FEATURES)
    assert speed.image_seconds(count, features) == pytest.approx(4 / 50)
    assert (speed.text_seconds(count, features), speed.image_seconds(count, test)) == (0, 0)
    fixed = 0.01 - (0.04 - 0.01) * 10 / (100 - 10)  # of a step without prompts, on the line through both measurements
    assert speed.launch_seconds(count, job_of(plan, run)) == pytest.approx(steps * fixed)
    assert speed.launch_seconds(count, test) == 0


def test_literal_hours_are_of_the_literal_rows(tmp_path):
    plan = plan_of([small(tmp_path)])
    count, job = estimator(plan, tmp_path), job_of(plan, run_of(plan, "digits", "cocoop"))
    only_large = [made | {"literal": {"seconds": 2.0}} if made["classes"] == 100 else made for made in ROWS]
    speed = Throughput(bench(tmp_path / "bench.json", only_large), "fp32")
    assert speed.text_seconds(count, job, "literal") == pytest.approx(10 * 32 * 2.0)
    assert speed.text_seconds(count, job) < speed.text_seconds(count, job, "literal")
    without = Throughput(bench(tmp_path / "bench.json", ROWS), "fp32")
    assert without.text_seconds(count, job, "literal") is None


def test_methods_that_take_images_cost_both(tmp_path):
    path = small(tmp_path)
    experiments = {"base_to_new": {"train_datasets": ["digits"], "variants": ["visual_prompt"]}}
    path.write_text(json.dumps(load() | {"experiments": experiments}))
    plan = plan_of([path])
    count, speed = estimator(plan, tmp_path), Throughput(bench(tmp_path / "bench.json", ROWS), "fp32", 50.0)
    training = next(job for job in jobs_of(plan) if job.stage is TRAIN)
    images = count.work(training).images
    assert images == 3 * 50 * 32  # seeds, epochs, images of one epoch
    assert speed.image_seconds(count, training) == pytest.approx(images / 50)
    assert speed.text_seconds(count, training) > 0


@pytest.mark.parametrize(("backbone", "places"), [("vit_b16", 196), ("rn50", 49), ("tiny", 4)])
def test_local_features_have_files_of_their_own_and_their_size_is_shown(backbone, places, tmp_path, capsys):
    path = small(tmp_path)
    experiments = {"base_to_new": {"train_datasets": ["digits"], "variants": ["coop", "plot"]}}
    changes = {"backbone": backbone, "views": 20, "experiments": experiments}
    path.write_text(json.dumps(load() | changes))
    plan = plan_of([path])
    count, jobs = estimator(plan, tmp_path), jobs_of(plan)
    for stage, images in ((FEATURES, 4), (VIEWS, 20 * 2 * 16 * SEEDS)):
        of_stage = [job for job in jobs if job.stage is stage]
        local = [job for job in of_stage if job.local]
        assert len(local) == len(of_stage) / 2 == (1 if stage is FEATURES else 2)
        assert all(("--local" in job.command) == job.local for job in of_stage)
        assert len({path for job in of_stage for path in (*job.outputs.values(), job.log)}) == 2 * len(of_stage)
        assert (
            sum(count.work(job).disk for job in local)
            == images * (1 + places) * count.backbones[backbone].embed_dim * 2
        )
    for variant in ("coop", "plot"):
        run = run_of(plan, "digits", variant)
        for about in (run, evaluation_of(plan, run, "digits", ("base", "new"))):
            read = [job for job in jobs if set(job.outputs.values()) & set(job_of(plan, about).files)]
            assert {job.local for job in read if job.stage in (FEATURES, VIEWS)} == {variant == "plot"}
    table.show(plan, tmp_path)
    assert f"1 + {places} features in half precision" in words(capsys)


def test_several_prompts_for_each_class_are_counted(tmp_path):
    path = small(tmp_path)
    path.write_text(
        json.dumps(load() | {"experiments": {"base_to_new": {"train_datasets": ["digits"], "variants": ["plot"]}}})
    )
    plan = plan_of([path])
    count, run = estimator(plan, tmp_path), run_of(plan, "digits", "plot")
    work = count.work(job_of(plan, run))
    assert (work.steps, work.prompts_a_step) == (200, SEEDS * 4 * 2)  # 4 prompts for each of 2 base classes
    assert count.work(job_of(plan, evaluation_of(plan, run, "digits", ("base", "new")))).prompts == SEEDS * 4 * 4


def test_curve_is_linear_between_and_in_proportion_beyond(tmp_path):
    curve = Throughput(bench(tmp_path / "bench.json", ROWS), "fp32", None).curves["fast"]["cocoop", "train"]
    assert [curve.seconds(prompts) for prompts in (1, 10, 55, 100, 1000)] == pytest.approx(
        [0.01, 0.01, 0.025, 0.04, 0.4]
    )


def test_bench_without_a_method_gives_advice(tmp_path):
    path = bench(tmp_path / "bench.json", ROWS[:4])
    with pytest.raises(UserError, match="no rows for coop train, coop evaluate; measure again without --quick"):
        Throughput(path, "fp32", None)


def test_table(capsys):
    assert main(["plan", "--configfile", str(PAPER)]) == 0
    out = capsys.readouterr().out
    shared = next(line for line in out.splitlines() if line.startswith("all, shared jobs once"))
    assert shared.removeprefix("all, shared jobs once").split()[2] == "264"
    assert "add --throughput with a device (h100, a100, rtx4090, cpu; modelled), or measure yours" in " ".join(
        out.split()
    )
    assert "~ assumes 4.2 tokens per class" in " ".join(out.split())


@pytest.mark.parametrize("name", ["config", "paper", "successors", "miniature_successors"])
def test_a_plan_fits_a_terminal(name, capsys, tmp_path):
    rows = [made | {"precision": kind, "literal": {"seconds": 2.0}} for made in ROWS for kind in ("fp32", "fp16")]
    measured = bench(tmp_path / "bench.json", rows)
    file = ["--throughput", str(measured), "--images-per-second", "50", "--devices", "100"]
    for more in ([], file, ["--throughput", "rtx4090", "--devices", "100"]):
        assert main(["plan", "--configfile", str(REPOSITORY / f"config/{name}.yaml"), *more]) == 0
        out = capsys.readouterr().out
        assert max(map(len, out.splitlines())) <= 100 and ("launches" in out) == bool(more)
        assert (out.count("literal") > 1) == (more is file)


def test_later_files_override_earlier_ones(tmp_path):
    over = tmp_path / "over.yaml"
    over.write_text("seeds: [7]\nvariants: {coop: {training: {epochs: 3}}}\n")
    merged = load([REPOSITORY / "config/miniature.yaml", over])
    assert merged["seeds"] == [7]
    assert merged["variants"]["coop"] == {"training": {"epochs": 3}}
    assert "cocoop" in merged["variants"]


def test_missing_configuration_is_one_line(capsys):
    assert main(["plan", "--configfile", "nowhere.yaml"]) == 2
    assert capsys.readouterr().err == "error: nowhere.yaml: no such YAML file.\n"
