"""A user's folder of pictures, taken through the command line as the user would."""

from pathlib import Path

from cocoop.cli import main


class Own:
    """An empty working folder, in which `python -m cocoop` finds and writes its own datasets."""

    def __init__(self, folder: Path, capsys) -> None:
        self.folder, self.capsys = folder, capsys
        (folder / "config" / "datasets").mkdir(parents=True)
        (folder / "config" / "config.yaml").write_text(
            "backbone: vit_b32\n"
        )  # no weights here: the names are not judged

    def run(self, *arguments: object) -> tuple[int, str]:
        """Exit code and everything printed by `python -m cocoop ARGUMENTS`."""
        try:
            code = main([*map(str, arguments)])
        except SystemExit as ended:
            code = ended.code
        printed = self.capsys.readouterr()
        return code, printed.out + printed.err

    def check(self, pictures: Path) -> list[str]:
        """The lines of `dataset check` for a folder of class folders."""
        code, printed = self.run("dataset", "new", pictures, "--name", "mine")
        assert code == 0, printed
        code, printed = self.run("dataset", "check", "mine")
        assert code == (2 if "\nproblem: " in f"\n{printed}" else 0), printed
        return printed.splitlines()

    def refused(self, *arguments: object) -> str:
        """The one line with which a command line is refused, without a file left behind."""
        before = set(self.folder.rglob("*"))
        code, printed = self.run(*arguments)
        line = printed.splitlines()[-1]
        assert code == 2 and line.startswith("error: ") and "Traceback" not in printed, printed
        assert set(self.folder.rglob("*")) == before
        return line
