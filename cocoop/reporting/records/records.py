"""records.csv: one row per evaluated (run, target, target subset), the source of every table and figure."""

import io as text_io
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from cocoop import io, progress, provenance
from cocoop.config import measures
from cocoop.config.draw import ALL, ALL_SHOTS, Draw, images_text, shots_text
from cocoop.errors import UserError, listed
from cocoop.run import parsed_as
from cocoop.splits import class_subset, load_few_shot

KEY = ["backbone", "dataset", "subset", "variant", "shots", "draw", "seed", "target", "target_subset"]
COUNTS = ["correct", "total"]
ACCURACIES = ["accuracy", "mean_class_accuracy", "macro_f1"]
PARAMETERS = ["trained", "without_biases"]
DRAWN = "fewest_images"
STATED = [*KEY, "method", "precision", "selection", *COUNTS, *ACCURACIES]  # in every record of a metrics.json
COLUMNS = [
    *(name for name in STATED if name not in ACCURACIES), "classes", DRAWN, *ACCURACIES, *PARAMETERS, *measures.COLUMNS
]  # fmt: skip
NUMBERS = (*ACCURACIES, *measures.COLUMNS)

TEXTS = (
    "backbone", "dataset", "subset", "variant", "draw", "target", "target_subset", "method", "precision", "selection",
)  # fmt: skip
TYPES = dict.fromkeys(COLUMNS, "int64") | dict.fromkeys(TEXTS, "str") | dict.fromkeys(NUMBERS, "float64")
TYPES[DRAWN] = "Int64"


def collect(metrics: Sequence[Path], out: Path, fewshot: Sequence[Path] = ()) -> None:
    """Writes records.csv, its checksum and its notes: columns `COLUMNS`, rows sorted by `KEY`, accuracies as fractions.

    fewshot: the few-shot draws of the runs, for the number of images of the smallest class (`DRAWN`, which is blank without
    them and for untrained variants). A record that occurs in two files becomes one row; two different results for the same
    key are a UserError that names both files.
    """
    rows: dict[tuple, tuple[dict[str, Any], Path]] = {}
    drawn, said, older, unmeasured, precisions = _fewest(fewshot), set(), 0, 0, Counter[str]()
    for path in progress.track(metrics, "collect", "file"):
        content = io.read_json(path, "metrics")
        said |= set(content.get("notes", ()))
        older += content.get("code") != provenance.numeric_code()
        precisions[_precision(content)] += _planned(content) == "auto"
        unmeasured += not all("measures" in record for record in content["records"])
        for row in _rows(path, content):
            row[DRAWN] = _smallest(drawn, row)
            key = tuple(row[name] for name in KEY)
            known, first = rows.setdefault(key, (row, path))
            if known != row:
                raise UserError(f"{path}: other numbers than {first} for {describe(row)}; delete the outdated one.")
    if older:
        said.add(
            f"{older} of {len(metrics)} result files were computed by code that differs from the current "
            f"cocoop/{{{','.join(provenance.NUMERIC)}}}, or from features or tensors that such code made; "
            "`snakemake --forcerun fewshot text_tower features views train evaluate` recomputes them"
        )
    if len(+precisions) > 1:
        counts = " and ".join(f"{number} in {name}" for name, number in sorted((+precisions).items()))
        said.add(
            f"precision auto: of these results, {counts} (fp16 on a GPU, fp32 on a CPU); set a precision to have one"
        )
    if unmeasured:
        said.add(
            f"{unmeasured} of {len(metrics)} result files are older than the measures beside accuracy, which are blank for them; "
            "`snakemake --forcerun evaluate` adds them"
        )
    frame = pd.DataFrame([row for row, _ in rows.values()], columns=COLUMNS).astype({DRAWN: "Int64"})
    frame = frame.sort_values(KEY).assign(shots=lambda sorted: sorted["shots"].map(shots_text))
    text = frame.to_csv(index=False, lineterminator="\n")
    io.write_text(out, text)
    io.write_text(seal_of(out), f"{io.sha256_text(text)}  {Path(out).name}\n")
    io.write_json(notes_of(out), {"schema": 1, "kind": "notes", "notes": sorted(said)})


def _fewest(fewshot: Sequence[Path]) -> dict[tuple, tuple[Counter, int]]:
    """The images of each label and the number of labels, by (dataset, shots, seed, draw, subset that was drawn)."""
    found = {}
    for path in fewshot:
        drawn = load_few_shot(path)
        kind = parsed_as(Draw, drawn.get("draw", {}), str(path)).text
        key = drawn["dataset"], drawn["shots"], drawn["seed"], kind, drawn.get("subset", "all")
        found[key] = Counter(drawn["labels"]), len(drawn["classnames"])
    return found


def _precision(content: Mapping[str, Any]) -> str:
    """The precision that a metrics file was computed in; empty if it does not say."""
    return content.get("precision") or _planned(content)


def _planned(content: Mapping[str, Any]) -> str:
    """The precision of its run, which may be auto; empty if it does not say."""
    return content.get("run", {}).get("backbone", {}).get("precision", "")


def _smallest(fewshot: Mapping[tuple, tuple[Counter, int]], row: Mapping[str, Any]) -> int | None:
    """The number of training images of the smallest class of a row's run; None if its draw is not there."""
    images = images_text(row["draw"])
    for subset in (row["subset"], "all"):
        if found := fewshot.get((row["dataset"], row["shots"], row["seed"], images, subset)):
            return min((found[0][label] for label in class_subset(range(found[1]), row["subset"])), default=0)
    return None


def seal_of(path: Path) -> Path:
    """The file with the sha256 of records.csv, in the format of `sha256sum`; a spreadsheet can open the CSV itself."""
    return Path(path).with_name(f"{Path(path).name}.sha256")


def notes_of(path: Path) -> Path:
    """The file with the notes of the jobs behind a records.csv."""
    return Path(path).with_name(f"{Path(path).name}.notes.json")


def load_notes(path: Path) -> list[str]:
    """The notes of the jobs behind a records.csv, each once; a missing or damaged file is a UserError that names it."""
    return io.read_json(notes_of(path), "notes")["notes"]


def _rows(path: Path, content: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The records of one metrics.json as flat rows with the numbers of classes and of trained parameters.

    selection: how hyper-parameters were chosen; empty if the file does not say. Measures that it does not contain are missing.
    """
    try:
        for record in content["records"]:
            of_seed = record.get("parameters", content["parameters"])
            parameters = {name: of_seed[name] for name in PARAMETERS}
            record = {"selection": "", "draw": "", "precision": _precision(content), **record}
            row = {name: record[name] for name in STATED}
            row = {name: "" if value is None and name in TEXTS else value for name, value in row.items()}
            measured = {name: record.get("measures", {}).get(name) for name in measures.COLUMNS}
            yield {**row, "classes": len(record["classes"]), **parameters, **measured}
    except (KeyError, TypeError) as error:
        raise UserError(f"{path}: no {error} in it, which every metrics file has; delete it and run again.") from error


def load(path: Path) -> pd.DataFrame:
    """Reads records.csv with the types `TYPES`; a file with other content or a wrong checksum is a UserError."""
    text = _sealed_text(Path(path))
    try:
        frame = pd.read_csv(
            text_io.StringIO(text), keep_default_na=False, na_values={name: [""] for name in (*NUMBERS, DRAWN)}
        )
        lacking = [column for column in COLUMNS if column not in frame]
        if lacking:
            raise UserError(f"{path}: columns {listed(lacking)} are missing; write it again with `cocoop collect`.")
        return frame[COLUMNS].replace({"shots": {ALL: ALL_SHOTS}}).astype(TYPES)
    except ValueError as error:
        raise UserError(f"{path}: damaged records ({error}); delete it and run again.") from error


def _sealed_text(path: Path) -> str:
    """The content of a file whose bytes match its checksum; else a UserError."""
    text = read_text(path, "records")
    seal = seal_of(path)
    said = read_text(seal, "checksum").split() if seal.exists() else []
    if said[:1] != [io.sha256_file(path)]:
        wrong = f"does not match {seal.name}: damaged, or edited" if said else f"{seal.name} is missing"
        raise UserError(
            f"{path}: {wrong}. Delete it and run again to recreate it from the results; or, to keep it as it is, run"
            f" `cd {shlex.quote(str(path.parent))} && sha256sum {path.name} > {seal.name}`."
        )
    return text


def read_text(path: Path, kind: str) -> str:
    """A text file's content; a missing or unreadable file is a UserError that names it."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: no readable {kind} file ({error}).") from error


def describe(key: Mapping[str, Any]) -> str:
    """Describes a record's key: `coop, 16 shots, seed 2, digits (base) on digits (new)`."""
    drawn = f", {key['draw']}" if key.get("draw") else ""
    trained = f", {shots_text(key['shots'])} shots{drawn}, seed {key['seed']}, {key['dataset']} ({key['subset']})"
    learned = trained if key["shots"] else ""
    return f"{key['variant']}{learned} on {key['target']} ({key['target_subset']})"
