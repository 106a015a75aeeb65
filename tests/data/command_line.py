"""`dataset new`, `dataset check`, and `manifest` as a user types them, in a folder of their own."""

from dataclasses import dataclass
from pathlib import Path

from cocoop import io
from cocoop.cli import main
from cocoop.manifest import Manifest
from tests.data.builders import lay_out, picture


@dataclass
class Said:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return self.out + self.err


class CommandLine:
    """Commands on the folder `pictures`, which becomes the dataset `own`."""

    def __init__(self, folder: Path, capsys) -> None:
        self.folder, self.capsys = folder, capsys
        self.pictures = folder / "pictures"
        (folder / "config/datasets").mkdir(parents=True)
        (folder / "config/config.yaml").write_text("backbone: vit_b32\n")  # no weights here: the names are not judged

    def run(self, *words: str | Path) -> Said:
        self.capsys.readouterr()
        code = main([str(word) for word in words])
        return Said(code, *self.capsys.readouterr())

    def lay_out(self, *paths: str, **files: str) -> "CommandLine":
        """Pictures at these paths, all different, and text files (`labels_csv` is labels.csv)."""
        lay_out({path: picture(number) for number, path in enumerate(paths)}, self.pictures)
        for name, text in files.items():
            (self.pictures / ".".join(name.rsplit("_", 1))).write_text(text, newline="")
        return self

    def new(self, path: str = "", **options: str) -> Said:
        """`dataset new`; an error leaves no YAML."""
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        said = self.run("dataset", "new", self.pictures / path, "--name", "own", *words)
        assert (said.code == 0) == self.yaml.exists()
        assert "Traceback" not in said.text
        return said

    def refused(self, path: str = "") -> str:
        """The line of a `dataset new` that is refused."""
        said = self.new(path)
        (line,) = said.err.strip().splitlines()
        assert said.code == 2
        return line

    @property
    def yaml(self) -> Path:
        return self.folder / "config/datasets/own.yaml"

    @property
    def settings(self) -> dict:
        return io.read_yaml(self.yaml)

    def check(self) -> Said:
        return self.run("dataset", "check", "own")

    def stage(self) -> Said:
        """The manifest stage on the linked folder."""
        dataset = io.canonical_json({"name": "own", "settings": self.settings})
        (self.folder / "data").mkdir(exist_ok=True)
        if not (self.folder / "data/own").exists():
            (self.folder / "data/own").symlink_to(self.pictures)
        return self.run("manifest", "--dataset", dataset, "--data-root", "data", "--out", "manifest.json")

    def manifest(self) -> Manifest:
        said = self.stage()
        assert said.code == 0, said.err
        return Manifest.load(self.folder / "manifest.json")

    def noted(self, words: str) -> bool:
        """Whether `dataset check` and the manifest agree that a note holds these words."""
        in_check = any(line.startswith("note: ") and words in line for line in self.check().out.splitlines())
        in_manifest = any(words in note for note in self.manifest().notes)
        assert in_check == in_manifest
        return in_check


def per_class(*classes: str, number: int = 10) -> list[str]:
    """Paths of pictures in class folders."""
    return [f"{name}/{n}.jpg" for name in classes for n in range(number)]
