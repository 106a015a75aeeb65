"""The paper's numbers: its own averages and H follow from its per-dataset numbers, and nothing unverified passes as verified."""

import pytest

from cocoop import io
from cocoop.config import Registry
from cocoop.errors import UserError
from cocoop.metrics import harmonic_mean, mean
from cocoop.reporting.tables import paper

PAPERS = paper.load()
TABLE1 = PAPERS["table1_base_to_new"]
TABLE2 = PAPERS["table2_cross_dataset_transfer"]
HALF_A_DIGIT = 0.5e-4 + 1e-9
MISPRINTED = {
    "mma": {"ucf101"}, "mmrl": {"dtd"}, "rpo": {"average", "caltech101", "dtd"}, "hpt": {"average"},
    "rmadapter": {"average", "imagenet", "caltech101", "flowers102", "fgvc_aircraft", "dtd"},
}  # fmt: skip


SECOND_HAND = (
    "proda", "dept_promptsrc", "textrefiner", "qnet", "caspl", "two_stage", "hpt", "skipt", "llamp", "dpc", "lasp", "lasp_v",
    "atprompt_promptkd", "anchoropt_coop", "anchoropt_cocoop", "anchoropt_maple", "aapl", "rada", "qcoop", "qmaple", "promise",
)  # fmt: skip


def each(numbers):
    """A number, or those of all shots."""
    return [numbers] if isinstance(numbers, paper.Printed) else [one for one in numbers if one is not None]


def averaged(table, variant, metric):
    return mean([table.values[dataset][variant][metric].value for dataset in table.average_over])


@pytest.mark.parametrize("variant", ["clip", "coop", "cocoop"])
def test_table_1_averages_follow_from_the_datasets(variant):
    assert len(TABLE1.average_over) == 11
    base, new = averaged(TABLE1, variant, "base"), averaged(TABLE1, variant, "new")
    printed = TABLE1.values["average"][variant]
    assert base == pytest.approx(printed["base"].value, abs=HALF_A_DIGIT)
    assert new == pytest.approx(printed["new"].value, abs=HALF_A_DIGIT)
    assert harmonic_mean(base, new) == pytest.approx(printed["h"].value, abs=HALF_A_DIGIT)


@pytest.mark.parametrize("name", ["table1_base_to_new", "parameter_matched_comparison_imagenet"])
def test_every_h_follows_from_base_and_new_to_rounding(name):
    rows = [row for variants in PAPERS[name].values.values() for row in variants.values()]
    assert len(rows) in (36, 3)
    for row in rows:
        base, new, h = (row[metric].value for metric in ("base", "new", "h"))
        low, high = (harmonic_mean(base + step, new + step) for step in (-HALF_A_DIGIT, HALF_A_DIGIT))
        assert low - HALF_A_DIGIT <= h <= high + HALF_A_DIGIT


def test_the_average_h_is_not_the_mean_of_h():
    assert averaged(TABLE1, "coop", "h") < TABLE1.values["average"]["coop"]["h"].value - 0.005


@pytest.mark.parametrize("variant", ["coop", "cocoop"])
def test_table_2_averages_are_over_the_ten_targets(variant):
    assert len(TABLE2.average_over) == 10
    printed = TABLE2.values["average"][variant]["all"].value
    assert averaged(TABLE2, variant, "all") == pytest.approx(printed, abs=HALF_A_DIGIT)


def test_tables_agree_where_they_print_the_same_number():
    same = [
        (
            PAPERS["parameter_matched_comparison_imagenet"].values["imagenet"],
            TABLE1.values["imagenet"],
            ("coop", "cocoop"),
        ),
        (PAPERS["table3_domain_generalization"].values["imagenet"], TABLE2.values["imagenet"], ("coop", "cocoop")),
    ]
    for one, other, variants in same:
        for variant in variants:
            shared = set(one[variant]) & set(other[variant])
            assert shared and all(one[variant][metric] == other[variant][metric] for metric in shared)


def test_parameters_are_counted_without_biases():
    counts = {
        variant: row["parameters"].value
        for variant, row in PAPERS["parameter_matched_comparison_imagenet"].values["imagenet"].items()
    }
    assert counts == {"coop": 4 * 512, "coop_ctx60": 60 * 512, "cocoop": 4 * 512 + 512 * 32 + 32 * 512}


def test_what_no_source_confirms_is_marked():
    unverified = {
        (name, variant)
        for name, table in PAPERS.items()
        for rows in table.values.values()
        for variant, row in rows.items()
        if not all(printed.verified for numbers in row.values() for printed in each(numbers))
    }
    assert unverified == {
        *(
            ("successors_base_to_new", row)
            for row in ("prograd_by_qprompt", "mma", "dept", "clip_lora_by_clip_svd", *SECOND_HAND)
        ),
        *(("successors_cross_dataset", row) for row in ("mmrl", "aapl", "skipt", "rmadapter")),
        *(("successors_domain_generalization", row) for row in ("kgcoop", "tcp", "promptsrc", "mma", "mmrl")),
        *(
            ("adapters_few_shot", f"{method}_by_clip_svd")
            for method in ("coop", "cocoop", "kgcoop", "tcp", "maple", "clip_lora")
        ),
        ("parameter_matched_comparison_imagenet", "coop_ctx60"),
        *(("calibration_base_to_new", variant) for variant in ("clip", "coop", "maple", "kgcoop")),
        *(("class_incremental_all_classes", variant) for variant in ("clip", "coop", "cocoop")),
    }


def test_other_shots_have_no_number_beside_them():
    assert TABLE1.find("dtd", "coop", 16, "base").value == pytest.approx(0.7944)
    assert TABLE1.find("dtd", "coop", 4, "base") is None
    assert TABLE1.find("dtd", "clip", 0, "base").value == pytest.approx(0.5324)
    assert TABLE1.find("digits", "coop", 16, "base") is None


def test_experiments_name_tables_and_variants_that_exist():
    registry = Registry()
    for name in registry.names("experiments"):
        named = registry.read("experiments", name, name).get("paper")
        assert named is None or named in PAPERS, name
    rows = [row for table in PAPERS.values() for row in table.rows.values()]
    datasets = {dataset for table in PAPERS.values() for dataset in table.values} - {"average"}
    assert {row.variant for row in rows} - {None} <= set(registry.variants)
    assert datasets <= set(registry.names("datasets"))
    assert {row.backbone for row in rows} - {None} <= set(registry.names("backbones"))


def test_files_say_what_they_must(tmp_path):
    good = (paper.FOLDER / "table2_cross_dataset_transfer.yaml").read_text()
    sources = good[good.index("sources:") : good.index("average_over:")]
    bad = {
        "key 'sources' is missing; state the sources, or those of each row in `rows`": good.replace(sources, ""),
        "unknown key 'al'; known: base, new, all": good.replace("{all: 71.51}", "{al: 71.51}"),
        r"x.yaml: values.imagenet.coop.all: 715.1 is greater than the maximum of 100": good.replace("71.51", "715.1"),
        "values.imagenet.coop.all: expected a number or a list, got 'x'": good.replace("71.51", "x"),
    }
    for message, text in bad.items():
        io.write_text(tmp_path / "x.yaml", text)
        with pytest.raises(UserError, match=message):
            paper.load(tmp_path)


def test_a_row_without_a_description_and_a_number_for_other_shots_are_named(tmp_path):
    good = (paper.FOLDER / "adapters_few_shot.yaml").read_text()
    one, lists = "clip_rn50: {all: 60.32}", "tip_adapter_rn50: {all: [60.70, 60.96, 60.98, 61.45, 62.01]}"
    bad = {
        r"values\.imagenet\.clip_rn5: unknown row 'clip_rn5'; .*Did you mean 'clip_rn50'": good.replace(
            one, one.replace("clip_rn50", "clip_rn5")
        ),
        r"values\.imagenet\.clip_rn50\.all: expected one number, for 0 shots, got \[60\.32\]": good.replace(
            one, "clip_rn50: {all: [60.32]}"
        ),
        r"values\.imagenet\.tip_adapter_rn50\.all: expected 5 numbers, one for each of the shots, got 62\.01": good.replace(
            lists, "tip_adapter_rn50: {all: 62.01}"
        ),
    }
    for message, text in bad.items():
        assert text != good
        io.write_text(tmp_path / "x.yaml", text)
        with pytest.raises(UserError, match=message):
            paper.load(tmp_path)


AVERAGED = (
    "kgcoop", "tcp", "maple", "promptsrc", "coprompt", "mmrl", "rpo", "logoprompt", "transagent", "rmadapter", "promptkd",
    "promptsrc_by_a_user",
)  # fmt: skip
SUCCESSORS, FEW_SHOT = PAPERS["successors_base_to_new"], PAPERS["adapters_few_shot"]


def test_the_successors_table_repeats_table_1_unchanged():
    for dataset, rows in TABLE1.values.items():
        for variant, row in rows.items():
            assert SUCCESSORS.values[dataset][variant] == row


@pytest.mark.parametrize("row", AVERAGED)
def test_printed_averages_of_successors_follow_from_the_datasets(row):
    """To a whole last digit: both the average and its eleven numbers are rounded."""
    printed = SUCCESSORS.values["average"][row]
    for metric in ("base", "new"):
        assert averaged(SUCCESSORS, row, metric) == pytest.approx(printed[metric].value, abs=2 * HALF_A_DIGIT)
    assert not any(printed[metric].computed for metric in printed)


@pytest.mark.parametrize("row", sorted(SUCCESSORS.rows))
def test_h_of_successors_follows_from_base_and_new_to_rounding(row):
    """Except for misprints: of MMA's UCF101 the description tells, the others are printed H that are lower than they should be."""
    misprinted = set()
    for dataset, rows in SUCCESSORS.values.items():
        if row in rows and "h" in rows[row]:
            base, new, h = (rows[row][metric].value for metric in ("base", "new", "h"))
            low, high = (harmonic_mean(base + step, new + step) for step in (-HALF_A_DIGIT, HALF_A_DIGIT))
            if not low - HALF_A_DIGIT <= h <= high + HALF_A_DIGIT:
                misprinted.add(dataset)
    assert misprinted == MISPRINTED.get(row, set())


def test_averages_that_are_not_printed_are_computed_and_marked():
    """The sums of the eleven rows, worked out by hand: 16 shots of Tip-Adapter and of Tip-Adapter-F run by others."""
    tip = [62.01, 90.18, 88.14, 66.77, 89.89, 77.83, 29.76, 66.85, 60.93, 70.54, 70.58]
    found = FEW_SHOT.find("average", "tip_adapter_rn50", 16, "all")
    assert found.value == pytest.approx(sum(tip) / 1100) and found.computed
    assert FEW_SHOT.find("average", "kgcoop_by_clip_svd", 16, "all") == paper.Printed(pytest.approx(0.7726), False)
    assert FEW_SHOT.find("average", "clip_adapter_vit_b16", 16, "all") is None, "ImageNet alone has no average"


def test_few_shot_rows_have_a_number_for_each_of_their_shots():
    assert FEW_SHOT.find("dtd", "taskres_by_hc", 4, "all").value == pytest.approx(0.594)
    assert FEW_SHOT.find("dtd", "taskres_by_hc", 3, "all") is None
    assert FEW_SHOT.find("imagenet", "clip_adapter_vit_b16", 16, "all").value == pytest.approx(0.7113)
    assert FEW_SHOT.find("imagenet", "clip_adapter_vit_b16", 8, "all") is None
    assert FEW_SHOT.find("dtd", "clip_rn50", 0, "all").value == pytest.approx(0.422)


def test_selection_on_the_test_set_is_known_by_dataset():
    """Tip-Adapter searches alpha and beta on test images for ImageNet alone, Tip-Adapter-F its epoch everywhere."""
    assert FEW_SHOT.find("imagenet", "tip_adapter_rn50", 1, "all").selected
    assert FEW_SHOT.find("average", "tip_adapter_rn50", 1, "all").selected
    assert not FEW_SHOT.find("dtd", "tip_adapter_rn50", 1, "all").selected
    assert FEW_SHOT.find("dtd", "tip_adapter_f_rn50", 1, "all").selected
    assert not FEW_SHOT.find("dtd", "taskres_by_hc", 1, "all").selected
