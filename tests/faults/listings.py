"""A small dataset of each reader kind, and what can be wrong with the files it is listed in."""

import io as bytes_io
import json
import os
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from scipy.io import savemat

from tests.faults.mutations import mutated, mutation

SPLIT = {"train": 0.5, "val": 0.2, "test": 0.3, "seed": 1}
NUMBERS = ("0", "-1", "7", "\u00b2", "1e9", "NaN", "", "9" * 30, "1.5", "\u0663")
TEXTS = ("", " ", "..", "../x", "/etc/passwd", "a\0b", "two\nlines", "x" * 200_000, "\ufeff", "$(touch x)", "\u2028")
VALUES = (None, True, -1, 0, 10**30, 1.5, float("nan"), "", "..", "\ud800", "a\0b", [], {}, [[]], "x" * 5000)
NAMES = (b"caf\xe9", b"\xff\xfe", "é".encode(), b"a\nb", b"-rf", b"x" * 255, b" ", b"n00000000", b"7")


def _images(pattern: str, classes: list[str], number: int = 10) -> dict[str, list[str]]:
    return {name: [pattern.format(name=name, number=n) for n in range(number)] for name in classes}


def _mat(**variables: Any) -> bytes:
    out = bytes_io.BytesIO()
    with warnings.catch_warnings(action="ignore"):
        savemat(out, variables)
    return out.getvalue()


def _split_file(images: dict[str, list[str]]) -> str:
    cuts = {"train": slice(0, 5), "val": slice(5, 7), "test": slice(7, None)}
    rows = {s: [[p, i, n] for i, (n, all_) in enumerate(images.items()) for p in all_[cut]] for s, cut in cuts.items()}
    return json.dumps(rows)


def _cars(rows: list[tuple[str, int]]) -> bytes:
    fields = np.zeros((1, len(rows)), dtype=[("class", object), ("fname", object)])
    for n, (fname, label) in enumerate(rows):
        fields[0, n] = (np.uint8(label), fname)
    return _mat(annotations=fields)


def lay_out(kind: str, folder: Path) -> tuple[dict[str, Any], list[str]]:
    """Makes the dataset; returns its reader settings and the paths of its listing files. Its images are empty files."""
    settings, lists, images = MADE[kind]()
    for name, content in lists.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    for name in images:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return {"kind": kind, **settings}, list(lists)


def _flat(images: dict[str, list[str]], below: str = "") -> list[str]:
    return [below + path for each in images.values() for path in each]


def _coop_split():
    images = _images("{name}/{number}.jpg", ["cat", "a dog"])
    return {"file": "split.json", "images": "images"}, {"split.json": _split_file(images)}, _flat(images, "images/")


def _csv():
    images = _images("{name}/{number}.jpg", ["cat", "a dog"])
    rows = [
        f'"{p}",{n},{s}' for n, all_ in images.items() for p, s in zip(all_, ["train"] * 6 + ["test"] * 4, strict=True)
    ]
    return {"file": "list.csv"}, {"list.csv": "\n".join(["path,class,split", *rows]) + "\n"}, _flat(images)


def _json():
    images = _images("{name}/{number}.jpg", ["cat", "a dog"])
    rows = [{"path": p, "class": n} for n, all_ in images.items() for p in all_]
    return {"file": "list.json", "split": SPLIT}, {"list.json": json.dumps(rows)}, _flat(images)


def _pets():
    images = _images("{name}_{number}", ["Bengal", "pug"])
    lines = {n: [f"{p} {i} 1 1\n" for p in all_] for i, (n, all_) in enumerate(images.items(), 1)}
    lists = {
        "annotations/trainval.txt": "".join(line for each in lines.values() for line in each[:7]),
        "annotations/test.txt": "".join(line for each in lines.values() for line in each[7:]),
    }
    return {"annotations": "annotations", "images": "images"}, lists, [f"images/{p}.jpg" for p in _flat(images)]


def _ucf():
    folders = {"Apply": "Apply", "YoYo": "Yo_Yo"}
    videos = {action: [f"v_{n}" for n in range(10)] for action in folders}
    lists = {
        "lists/classInd.txt": "1 Apply\n2 YoYo\n",
        "lists/trainlist01.txt": "".join(f"{a}/{v}.avi {i}\n" for i, a in enumerate(videos, 1) for v in videos[a][:7]),
        "lists/testlist01.txt": "".join(f"{a}/{v}.avi\n" for a in videos for v in videos[a][7:]),
    }
    images = [f"images/{folders[a]}/{v}.jpg" for a, each in videos.items() for v in each]
    return {"lists": "lists", "images": "images"}, lists, images


def _flowers():
    labels = [2] * 10 + [1] * 10
    lists = {"labels.mat": _mat(labels=np.array([labels], dtype=np.uint8)), "names.json": '{"1": "rose", "2": "lily"}'}
    settings = {"labels": "labels.mat", "names_file": "names.json", "images": "jpg"}
    return settings, lists, [f"jpg/image_{n:05d}.jpg" for n in range(1, 21)]


def _stanford():
    train, test = ([(f"{n:05d}.jpg", n % 2 + 1) for n in range(number)] for number in (14, 6))
    lists = {
        "train.mat": _cars(train),
        "test.mat": _cars(test),
        "meta.mat": _mat(class_names=np.array([["Audi TT 2012", "Ram C/V 2009"]], dtype=object)),
    }
    images = [f"cars_train/{f}" for f, _ in train] + [f"cars_test/{f}" for f, _ in test]
    return {"train": "train.mat", "test": "test.mat", "meta": "meta.mat"}, lists, images


def _aircraft():
    variants, rows = ["707-320", "F/A 18"], [f"{n:07d}" for n in range(20)]
    parts = {"train": rows[:10], "val": rows[10:14], "test": rows[14:]}
    lists = {f"images_variant_{s}.txt": "".join(f"{i} {variants[int(i) % 2]}\n" for i in p) for s, p in parts.items()}
    settings = {"images": "images", "sha256": {"variants.txt": "0" * 64}}
    return settings, lists | {"variants.txt": "\n".join(variants)}, [f"images/{i}.jpg" for i in rows]


def _sun():
    images = _images("{name}/{number}.jpg", ["a/abbey", "a/flat/outdoor"])
    lists = {
        "ClassName.txt": "".join(f"/{name}\n" for name in images),
        "Training_01.txt": "".join(f"/{p}\n" for each in images.values() for p in each[:7]),
        "Testing_01.txt": "".join(f"/{p}\n" for each in images.values() for p in each[7:]),
    }
    return {"images": "SUN397"}, lists, _flat(images, "SUN397/")


def _image_folder():
    return {"split": SPLIT}, {}, _flat(_images("{name}/{number}.jpg", ["cat", "dog"]))


def _folders():
    images = _images("{name}/{number}.jpg", ["cat", "dog"], 4)
    return {"train": "train", "test": "test"}, {}, [*_flat(images, "train/"), *_flat(images, "test/")]


def _imagenet():
    images = _images("{name}/{number}.JPEG", ["n01440764", "n01443537"], 4)
    lists = {"classnames.txt": "n01440764 tench\nn01443537 goldfish\n"}
    settings = {"train": "train", "test": "val", "classnames": ["classnames.txt"]}
    return settings, lists, [*_flat(images, "train/"), *_flat(images, "val/")]


MADE = {
    "coop_split": _coop_split, "listing": _csv, "listing (JSON)": _json, "oxford_pets": _pets, "ucf101": _ucf,
    "oxford_flowers": _flowers, "stanford_cars": _stanford, "fgvc_aircraft": _aircraft, "sun397": _sun,
    "image_folder": _image_folder, "folders": _folders, "imagenet": _imagenet,
}  # fmt: skip


@st.composite
def damage(draw, folder: Path, lists: list[str]):
    """A change of one listing file (its bytes, or its content in its own form) or of the tree; as a function to call."""
    places = sorted(os.fsencode(path) for path in folder.rglob("*"))
    if not lists or draw(st.integers(0, 3)) == 0:
        place, name = draw(st.sampled_from(places)), draw(st.sampled_from(NAMES))
        how = draw(st.sampled_from(["rename", "remove", "empty", "file", "loop", "beside"]))
        return f"{how} {place!r} {name!r}", lambda: _tree(how, place, name)
    path = folder / draw(st.sampled_from(lists))
    content = path.read_bytes()
    if path.suffix == ".mat" or draw(st.booleans()):
        change = draw(mutation(len(content)))
        if path.suffix == ".mat" and draw(st.booleans()):
            value = draw(st.sampled_from(MATS))
            other = _mat(labels=value, annotations=value, class_names=value)
            return f"other variables in {path.name}", lambda: path.write_bytes(other)
        return f"{change} in {path.name}", lambda: path.write_bytes(mutated(content, *change))
    if path.suffix == ".json":
        new = _odd_json(draw, json.loads(content))
        return f"{new[:60]} in {path.name}", lambda: path.write_text(new, encoding="utf-8", errors="surrogatepass")
    new = _odd_lines(draw, content.decode())
    return f"{new[:60]!r} in {path.name}", lambda: path.write_text(new, newline="")


MATS = (
    0.5, "text", [], [[-1, 2, 3]], [[float("nan")]], [[float("inf")] * 20], {"a": 1}, np.array([["x", 1]], dtype=object),
    np.zeros((1, 2), dtype=[("fname", object), ("class", object)]), [[0] * 20], [[3] * 20],
)  # fmt: skip


def _odd_json(draw, content: Any) -> str:
    """One value somewhere replaced, dropped or doubled."""
    place, parent = content, None
    while isinstance(place, dict | list) and place and (parent is None or draw(st.integers(0, 3))):
        parent, key = place, draw(st.sampled_from(list(place) if isinstance(place, dict) else range(len(place))))
        place = place[key]
    how = draw(st.sampled_from(["value", "drop", "double", "key"]))
    if how == "value" or parent is None:
        parent[key] = draw(st.sampled_from(VALUES))
    elif how == "drop":
        del parent[key]
    elif how == "double" and isinstance(parent, list):
        parent.append(parent[key])
    elif isinstance(parent, dict):
        parent[draw(st.sampled_from([*NUMBERS, "x", "\ud800"]))] = parent.pop(key)
    return json.dumps(content, ensure_ascii=draw(st.booleans()))


def _odd_lines(draw, text: str) -> str:
    """One line dropped, doubled, moved, or one of its words replaced."""
    lines = text.split("\n")
    at = draw(st.integers(0, len(lines) - 1))
    how = draw(st.sampled_from(["drop", "double", "move", "number", "text", "quote"]))
    if how == "drop":
        del lines[at]
    elif how == "double":
        lines.insert(draw(st.integers(0, len(lines))), lines[at])
    elif how == "move":
        lines.append(lines.pop(at))
    elif how == "quote":
        lines[at] = lines[at].replace(",", '","') + '"'
    else:
        between = "," if "," in lines[at] else " "
        words = lines[at].split(between)
        words[draw(st.integers(0, len(words) - 1))] = draw(st.sampled_from(NUMBERS if how == "number" else TEXTS))
        lines[at] = between.join(words)
    return "\n".join(lines)


def _tree(how: str, place: bytes, name: bytes) -> None:
    """Something happens to a file or folder of the dataset."""
    other = os.path.join(os.path.dirname(place), name)
    if how == "beside":
        os.mkdir(other)
        return
    if how == "rename":
        if not os.path.exists(other):
            os.rename(place, other)
        return
    shutil.rmtree(place) if os.path.isdir(place) else os.unlink(place)
    if how == "empty":
        os.mkdir(place)
    elif how == "file":
        Path(os.fsdecode(place)).touch()
    elif how == "loop":
        os.symlink(os.path.basename(place), place)
