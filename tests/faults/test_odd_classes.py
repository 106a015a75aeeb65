"""Odd lists of classes from the manifest to the report: the right numbers everywhere, or one line that says why not."""

import csv

import pytest

from cocoop import io
from tests.faults.odd import METHODS, Class, Odd

LONG = " ".join(["word"] * 61)
PAIRS = [Class("crane"), Class("cat"), Class("crane"), Class("maillot"), Class("dog"), Class("maillot")]


@pytest.fixture
def odd(world, made, tmp_path):
    return lambda classes, **options: Odd(world, made, tmp_path / "odd", classes, **options)


def works(benchmark: Odd, figures, name: str) -> None:
    """Every stage ends well, and the numbers are those counted again from the predictions."""
    stage, ended = benchmark.run()
    assert (stage, ended.code) == ("report", 0), f"{stage}: {ended.text}"
    sizes = [one.test for one in benchmark.classes]
    half = -(-len(sizes) // 2)
    parts = {"all": sizes, "base": sizes[:half], "new": sizes[half:]}
    with (benchmark.folder / "results/experiments/odd/records.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(METHODS) * len(benchmark.subsets)
    for variant in METHODS:
        for record in benchmark.records(variant):
            subset = record["target_subset"]
            assert [entry["total"] for entry in record["classes"]] == parts[subset]
            correct = recounted(benchmark, variant, subset)
            assert record["correct"] == correct and record["accuracy"] == correct / sum(parts[subset])
            row = next(row for row in rows if row["variant"] == variant and row["target_subset"] == subset)
            assert float(row["accuracy"]) == record["accuracy"]
    figures.add(f"odd class lists, all stages: {name}", "right numbers from manifest to report")


def recounted(benchmark: Odd, variant: str, subset: str) -> int:
    job = benchmark.evaluation(variant)
    tensors = io.read_tensors(benchmark.folder / job.outputs["predictions"], "predictions")[0]
    seed = job.about.run.seeds[0]
    return int((tensors[f"seed{seed}.{subset}.predicted"] == tensors[f"{subset}.labels"]).sum())


def refused(benchmark: Odd, figures, name: str, at: str, *words: str) -> None:
    stage, ended = benchmark.run()
    line = ended.text.strip().splitlines()[-1]
    assert (stage, ended.code) == (at, 2) and "Traceback" not in ended.text, f"{stage}: {ended.text}"
    assert line.startswith("error: ") and all(word in line for word in words), line
    figures.add(f"odd class lists, all stages: {name}", "one line")


def test_fewer_images_than_shots(odd, figures):
    works(odd([Class("cat", 1), Class("dog", 3), Class("fish", 16), Class("bird", 5)], shots=16), figures, "few images")


def test_identical_names(odd, figures):
    """ImageNet has two such pairs. Zero-shot they have equal logits, and the first wins, as in the reference's argmax."""
    benchmark = odd(PAIRS)
    works(benchmark, figures, "two pairs of names")
    (base, new) = benchmark.records("clip")
    assert base["classes"][2]["correct"] == new["classes"][2]["correct"] == 0


@pytest.mark.parametrize("name", ["", " ", "_"])
def test_an_empty_name(name, odd, full, figures):
    if name != "_" and not full:
        return
    works(odd([Class(name), Class("cat"), Class("dog"), Class("fish")]), figures, "empty name")


def test_one_class(odd, figures):
    benchmark = odd([Class("cat")], subsets=("all",))
    works(benchmark, figures, "one class")
    assert benchmark.records("cocoop")[0]["accuracy"] == 1.0


def test_one_class_has_no_new_half(odd, figures):
    refused(odd([Class("cat")]), figures, "one class", "evaluate", "odd", "'new' has no class")


def test_a_class_without_a_test_image(odd, figures):
    """It stays a class that images can be taken for; with nothing of its own to count."""
    works(odd([Class("cat"), Class("dog", test=0), Class("fish"), Class("bird")]), figures, "no test image")


def test_a_half_without_a_test_image(odd, figures):
    classes = [Class("cat"), Class("dog", test=0)]
    refused(odd(classes), figures, "no test image", "evaluate", "odd", "'new' has no test image")


@pytest.mark.parametrize("variant", ["coop", "cocoop"])
def test_a_long_name_with_sixty_contexts(variant, odd, figures):
    benchmark = odd([Class(LONG), Class("cat")], variants={variant: {"params": {"n_ctx": 60, "ctx_init": None}}})
    refused(benchmark, figures, "61 words and 60 contexts", "train", "word word", "... (304 characters)", "77")


def test_a_thousand_classes(odd, full, figures):
    """With names of different length, one of them of 60 tokens; each class has one image to learn from and one to test on."""
    number = 1000 if full else 40
    names = [f"thing {number}" for number in range(number - 1)] + [" ".join(["word"] * 60)]
    training = {"training": {"epochs": 1, "batch_size": 50}}
    classes = [Class(name, 1, 1) for name in names]
    works(odd(classes, shots=1, variants={"coop": training, "cocoop": training}), figures, f"{number:,} classes")
