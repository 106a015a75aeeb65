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
        if not all(printed.verified for printed in row.values())
    }
    assert unverified == {
        ("parameter_matched_comparison_imagenet", "coop_ctx60"),
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
    variants = {variant for table in PAPERS.values() for rows in table.values.values() for variant in rows}
    datasets = {dataset for table in PAPERS.values() for dataset in table.values} - {"average"}
    assert variants <= set(registry.variants) and datasets <= set(registry.names("datasets"))


def test_files_say_what_they_must(tmp_path):
    good = (paper.FOLDER / "table2_cross_dataset_transfer.yaml").read_text()
    bad = {
        "key 'sources' is missing": good.replace("sources:", "origins:"),
        "unknown key 'al'; known: base, new, all": good.replace("{all: 71.51}", "{al: 71.51}"),
        r"x.yaml: values.imagenet.coop.all: 715.1 is greater than the maximum of 100": good.replace("71.51", "715.1"),
        "values.imagenet.coop.all: expected a number or a list, got 'x'": good.replace("71.51", "x"),
    }
    for message, text in bad.items():
        io.write_text(tmp_path / "x.yaml", text)
        with pytest.raises(UserError, match=message):
            paper.load(tmp_path)
