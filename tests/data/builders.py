"""The fifteen datasets in miniature: real folder names, archives and annotation formats, a few small pictures."""

import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

Tree = dict[str, bytes]
SYNSETS = {"n01440764": "tench", "n01443537": "goldfish", "n01484850": "great white shark", "n01491361": "tiger shark"}
PER_CLASS = 12


def picture(seed: int, kind: str = "JPEG") -> bytes:
    """A 32 x 32 picture whose colour depends on the seed."""
    random = np.random.RandomState(seed)
    pixels = random.randint(0, 255, 3) * 0.7 + random.randint(0, 76, (32, 32, 3))
    out = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(out, kind)
    return out.getvalue()


def packed(tree: Mapping[str, bytes], kind: str) -> bytes:
    """The tree as a tar ("w:gz", "w") or a zip ("zip")."""
    out = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in tree.items():
                archive.writestr(name, content)
        return out.getvalue()
    with tarfile.open(fileobj=out, mode=kind) as archive:
        for name, content in tree.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def mat(**variables: object) -> bytes:
    """A MATLAB file."""
    out = io.BytesIO()
    savemat(out, variables)
    return out.getvalue()


def split_file(classes: Mapping[str, list[str]], names: Mapping[str, str], order: list[str] | None = None) -> bytes:
    """A CoOp split file: of each class half train, a fifth val, the rest test, in the order given; labels by key order."""
    labels = {key: label for label, key in enumerate(classes)}
    split: dict[str, list] = {"train": [], "val": [], "test": []}
    for key in order or list(classes):
        images = classes[key]
        half, fifth = round(len(images) * 0.5), round(len(images) * 0.2)
        parts = {"train": images[:half], "val": images[half : half + fifth], "test": images[half + fifth :]}
        for part, chosen in parts.items():
            split[part] += [[image, labels[key], names.get(key, key)] for image in chosen]
    return json.dumps(split).encode()


def _numbered(pattern: str, classes: list[str], start: int = 1) -> dict[str, list[str]]:
    return {name: [pattern.format(name=name, number=start + n) for n in range(PER_CLASS)] for name in classes}


def _pictures(prefix: str, classes: Mapping[str, list[str]]) -> Tree:
    paths = [path for images in classes.values() for path in images]
    return {prefix + path: picture(seed) for seed, path in enumerate(paths)}


def caltech101() -> Tree:
    classes = _numbered("{name}/image_{number:04d}.jpg", ["Faces", "Leopards", "Motorbikes", "accordion", "airplanes"])
    extra = _numbered("{name}/image_{number:04d}.jpg", ["BACKGROUND_Google", "Faces_easy"])
    inner = packed(_pictures("101_ObjectCategories/", classes | extra), "w:gz")
    outer = {
        "caltech-101/101_ObjectCategories.tar.gz": inner,
        "caltech-101/Annotations.tar": packed({"a.mat": mat(box=1)}, "w"),
    }
    renamed = {"Faces": "face", "Leopards": "leopard", "Motorbikes": "motorbike", "airplanes": "airplane"}
    return {"caltech-101.zip": packed(outer, "zip"), "split_zhou_Caltech101.json": split_file(classes, renamed)}


def oxford_pets() -> Tree:
    breeds = ["Abyssinian", "american_bulldog", "Bengal"]  # by class id, which ignores case
    classes = _numbered("{name}_{number}.jpg", breeds)
    rows = {name: f"{label} 1 {label}" for label, name in enumerate(breeds, 1)}
    lines = {name: [f"{path[:-4]} {rows[name]}\n" for path in paths] for name, paths in classes.items()}
    lists = {
        "annotations/trainval.txt": "".join(line for each in lines.values() for line in each[:10]).encode(),
        "annotations/test.txt": "".join(line for each in lines.values() for line in each[10:]).encode(),
        "annotations/README": b"pets",
    }
    images = _pictures("images/", classes) | {"images/Abyssinian_1.mat": mat(stray=1)}
    return {
        "images.tar.gz": packed(images, "w:gz"),
        "annotations.tar.gz": packed(lists, "w:gz"),
        "split_zhou_OxfordPets.json": split_file(classes, {name: name.lower() for name in breeds}),
    }


def stanford_cars() -> Tree:
    names = ["AM General Hummer SUV 2000", "Ram C/V Cargo Van Minivan 2012", "Audi TTS Coupe 2012"]
    train = [(f"{n + 1:05d}.jpg", n % 3 + 1) for n in range(30)]
    test = [(f"{n + 1:05d}.jpg", n % 3 + 1) for n in range(6)]

    def annotations(rows: list[tuple[str, int]]) -> bytes:
        fields = np.zeros((1, len(rows)), dtype=[("bbox_x1", object), ("class", object), ("fname", object)])
        for n, (fname, label) in enumerate(rows):
            fields[0, n] = (np.uint8(1), np.uint8(label), fname)
        return mat(annotations=fields)

    devkit = {
        "devkit/cars_train_annos.mat": annotations(train),
        "devkit/cars_meta.mat": mat(class_names=np.array([names], dtype=object)),
        "devkit/README.txt": b"cars",
    }
    new = ["2000 AM General Hummer SUV", "2012 Ram C/V Cargo Van Minivan", "2012 Audi TTS Coupe"]
    split = {
        "train": [[f"cars_train/{f}", label - 1, new[label - 1]] for f, label in train[4:][::-1]],
        "val": [[f"cars_train/{f}", label - 1, new[label - 1]] for f, label in train[:4]],
        "test": [[f"cars_test/{f}", label - 1, new[label - 1]] for f, label in test],
    }
    return {
        "cars_train.tgz": packed(_pictures("cars_train/", {"": [f for f, _ in train]}), "w:gz"),
        "cars_test.tgz": packed(_pictures("cars_test/", {"": [f for f, _ in test]}), "w:gz"),
        "car_devkit.tgz": packed(devkit, "w:gz"),
        "cars_test_annos_withlabels.mat": annotations(test),
        "split_zhou_StanfordCars.json": json.dumps(split).encode(),
    }


def flowers102() -> Tree:
    labels = [2] * PER_CLASS + [3] * PER_CLASS + [1] * PER_CLASS  # not in order of label, as in the real file
    names = {"1": "pink primrose", "2": "hard-leaved pocket orchid", "3": "canterbury bells"}
    images = [f"image_{n:05d}.jpg" for n in range(1, len(labels) + 1)]
    classes = {key: [i for i, label in zip(images, labels, strict=True) if str(label) == key] for key in names}
    return {
        "102flowers.tgz": packed(_pictures("jpg/", {"": images}), "w:gz"),
        "imagelabels.mat": mat(labels=np.array([labels], dtype=np.uint8)),
        "cat_to_name.json": json.dumps(names).encode(),
        "split_zhou_OxfordFlowers.json": split_file(classes, names, ["2", "3", "1"]),
    }


def food101() -> Tree:
    classes = _numbered("{name}/{number}.jpg", ["apple_pie", "baby_back_ribs", "waffles"], 134)
    files = {
        "food-101/meta/classes.txt": b"apple_pie\n",
        "food-101/license_agreement.txt": b"",
        "food-101/README.txt": b"",
    }
    return {
        "food-101.tar.gz": packed(files | _pictures("food-101/images/", classes), "w:gz"),
        "split_zhou_Food101.json": split_file(classes, {}),
    }


def fgvc_aircraft() -> Tree:
    variants = ["707-320", "F/A-18", "Boeing 717 X"]
    rows = [(f"{34309 + n:07d}", variants[n % 3]) for n in range(30)]
    top = "fgvc-aircraft-2013b"
    files = {
        f"{top}/data/variants.txt": "\n".join(variants).encode() + b"\n",
        f"{top}/README.md": b"",
        f"{top}/evaluation.m": b"",
    }
    for part, chosen in {"train": rows[:12], "val": rows[12:21], "test": rows[21:]}.items():
        files[f"{top}/data/images_variant_{part}.txt"] = "".join(f"{i} {v}\n" for i, v in chosen).encode()
    images = _pictures(f"{top}/data/images/", {"": [f"{image}.jpg" for image, _ in rows]})
    return {"fgvc-aircraft-2013b.tar.gz": packed(files | images, "w:gz")}


def sun397() -> Tree:
    scenes = ["a/abbey", "a/apartment_building/outdoor", "z/zen_garden"]
    classes = _numbered("{name}/sun_a{number:04d}.jpg", scenes)
    names = {
        "a/abbey": "abbey",
        "a/apartment_building/outdoor": "outdoor apartment_building",
        "z/zen_garden": "zen_garden",
    }
    lists = {
        "ClassName.txt": "".join(f"/{scene}\n" for scene in scenes).encode(),
        "Training_01.txt": "".join(f"/{path}\n" for images in classes.values() for path in images[:10]).encode(),
        "Testing_01.txt": "".join(f"/{path}\n" for images in classes.values() for path in images[10:]).encode(),
    }
    return {
        "SUN397.tar.gz": packed(_pictures("SUN397/", classes), "w:gz"),
        "Partitions.zip": packed(lists, "zip"),
        "split_zhou_SUN397.json": split_file(classes, names),
    }


def dtd() -> Tree:
    classes = _numbered("{name}/{name}_{number:04d}.jpg", ["banded", "blotchy", "zigzagged"])
    files = {"dtd/imdb/imdb.mat": mat(images=1), "dtd/labels/train1.txt": b"banded/banded_0001.jpg\n"}
    return {
        "dtd-r1.0.1.tar.gz": packed(files | _pictures("dtd/images/", classes), "w:gz"),
        "split_zhou_DescribableTextures.json": split_file(classes, {}),
    }


def eurosat() -> Tree:
    names = {
        "AnnualCrop": "Annual Crop Land",
        "Forest": "Forest",
        "HerbaceousVegetation": "Herbaceous Vegetation Land",
        "Highway": "Highway or Road",
        "Industrial": "Industrial Buildings",
        "Pasture": "Pasture Land",
        "PermanentCrop": "Permanent Crop Land",
        "Residential": "Residential Buildings",
        "River": "River",
        "SeaLake": "Sea or Lake",
    }
    classes = _numbered("{name}/{name}_{number}.jpg", list(names))
    return {
        "EuroSAT.zip": packed(_pictures("2750/", classes), "zip"),
        "split_zhou_EuroSAT.json": split_file(classes, names),
    }


def ucf101() -> Tree:
    actions = {"ApplyEyeMakeup": "ApplyEyeMakeup", "HandstandPushups": "HandStandPushups", "YoYo": "YoYo"}
    folders = {"ApplyEyeMakeup": "Apply_Eye_Makeup", "HandstandPushups": "Handstand_Pushups", "YoYo": "Yo_Yo"}
    stems = {
        a: [f"v_{video}_g{n // 3 + 1:02d}_c{n % 3 + 1:02d}" for n in range(PER_CLASS)] for a, video in actions.items()
    }
    classes = {folders[a]: [f"{folders[a]}/{stem}.jpg" for stem in each] for a, each in stems.items()}
    numbered = {a: label for label, a in enumerate(actions, 1)}
    lists = {
        "classInd.txt": "".join(f"{label} {a}\n" for a, label in numbered.items()),
        "trainlist01.txt": "".join(f"{a}/{s}.avi {numbered[a]}\n" for a, each in stems.items() for s in each[:10]),
        "testlist01.txt": "".join(f"{a}/{s}.avi\n" for a, each in stems.items() for s in each[10:]),
    }
    return {
        "UCF-101-midframes.zip": packed(_pictures("UCF-101-midframes/", classes), "zip"),
        "UCF101TrainTestSplits-RecognitionTask.zip": packed(
            {f"ucfTrainTestlist/{name}": text.encode() for name, text in lists.items()}, "zip"
        ),
        "split_zhou_UCF101.json": split_file(classes, {}),
    }


def imagenet() -> Tree:
    """Not an archive: the tree of a user's own copy."""
    train = _numbered("{name}/{name}_{number}.JPEG", list(SYNSETS))
    val = {
        name: [f"{name}/ILSVRC2012_val_{label * 3 + n:08d}.JPEG" for n in range(3)]
        for label, name in enumerate(SYNSETS)
    }
    return _pictures("train/", train) | _pictures("val/", val)


def imagenetv2() -> Tree:
    classes = {str(label): [f"{label}/{label:04x}{n}.jpeg" for n in range(2)] for label in range(12)}
    top = "imagenetv2-matched-frequency-format-val/"
    return {
        "imagenetv2-matched-frequency.tar.gz": packed(_pictures(top, classes), "w")
    }  # a plain tar, as its size suggests


def imagenet_sketch() -> Tree:
    classes = _numbered("{name}/sketch_{number}.JPEG", list(SYNSETS))
    return {"ImageNet-Sketch.zip": packed(_pictures("sketch/", classes), "zip")}


def imagenet_a() -> Tree:
    classes = _numbered("{name}/0.00{number}_fox squirrel _ lion_0.9.jpg", list(SYNSETS)[1:])
    return {
        "imagenet-a.tar": packed(_pictures("imagenet-a/", classes) | {"imagenet-a/README.txt": b"adversarial"}, "w")
    }


def imagenet_r() -> Tree:
    classes = _numbered("{name}/art_{number}.jpg", list(SYNSETS)[:3])
    return {"imagenet-r.tar": packed(_pictures("imagenet-r/", classes) | {"imagenet-r/README.txt": b"renditions"}, "w")}


BUILDERS: dict[str, Callable[[], Tree]] = {
    build.__name__: build
    for build in (
        imagenet, caltech101, oxford_pets, stanford_cars, flowers102, food101, fgvc_aircraft, sun397, dtd, eurosat, ucf101,
        imagenetv2, imagenet_sketch, imagenet_a, imagenet_r,
    )
}  # fmt: skip


def lay_out(tree: Mapping[str, bytes], folder: Path) -> None:
    """Writes the tree's files below a folder."""
    for name, content in tree.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
