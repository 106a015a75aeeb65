"""One variant, one colour, in all figures of a report; and many series stay legible."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.text import Text

from cocoop import io
from cocoop.planning import experiment_content
from cocoop.planning.files import plan_of
from cocoop.reporting.figures import ablation, changes, cost, curves, looks, parameters, style, training
from cocoop.reporting.figures.data import gather
from cocoop.reporting.records.cost import COLUMNS
from tests.reporting.records import made

MINIATURE = io.REPOSITORY / "config/miniature.yaml"
NAMES = ["clip", "coop", "cocoop", *(f"method{number}" for number in range(13))]
MANY = [
    {"name": name, "label": f"The {name}", "method": name, "trainable": name != "clip", "place": place}
    for place, name in enumerate(NAMES)
]
FEW_SHOT = {"shots": [1, 4], "target_subsets": ["all"], "train_subset": "all"}


def data(kind, variants, **changed):
    content = made.experiment(kind, variants=variants, **changed)
    number = {variant["name"]: place for place, variant in enumerate(variants)}
    return gather(content, made.records(content, lambda key: 0.5 + number[key["variant"]] / 100 + key["shots"] / 1000))


def measured(variants):
    rows = []
    for place, variant in enumerate(variants):
        for dataset in ("digits", "shapes"):
            for shots in (1, 4, 16) if variant["trainable"] else ():
                rows.append(("train", dataset, variant["name"], shots, "", None, 1.0 + place, 100.0, None, "cpu"))
            for shots in (1, 4, 16) if variant["trainable"] else (0,):
                rows.append(("evaluate", dataset, variant["name"], shots, "", dataset, 1.0, 90.0, None, "cpu"))
    return pd.DataFrame(rows, columns=COLUMNS)


def histories(variants):
    rows = [
        {"seed": 1, "epoch": epoch, "loss": 1.0 + place, "accuracy": place / 20, "progress": epoch / 2, "dataset": "digits",
         "variant": variant["name"], "shots": 16, "draw": ""}
        for place, variant in enumerate(variants) if variant["trainable"] for epoch in (1, 2)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def drawn(figure):
    """The label of each legend entry with a colour of its own, and that colour; those of rows and bars by their place."""
    handles, labels = figure.legends[0].legend_handles, [text.get_text() for text in figure.legends[0].get_texts()]
    colors = [handle.get_facecolor() if hasattr(handle, "get_hatch") else handle.get_color() for handle in handles]
    return dict(zip(labels, map(to_rgb, colors), strict=True))


def figures(variants):
    base = data("base_to_new", variants)
    few = data("curves", variants, **FEW_SHOT)
    with style.theme():
        return {
            "changes": changes.draw(base, "clip"),
            "curves": curves.draw(few),
            "training": training.draw(base, histories(variants)),
            "accuracy": cost.draw_accuracy(base, measured(variants)),
            "few-shot accuracy": cost.draw_accuracy(few, measured(variants)),
            "parameters": parameters.draw(data("parameter_matched", variants)),
        }


def test_a_variant_has_one_colour_in_all_figures_of_two_experiments():
    """The second experiment has fewer variants, in another order; their places are those of the configuration."""
    found = {}
    for variants in (MANY, [MANY[12], MANY[1], MANY[0], MANY[7]]):
        for name, figure in figures(variants).items():
            shown = {label.partition(" (")[0]: color for label, color in drawn(figure).items()}
            assert len(shown) >= len(variants) - 1, name
            for label, color in shown.items():
                found.setdefault(label, set()).add(color)
    assert len(found) == len(MANY) and all(len(colors) == 1 for colors in found.values())
    assert len(set.union(*found.values())) == len(MANY)


def test_bars_of_cost_and_rows_of_an_ablation_have_these_colours_too():
    variants = [MANY[12], MANY[1]]
    with style.theme():
        bars = cost.draw(data("base_to_new", variants), measured(variants)).axes[0].patches
        rows = ablation.draw(data("ablation", variants)).axes[0].lines
    expected = [looks.look(12).color, looks.look(1).color]
    assert [to_rgb(bar.get_facecolor()) for bar in bars] == [tuple(color) for color in (*expected, *expected)]
    assert {to_rgb(line.get_color()) for line in rows} == {tuple(color) for color in expected}


def test_places_are_those_of_the_whole_configuration():
    """A variant of two experiments has one place, and experiments added at the end change no place before them."""
    plan = plan_of([MINIATURE])
    places = {}
    for name in plan.experiments:
        for variant in experiment_content(plan, name)["variants"]:
            assert places.setdefault(variant["name"], variant["place"]) == variant["place"]
    assert sorted(places.values()) == list(range(len(places)))
    first = next(iter(plan.experiments))
    alone = plan_of([MINIATURE])
    alone.experiments = {first: alone.experiments[first]}
    assert experiment_content(alone, first) == experiment_content(plan, first)


def test_the_first_thirty_colours_differ_and_neighbours_in_everything():
    found = [looks.look(place) for place in range(30)]
    assert len({look.color for look in found}) == 30
    for one, other in pairwise(found):
        assert one.marker != other.marker and one.line != other.line and one.hatch != other.hatch


def seen_without(color, cone):
    """A colour as seen without red (protan) or green (deutan) cones, in CIELAB (Vienot, Brettel and Mollon 1999)."""
    linear = np.where(np.array(color) <= 0.04045, np.array(color) / 12.92, ((np.array(color) + 0.055) / 1.055) ** 2.4)
    to_lms = np.array([[17.8824, 43.5161, 4.11935], [3.45565, 27.1554, 3.86714], [0.0299566, 0.184309, 1.46709]])
    seen = {
        "protan": [[0, 2.02344, -2.52581], [0, 1, 0], [0, 0, 1]], "deutan": [[1, 0, 0], [0.494207, 0, 1.24827], [0, 0, 1]],
        "all": np.eye(3),
    }[cone]  # fmt: skip
    linear = (np.linalg.inv(to_lms) @ np.array(seen) @ to_lms @ linear).clip(0, 1)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ linear
    f = np.cbrt(xyz / np.array([0.9505, 1, 1.089]) + 1e-4)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("cone", ["all", "protan", "deutan"])
def test_similar_colours_differ_in_the_marker(cone):
    """Of the first 16 places no two look alike in colour (below 10 in CIELAB) and marker."""
    for one in range(16):
        for other in range(one):
            apart = np.linalg.norm(
                seen_without(looks.look(one).color, cone) - seen_without(looks.look(other).color, cone)
            )
            assert apart > 10 or looks.look(one).marker != looks.look(other).marker, (one, other, apart)


def test_a_variants_further_series_differ_in_all_but_the_colour():
    variants = [made.COOP]
    content = made.experiment(variants=variants, shots=[4, 16])
    found = gather(content, made.records(content, lambda key: 0.5)).looks
    one, other = found.values()
    assert list(found) == ["coop, 4 shots", "coop, 16 shots"]
    assert (
        one.color == other.color and one.marker != other.marker and one.line != other.line and one.hatch != other.hatch
    )


@pytest.mark.parametrize("name", ["curves", "training", "accuracy", "parameters"])
def test_sixteen_series_are_labelled_where_they_end_without_overlap(name):
    with style.theme():
        figure = figures(MANY)[name]
        figure.draw_without_rendering()
    labelled = 0
    for axes in figure.axes:
        written = [text for text in axes.texts if text.get_text().startswith("The ")]
        if not written:
            continue
        labelled += 1
        trained = sum(variant["trainable"] for variant in MANY)
        assert len(written) == (trained if name == "training" else len(MANY))
        boxes = sorted((Text.get_window_extent(text) for text in written), key=lambda box: box.y0)
        for one, other in pairwise(boxes):
            assert other.y0 - one.y0 >= 0.9 * style.LABEL_INCHES * figure.dpi
        assert all(box.x0 >= axes.get_window_extent().x1 for box in boxes), "outside the panel"
        assert max(box.x1 for box in boxes) <= figure.get_window_extent().x1 + 1
    assert labelled


def test_bars_of_many_series_carry_their_names():
    with style.theme():
        texts = [text.get_text() for text in figures(MANY)["changes"].axes[0].texts]
    assert texts.count("+1.00 The coop") == 0 and any(text.endswith(" The coop") for text in texts)
    with style.theme():
        few = changes.draw(data("base_to_new", MANY[:3]), "clip")
    assert not any("The" in text.get_text() for text in few.axes[0].texts)


def test_labels_keep_their_distance_and_stay_near_their_points():
    assert style.spread([0.1, 0.5, 0.9], 0.1) == pytest.approx([0.1, 0.5, 0.9])
    assert style.spread([0.5, 0.5, 0.5], 0.1) == pytest.approx([0.4, 0.5, 0.6])
    assert style.spread([0.0, 0.0, 1.0], 0.2) == pytest.approx([0.0, 0.2, 1.0])
    assert style.spread([0.3, 0.3], 2.0) == pytest.approx([0.0, 1.0])
    assert style.spread([0.7], 0.1) == [0.7] and style.spread([], 0.1) == []
