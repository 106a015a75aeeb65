"""The bench: counted operations are those made, both sides agree or it fails, and the command prints its table."""

import json
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from cocoop.bench import memory, operations, plain, run, sides, summary, towers
from cocoop.bench.cases import Case, cases
from cocoop.bench.models import model_of
from cocoop.bench.sides import CONTEXTS, WORDS, class_names, work
from cocoop.bench.table import Measured
from cocoop.cli import main
from cocoop.config import Registry
from cocoop.text.prompts import learnable
from tests.oracle import TOKENIZER

SMALL = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 4, "layers": 3, "output_dim": 64}
TOWERS = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 64, "layers": 12, "width": 64, "head_width": 32, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 48, "heads": 3, "layers": 12},
}
VARIANTS = {spec.method: name for name, spec in Registry().variants.items() if spec.learns == "by_gradient"}.values()
COUNT = 50  # ImageNet's first 50 names fill their tiles without padding, so that what is made is what is counted


@pytest.fixture(scope="module")
def texts():
    return sides.sides("cpu", SMALL)


def products(encoder, context):
    """Operations of the matrix products of linear layers, forward and backward."""
    with FlopCounterMode(display=False) as forward:
        loss = encoder(context).sum()
    with FlopCounterMode(display=False) as backward:
        loss.backward()
    linear = ("aten.mm", "aten.addmm", "aten.bmm")
    counts = [counter.get_flop_counts()["Global"] for counter in (forward, backward)]
    return tuple(sum(made for op, made in count.items() if str(op) in linear) for count in counts)


def test_required_operations_match_a_profile(texts):
    encoder = texts["fast"].encoder(learnable(TOKENIZER, 77, class_names(COUNT), CONTEXTS, WORDS))
    assert encoder.packing.tails.padding == 0
    context = torch.zeros(1, CONTEXTS, 64, requires_grad=True)
    made, counted = products(encoder, context), operations.required(encoder)
    tails, constants = encoder.packing.tails, 1  # SOS
    positions: list[int] = []
    for parent in tails.parents:
        positions.append(positions[parent] + 1 if parent >= 0 else constants + CONTEXTS)
    pairs = sum(position + 1 for position in [*range(constants, constants + CONTEXTS), *positions])
    eot = sum(positions[row] + 1 for row in tails.leaves)
    rows = encoder.packing.tail_entries + CONTEXTS
    queries = (
        2 * 64**2 * (rows - len(tails.leaves))
    )  # not needed in the last layer, but simpler to compute than to leave out
    assert counted.forward - made[0] == 4 * 64 * (2 * pairs + eot) - queries
    assert counted.backward - made[1] == 8 * 64 * (pairs + eot) + 6 * 64 * CONTEXTS * rows - queries


def test_literal_operations_match_a_profile(texts):
    encoder = texts["literal"].encoder(learnable(TOKENIZER, 77, class_names(3), CONTEXTS, WORDS))
    tower = texts["fast"].encoder(learnable(TOKENIZER, 77, class_names(3), CONTEXTS, WORDS)).tower
    made, counted = products(encoder, torch.zeros(1, CONTEXTS, 64, requires_grad=True)), operations.literal(3, tower)
    assert counted.forward - made[0] == 4 * 64 * 3 * 3 * 77 * 77
    assert counted.backward - made[1] == 8 * 64 * 3 * 3 * 77 * 77


@pytest.mark.parametrize("method", ["cocoop", "coop"])
@pytest.mark.parametrize("what", ["train", "evaluate"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_both_sides_agree(method, what, precision):
    case, texts = Case(method, what, 7, 3, precision), sides.sides("cpu", SMALL, precision)
    literal, fast = (work(case, texts[side]) for side in ("literal", "fast"))
    for _ in range(2):  # the second time after an update of the learned tensors
        expected, found = literal.outcome(), fast.outcome()
        assert expected.keys() == found.keys()
        assert run.difference(expected, found) < run.TOLERANCE[precision]


@pytest.mark.parametrize("method", ["cocoop", "coop"])
@pytest.mark.parametrize("what", ["train", "evaluate"])
def test_seeds_together_agree_with_as_many_literal_runs(method, what):
    """Of each seed, also after an update of the learned tensors; the work is that of so many single steps."""
    model, case = model_of(False, "fp32", "cpu", SMALL), Case(method, what, 7, 3, seeds=3)
    literal, fast = (model.work(case, side) for side in ("literal", "fast"))
    for _ in range(2):
        expected, found = literal.outcome(), fast.outcome()
        for name, value in expected.items():
            assert len(value) == 3 and len({each.sum().item() for each in value}) == 3
            for own, together in zip(value, found[name], strict=True):
                assert run.difference({name: own}, {name: together}) < run.TOLERANCE["fp32"]
    for several, single in zip(model.counted(case), model.counted(replace(case, seeds=1)), strict=True):
        assert several == {side: 3 * count for side, count in single.items()}


def test_each_case_with_the_smallest_batch_is_also_measured_with_several_seeds():
    several = [case for case in cases("cuda", [10], seeds=3) if case.seeds > 1]
    assert {case.batch for case in several if (case.method, case.work) == ("cocoop", "train")} == {1}
    assert {replace(case, seeds=1) for case in several} < set(cases("cuda", [10]))
    assert len(cases("cpu", seeds=3)) == 2 * len(cases("cpu"))


def test_lines_say_how_many_times_the_reference():
    def measured(classes, seconds, memory, disagreement=1e-6, seeds=1, batch=1):
        case = Case("cocoop", "train", classes, batch, seeds=seeds)
        return Measured(case, {"literal": 6.0, "fast": seconds}, {}, {}, disagreement, None, memory)

    without = measured(500, 1.0, {"fast": 1.0}, None)
    without.seconds = {"fast": 1.0}
    assert summary.lines([
        measured(10, 0.5, {"literal": 200.0, "fast": 10.0}), measured(100, 0.25, {"literal": 300.0, "fast": None}, 2e-6),
        measured(10, 1.0, {}, seeds=3), measured(10, 3.0, {}, batch=8), without,
    ]) == [
        "cocoop training step, fp32: 12.0x (10 classes), 24.0x (100 classes) the speed of the reference;"
        " results differ by at most 2.0e-06",
        "cocoop training step, fp32, memory: 1/20.0 (10 classes) of the reference's",
        "cocoop training step, fp32, 3 seeds together: 6.0x (10 classes) the speed of 3 runs of the reference;"
        " results differ by at most 1.0e-06",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def backbone():
    return towers.whole("cpu", TOWERS, "fp32")


@pytest.mark.parametrize("variant", VARIANTS)
def test_both_sides_of_every_variant_agree(variant, backbone):
    case = Case(variant, "train", 7, 3, towers=True)
    literal, fast = (towers.work(case, side, backbone) for side in ("literal", "fast"))
    for _ in range(2):
        expected, found = literal.outcome(), fast.outcome()
        assert expected.keys() == found.keys()
        assert run.difference(expected, found) < run.TOLERANCE["fp32"]
    assert torch.isfinite(fast.run()).all()  # with dropout


@pytest.mark.slow
def test_table_of_methods(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(run, "peak_mb", lambda case, side, *_: {"literal": 20.0, "fast": 2.0}[side])
    monkeypatch.setattr(run, "measure", partial(run.measure, geometry=TOWERS))
    out = tmp_path / "b.json"
    words = [
        "--methods",
        "mma",
        "--classes",
        "3",
        "--batch",
        "2",
        "--repeats",
        "1",
        "--device",
        "cpu",
        "--json",
        str(out),
    ]
    assert main(["bench", *words]) == 0
    assert "| mma      | train  |         3 |       1 |       2 |" in capsys.readouterr().out
    (row,) = json.loads(out.read_text())["rows"]
    assert row["literal"]["seconds"] > 0 and row["towers"] is True
    assert row["disagreement"] < run.TOLERANCE["fp32"]


@pytest.mark.slow
def test_table_and_json(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(run, "measure", small(run.measure))
    monkeypatch.setattr(run, "peak_mb", lambda case, side, *_: {"literal": 20.0, "fast": 2.0}[side])
    options = ["--classes", "3", "--quick", "--device", "cpu", "--threads", "1", "--json", str(tmp_path / "b.json")]
    assert main(["bench", *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("|")[1:4] for line in lines[2:4]] == [
        [" cocoop   ", " train    ", "         3 "], [" cocoop   ", " evaluate ", "         3 "],
    ]  # fmt: skip
    assert ["| 20 | 2 | 10.0x |" in " ".join(line.split()) for line in lines[2:4]] == [True, False]
    assert "differ by" in lines[-1]
    rows = json.loads((tmp_path / "b.json").read_text())["rows"]
    for row in rows:
        assert row["literal"]["flops"] > 10 * row["fast"]["flops"] > 0
        assert row["literal"]["seconds"] > 0
        assert row["fast"]["fraction_of_peak"] == pytest.approx(
            row["fast"]["flops"] / row["fast"]["seconds"] / row["peak_flops"], rel=1e-9
        )


def small(measure):
    return partial(measure, geometry=SMALL)


@pytest.mark.slow
def test_sides_that_disagree_are_an_error(monkeypatch, capsys):
    monkeypatch.setattr(run, "measure", small(run.measure))
    monkeypatch.setattr(run, "peak_mb", lambda *_: None)
    right = plain.PlainText._one
    monkeypatch.setattr(plain.PlainText, "_one", lambda self, context, changes: right(self, context * 1.01, changes))
    assert main(["bench", "--classes", "3", "--quick", "--device", "cpu"]) == 2
    found = capsys.readouterr()
    assert "| cocoop" in found.out
    assert "error: bench: literal and fast results differ by" in found.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--classes", "1"], "error: --classes: expected 2 or more, got 1."),
        (["--seeds", "0"], "error: --seeds: expected 1 or more, without --methods, got 0."),
        (["--seeds", "2", "--methods", "mma"], "error: --seeds: expected 1 or more, without --methods, got 2."),
        (["--batch", "2"], "error: --batch: expected 1 or more, together with --methods, got 2."),
        (["--repeats", "0"], "error: --repeats and --threads: expected 1 or more, got 0 and None."),
    ],
)
def test_bad_options(options, message, capsys):
    assert main(["bench", *options]) == 2
    assert capsys.readouterr().err.strip() == message


def test_literal_side_is_left_out_where_it_does_not_fit(monkeypatch):
    monkeypatch.setattr(run, "ROOM", 1e-9)
    measured = run._case(Case("cocoop", "train", 3, 1), model_of(False, "fp32", "cpu", SMALL), "cpu", 1)
    measured.peak = 1e11
    assert set(measured.seconds) == {"fast"}
    assert measured.note.startswith("literal side skipped: it needs about")
    table = run.rendered([measured], "here")
    assert [cell.strip() for cell in table.splitlines()[2].split("|")[7:10]][::2] == ["-", "-"]
    assert measured.note in table


@pytest.mark.slow
def test_memory_of_a_step_in_a_separate_process():
    used = {side: memory.peak_mb(Case("cocoop", "train", 60, 1), side, "cpu", 1, SMALL) for side in ("literal", "fast")}
    assert used["literal"] > 8 * used["fast"] > 0


def test_cases_of_a_gpu_cover_precisions_and_batches():
    found = cases("cuda")
    assert {case.classes for case in found} == {10, 100, 500, 1000}
    assert {case.precision for case in found} == {"fp32", "bf16"}
    assert {case.batch for case in found if (case.method, case.work) == ("cocoop", "train")} == {1, 8, 32}


@pytest.mark.slow
def test_failed_memory_measurement_is_reported(caplog):
    case = Case("cocoop", "train", 3, 1)
    assert memory.peak_mb(case, "no such side", "cpu", 1, SMALL) is None
    assert "memory of the no such side side of cocoop train, 3 classes" in caplog.text
    assert "KeyError" in caplog.text
