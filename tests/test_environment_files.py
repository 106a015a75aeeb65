"""One list of versions: pyproject.toml allows it, constraints.txt pins it, conda and the containers install it."""

import re
import tomllib
from importlib.metadata import distributions, requires

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from cocoop.io import REPOSITORY


def pins() -> dict[str, str]:
    """Name and version of each line of constraints.txt."""
    lines = (REPOSITORY / "constraints.txt").read_text().splitlines()
    parsed = [
        re.fullmatch(r"([A-Za-z0-9._-]+)={2,3}([^=\s]+)", line) for line in lines if line and not line.startswith("#")
    ]
    assert all(parsed), "constraints.txt has a line that pins nothing"
    return {canonicalize_name(match[1]): match[2] for match in parsed}


def project() -> dict:
    return tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]


def conda() -> list:
    return yaml.safe_load((REPOSITORY / "environment.yml").read_text())["dependencies"]


def needed() -> list[Requirement]:
    content = project()
    return [Requirement(text) for text in (*content["dependencies"], *content["optional-dependencies"]["dev"])]


@pytest.mark.parametrize("requirement", needed(), ids=lambda requirement: requirement.name)
def test_every_requirement_is_pinned_inside_its_bounds(requirement):
    assert requirement.specifier.contains(pins()[canonicalize_name(requirement.name)])


def test_conda_installs_the_pinned_versions():
    listed = next(entry["pip"] for entry in conda() if isinstance(entry, dict))
    lines = [
        line for line in (REPOSITORY / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")
    ]
    assert listed == lines, "environment.yml says how to write its list again"


def test_python_is_the_same_everywhere():
    python = next(entry.removeprefix("python=") for entry in conda() if str(entry).startswith("python="))
    assert Requirement(f"python{project()['requires-python']}").specifier.contains(f"{python}.0")
    for name in ("Dockerfile", "cocoop.def"):
        assert f"python:{python}-slim" in (REPOSITORY / "containers" / name).read_text()


@pytest.mark.parametrize("name", ["Dockerfile", "cocoop.def"])
def test_containers_install_the_pinned_versions(name):
    text = (REPOSITORY / "containers" / name).read_text()
    copied = re.search(r"(?:COPY )?constraints\.txt (/\S+)", text)[1]
    assert f"pip install --no-cache-dir --no-deps --requirement {copied}" in text


def test_pins_are_complete():
    """Whatever a pinned package requires here is pinned too (pip may not choose anything)."""
    known = pins()
    installed = {canonicalize_name(found.name) for found in distributions()}
    for name in sorted(installed.intersection(known)):
        for text in requires(name) or []:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                assert canonicalize_name(requirement.name) in known, f"{name} requires {requirement}"
