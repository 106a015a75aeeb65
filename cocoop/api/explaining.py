"""`explain`: the nearest words of a learned context, the most confused classes, and what changed against zero-shot CLIP."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cocoop import io
from cocoop.api.loading import located
from cocoop.api.prompt import Prompt
from cocoop.api.results import PREDICTIONS, Tested, records_in, tests_of
from cocoop.api.words import MEANING, nearest
from cocoop.errors import UserError, counted
from cocoop.manifest import Manifest
from cocoop.places import expanded
from cocoop.planning import stages
from cocoop.run import Run

ZERO_SHOT, MANIFEST_FILE = "zero_shot", "manifest.json"  # beside the results of `train`
REFERENCE = "clip"  # the variant
CONFUSED = ("target", "subset", "true", "predicted", "pictures")
CHANGED = ("target", "subset", "picture", "true", "zero_shot", "learned")
NO_WORDS = pd.DataFrame()


@dataclass(frozen=True, eq=False)
class Explanation:
    """What is known about a prompt.

    Attributes:
        words: nearest words (`words.nearest`); empty for a method without context vectors.
        confused: pictures of a class that were assigned to another, by pair of classes, the most frequent first.
        changed: the pictures that the prompt classifies right and zero-shot CLIP wrong, or the other way round.
        notes: what the tables do not mean, and why one is empty.
    """

    words: pd.DataFrame
    confused: pd.DataFrame
    changed: pd.DataFrame
    notes: tuple[str, ...]

    @property
    def gained(self) -> pd.DataFrame:
        """The changed pictures that the prompt classifies right."""
        return self.changed[self.changed["learned"] == self.changed["true"]]

    @property
    def lost(self) -> pd.DataFrame:
        """The changed pictures that zero-shot CLIP classifies right."""
        return self.changed[self.changed["zero_shot"] == self.changed["true"]]

    def __repr__(self) -> str:
        return text_of(self)


def explain(prompt: Prompt, source: str | Path, k: int = 5, against: str | Path | None = None) -> Explanation:
    """Explains a prompt; confused and changed pictures come from the tests in the folder of its run.

    source: what the prompt was loaded from.
    k: words per context vector.
    against: folder of a run of zero-shot CLIP; by default it is searched in the same results.
    Raises a UserError for a source that does not exist, and for a folder whose tests are all of other runs.
    """
    notes: list[str] = []
    try:
        words = nearest(prompt, k)
        notes.append(MEANING)
    except UserError as error:
        words = NO_WORDS
        notes.append(str(error))
    path = located(source)
    folder = path if path.is_dir() else path.parent
    tests = _tests(prompt, folder)
    if not tests:
        notes.append(f"{folder}: has no tests, so confused and changed pictures are unknown; evaluate the run.")
    confused = [row for test in tests for row in _confused(test)]
    changed: list[tuple[Any, ...]] = []
    for test in tests:
        reference = next(_references(folder, test, against), None)
        if reference is None:
            notes.append(f"{' '.join(test.place)}: no test of zero-shot CLIP found to compare with; name its folder.")
        else:
            changed += _changed(folder, test, reference)
    frames = pd.DataFrame(confused, columns=list(CONFUSED)), pd.DataFrame(changed, columns=list(CHANGED))
    return Explanation(words, *frames, tuple(notes))


def _tests(prompt: Prompt, folder: Path) -> list[Tested]:
    """The tests of the prompt's own run. Raises a UserError if the folder has those of other runs only."""
    run, seed = prompt.recipe.origin.get("run"), prompt.recipe.seed
    own = list(tests_of(folder, io.canonical_json(run), seed)) if run else []
    if not own and any(test.run != run for test in records_in(folder)):
        raise UserError(
            f"{folder}: has tests of another run than this prompt's ({prompt.recipe.variant}, seed {seed}); give the folder that "
            "the prompt was loaded from."
        )
    return own


def _names(test: Tested) -> dict[int, str]:
    return {entry["label"]: entry["name"] for entry in test.record["classes"]}


def _confused(test: Tested) -> Iterator[tuple[Any, ...]]:
    names = _names(test)
    for pair in test.record["confusions"]:
        yield *test.place, names[pair["true"]], names[pair["predicted"]], pair["count"]


def _references(folder: Path, test: Tested, against: str | Path | None) -> Iterator[Tested]:
    """Tests of zero-shot CLIP on the same pictures."""
    if against is not None:
        if not (given := expanded(against)).is_dir():
            raise UserError(f"{against}: no such folder.")
        found = list(records_in(given))
        if not found:
            raise UserError(f"{against}: has no tests; expected the folder of a run of zero-shot CLIP.")
    else:
        found = list(records_in(folder / ZERO_SHOT))
        above, target = _working_folder(folder), test.record["target"]
        wild = {name: "*" for name in ("subset", "shots", "seeds", "id", "subsets", "test")}
        pattern = stages.EVALUATE.outputs["metrics"].format(
            backbone=test.run["backbone"]["name"], dataset=target, target=target, variant=REFERENCE, **wild
        )
        runs = {file.parents[4] for file in sorted(above.glob(pattern))} if above else set()
        found += [reference for run in sorted(runs) for reference in records_in(run)]
    for reference in found:
        same = reference.place == test.place and reference.run["backbone"] == test.run["backbone"]
        if same and not reference.run["shots"] and _names(reference) == _names(test):
            yield reference


def _working_folder(folder: Path) -> Path | None:
    """The folder that contains `results`, if the run's folder is there."""
    depth = len(Path(stages.TRAIN.outputs["learned"]).parts) - 1
    parents = [folder.resolve(), *folder.resolve().parents]
    return parents[depth] if len(parents) > depth else None


def _changed(folder: Path, test: Tested, reference: Tested) -> Iterator[tuple[Any, ...]]:
    subset = test.record["target_subset"]
    ours, theirs = _guesses(test), _guesses(reference)
    index, labels = ours["index"], ours["labels"]
    if not np.array_equal(index, theirs["index"]) or not np.array_equal(labels, theirs["labels"]):
        raise UserError(
            f"{reference.file.with_name(PREDICTIONS)}: other test pictures of {test.record['target']}/{subset} than in "
            f"{test.file.with_name(PREDICTIONS)}; evaluate both again."
        )
    names, paths = _names(test), _paths(folder, test, index, labels)
    right, before = ours["predicted"] == labels, theirs["predicted"] == labels
    for place in np.flatnonzero(right != before):
        guesses = (names[int(guess[place])] for guess in (labels, theirs["predicted"], ours["predicted"]))
        yield *test.place, paths[place], *guesses


def _guesses(test: Tested) -> dict[str, np.ndarray]:
    file, record = test.file.with_name(PREDICTIONS), test.record
    arrays, _ = io.read_arrays(file, "predictions")
    start, subset = f"seed{record['seed']}.", record["target_subset"]
    keys = {"index": f"{subset}.index", "labels": f"{subset}.labels", "predicted": f"{start}{subset}.predicted"}
    if lacking := [key for key in keys.values() if key not in arrays]:
        raise UserError(
            f"{file}: key {lacking[0]!r} is missing, although metrics.json refers to it; evaluate the run again."
        )
    return {name: arrays[key] for name, key in keys.items()}


def _paths(folder: Path, test: Tested, index: np.ndarray, labels: np.ndarray) -> list[str]:
    """The paths of test pictures in the dataset's folder; their numbers in the test split if its manifest is not found."""
    run, target = Run.from_dict(test.run, f"{test.file}: run"), test.record["target"]
    identity = run.data if target == run.dataset else "*"
    pattern, above = stages.MANIFEST.outputs["manifest"].format(dataset=target, id=identity), _working_folder(folder)
    for file in [folder / MANIFEST_FILE, *(sorted(above.glob(pattern)) if above else ())]:
        if not file.is_file():
            continue
        manifest = Manifest.load(file)
        items = manifest.splits["test"]
        if manifest.dataset != target or len(items) <= index.max(initial=-1):
            continue
        if [items[place].label for place in index.tolist()] == labels.tolist():
            return [items[place].path for place in index.tolist()]
    return [f"test picture {place}" for place in index.tolist()]


def text_of(explanation: Explanation, most: int = 20) -> str:
    """The explanation for a terminal; at most `most` confused pairs, and as many changed pictures of each kind."""
    parts = []
    if len(explanation.words):
        words = explanation.words
        words = words if words["prompt"].any() else words.drop(columns="prompt")
        parts.append("nearest words\n" + words.to_string(index=False, float_format="{:.3f}".format))
    if len(explanation.confused):
        shown = explanation.confused.sort_values("pictures", ascending=False, kind="stable").head(most)
        parts.append("most confused (pictures of `true` assigned to `predicted`)\n" + shown.to_string(index=False))
    for title, frame in (
        ("right, but wrong zero-shot", explanation.gained),
        ("wrong, but right zero-shot", explanation.lost),
    ):
        if len(explanation.changed):
            head = f"{title}: {counted(len(frame), 'picture', 'pictures')}"
            rest = f"\n(+{len(frame) - most} more)" if len(frame) > most else ""
            parts.append(head + ("\n" + frame.head(most).to_string(index=False) + rest if len(frame) else ""))
    return "\n\n".join([*parts, *explanation.notes])
