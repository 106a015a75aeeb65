"""Tables of images as people have them: `dataset new` reads each, and `check` and `manifest` agree with it; or says why not."""

import json
from pathlib import Path

import pytest

ROWS = [(f"img/{n:03}.jpg", "cat" if n % 2 else "dog") for n in range(16)]
PATHS = [path for path, _ in ROWS]
COMMA = "".join(f"{path},{name}\n" for path, name in ROWS)
STEMS = [(Path(path).stem, name) for path, name in ROWS]


def objects(**names):
    return [{names["path"]: path, names["kind"]: name} for path, name in ROWS]


READ = {
    "quoted": ("x.csv", '"path","class"\n' + "".join(f'"{p}","{c}"\n' for p, c in ROWS)),
    "spaced": ("x.csv", "path, class\n" + "".join(f"{p}, {c}\n" for p, c in ROWS)),
    "blanks around all": ("x.csv", " path , class \n" + "".join(f"{p} , {c}\n" for p, c in ROWS)),
    "file_name": ("metadata.csv", f"file_name,label\n{COMMA}"),
    "capitals": ("x.csv", f"Image Path,Label\n{COMMA}"),
    "image_path": ("x.csv", f"image_path,category\n{COMMA}"),
    "index column": ("x.csv", ",path,class\n" + "".join(f"{n},{p},{c}\n" for n, (p, c) in enumerate(ROWS))),
    "semicolons": ("x.csv", "path;class\n" + "".join(f"{p};{c}\n" for p, c in ROWS)),
    "bars": ("x.csv", "path|class\n" + "".join(f"{p}|{c}\n" for p, c in ROWS)),
    "tabs": ("x.tsv", "path\tclass\n" + "".join(f"{p}\t{c}\n" for p, c in ROWS)),
    "tabs in a CSV": ("x.csv", "path\tclass\n" + "".join(f"{p}\t{c}\n" for p, c in ROWS)),
    "byte order mark": ("x.csv", "\ufeffpath,class\n" + COMMA),
    "Windows": ("x.csv", "path,class\r\n" + "".join(f"{p},{c}\r\n".replace("/", "\\") for p, c in ROWS)),
    "blank lines": ("x.csv", f"\npath,class\n\n{COMMA}\n , \n"),
    "dots": ("x.csv", "path,class\n" + "".join(f"./{p},{c}\n" for p, c in ROWS)),
    "bare": ("x.csv", "filename,label\n" + "".join(f"{Path(p).name},{c}\n" for p, c in ROWS)),
    "ids": ("labels.csv", "id,breed\n" + "".join(f"{p},{c}\n" for p, c in STEMS)),
    "numbers too": ("x.csv", "filename,label,class_name\n" + "".join(f"{p},{int(c == 'cat')},{c}\n" for p, c in ROWS)),
    "numbers as floats": ("x.csv", "file,target,species\n" + "".join(f"{p},{float(c == 'cat')},{c}\n" for p, c in ROWS)),
    "JSON": ("x.json", json.dumps(objects(path="image", kind="label"))),
    "JSON lines": ("x.jsonl", "\n".join(map(json.dumps, objects(path="file_name", kind="label")))),
    "JSON lines called JSON": ("x.json", "\n".join(map(json.dumps, objects(path="file_name", kind="label")))),
}  # fmt: skip


@pytest.mark.parametrize("form", READ)
@pytest.mark.parametrize("named", [True, False], ids=["the file", "its folder"])
def test_a_table_is_read_according_to_its_content(form, named, own):
    name, text = READ[form]
    own.lay_out(*PATHS)
    (own.pictures / name).write_text(text, newline="")
    said = own.new(name if named else "")
    assert said.code == 0, said.err
    assert own.check().code == 0
    found = own.manifest()
    assert found.classnames == ("cat", "dog")
    items = {item for items in found.splits.values() for item in items}
    assert items == {(path, ("cat", "dog").index(kind)) for path, kind in ROWS}


def test_absolute_paths_inside_the_folder_also_through_a_link(own):
    own.lay_out(*PATHS)
    (own.folder / "link").symlink_to(own.pictures)
    homes = [own.pictures, own.folder / "link"]
    rows = [f"{homes[0]}/{path},{kind}" for path, kind in ROWS]
    own.lay_out(x_csv="\n".join(["path,class", *rows]))
    assert own.new().code == 0 and own.check().code == 0
    assert {item.path for items in own.manifest().splits.values() for item in items} == set(PATHS)


def test_a_renamed_split_column_next_to_numeric_classes(own):
    rows = [f"{n % 2},{p},{c},{'train' if n < 12 else 'test'}" for n, (p, c) in enumerate(ROWS)]
    own.lay_out(*PATHS, birds_csv="\n".join(["class id,filepaths,labels,data set", *rows]))
    assert own.new().code == 0
    assert own.settings["reader"]["columns"] == {"path": "filepaths", "class": "labels", "split": "data set"}
    assert {split: len(items) for split, items in own.manifest().splits.items()} == {"train": 12, "val": 0, "test": 4}


def test_a_column_called_dataset_that_holds_no_splits(own):
    own.lay_out(*PATHS, x_csv="path,class,dataset\n" + "".join(f"{p},{c},birds\n" for p, c in ROWS))
    assert own.new().code == 0
    assert len(own.manifest().splits["test"]) == 4


def test_ids_get_the_suffix_of_the_image_files(own):
    stems = [f"train/{n}" for n in range(16)]
    own.lay_out(*(f"{stem}.JPEG" for stem in stems), "test/a.JPEG")
    own.lay_out(labels_csv="id,breed\n" + "".join(f"{n},{'cat' if n % 2 else 'dog'}\n" for n in range(16)))
    own.lay_out(sample_submission_csv="id,cat,dog\n0,.5,.5\n")
    said = own.new()
    assert "note: left out: sample_submission.csv, which does not list images and their classes" in said.out
    assert own.settings["reader"]["images"] == "train" and own.settings["reader"]["suffix"] == ".JPEG"
    assert own.check().code == 0


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (COMMA, "x.csv: cannot tell which column is the path; columns: img/000.jpg, dog; call it 'path'. The first line must"),
        (f"path,what\n{COMMA}", "x.csv: cannot tell which column is the class; columns: path, what; call it 'class'."),
        (f"path,class,path\n{COMMA}", "x.csv: columns of the same name: path; rename all but one."),
        ("path,class\nimg/000.jpg,dog, big\n", "x.csv: entry 1 has 3 cells, but the first line names 2 columns; put names"),
        ("path,class\nimg/000.jpg\n", "x.csv: entry 1 has no 'class'; its columns: path, class;"),
        ("path,class\nimg/000.jpg,  \n", "x.csv: entry 1 has no 'class'; its columns: path, class;"),
        (f"path,class\n{COMMA}img/000.png,cat\n", "1 of 17 images are missing; first: img/000.png."),
        ("path,class\nC:\\img\\000.jpg,dog\n", "x.csv: none of the images it lists is in "),
        ("path,class\n/home/me/000.jpg,dog\n", "x.csv: none of the images it lists is in "),
        ("path,class,split\nimg/000.jpg,dog,dev\n", "x.csv: entry 1: unknown split 'dev'; take train, val or test."),
        ("path,class\nimg/000.jpg,dog\nimg/001.jpg,dog\nimg/002.jpg,dog\nimg/003.jpg,dog\n", "only one class, 'dog'; a dataset"),
        ("", "x.csv: lists no images."),
    ],
)  # fmt: skip
def test_a_table_that_is_refused_with_the_reason(text, told, own):
    own.lay_out(*PATHS, x_csv=text)
    assert told in own.refused()


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("x.json", {"images": [], "annotations": []}, "got an object with the keys images, annotations"),
        (
            "x.json",
            [{"path": "img/000.jpg", "class": ["cat", "dog"]}],
            "entry 1: class: expected one class for each image",
        ),
        ("x.json", ["img/000.jpg"], "expected a JSON list of objects, one for each image, got something else"),
        ("x.jsonl", ["img/000.jpg"], "x.jsonl, line 1: expected a JSON object"),
        ("x.jsonl", {"path": 7}, "cannot tell which column is the class; columns: path"),
    ],
)
def test_json_that_is_refused_with_the_reason(name, content, told, own):
    own.lay_out(*PATHS)
    (own.pictures / name).write_text(json.dumps(content))
    assert told in own.refused()


def test_tables_of_which_either_could_be_meant(own):
    own.lay_out(*PATHS, train_csv=f"path,class\n{COMMA}", test_csv=f"path,class\n{COMMA}")
    assert "several lists of images: test.csv, train.csv; join them into one with a column 'split'" in own.refused()
    assert own.new("train.csv").code == 0


def test_bare_names_that_are_in_two_folders(own):
    own.lay_out(*PATHS, *(path.replace("img", "thumbs") for path in PATHS))
    own.lay_out(x_csv="file,class\n" + "".join(f"{Path(p).name},{c}\n" for p, c in ROWS))
    assert "x.csv: cannot tell which images it lists: img/000.jpg, thumbs/000.jpg; write the folder" in own.refused()


def test_a_table_with_train_and_val_but_no_test(own):
    own.lay_out(
        *PATHS,
        x_csv="path,class,split\n" + "".join(f"{p},{c},{'train' if p < 'img/008' else 'val'}\n" for p, c in ROWS),
    )
    assert "no test images in " in (said := own.refused())
    assert said.endswith("There are images of train and val: rename one of these splits to test.")


@pytest.mark.parametrize("name", ["labels.xlsx", "labels.txt", "labels.parquet"])
def test_files_that_are_no_tables(name, own):
    own.lay_out(*PATHS)
    (own.pictures / name).write_bytes(b"x")
    assert f"{name}: expected a folder or a table (.csv, .tsv, " in own.refused(name)
