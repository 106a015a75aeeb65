"""Every key that the schemas of the configuration's files know, a valid change of each, and the jobs that a change renews."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from cocoop import io
from cocoop.config.validation import SCHEMAS
from cocoop.planning.jobs import jobs_of
from cocoop.planning.plan import Plan
from cocoop.planning.stages import EVALUATE, TRAIN

ITEM, ENTRY = "#", "*"  # in a path: an item of a list, an entry of a mapping with free names
TEXTS = ("text{}", ".{}", "a {} {{}}.", "here/{}", "https://example.org/{}", "/here/{}", "cocoop.methods.coop:CoOp")
DIGESTS = (64, 32)
ENTRIES = {
    "variants": "coop",
    "per_dataset": "mine",
    "params_per_dataset": "mine",
    "per_shots": "4",
}  # names that matter, of mappings with free names
AGES_DO_NOT_MATTER = ("fetched",)  # names of such inputs (inputs_of in workflow/rules/common.smk)


@dataclass(frozen=True)
class Key:
    """A key of a schema: the names on the way to it, and what the schema says of its value."""

    kind: str
    path: tuple[str, ...]
    reader: str = ""  # a key of this kind of reader

    def __str__(self) -> str:
        return ".".join((self.kind, *self.path)) + (f" ({self.reader})" if self.reader else "")


class Schema:
    """One schema with its definitions."""

    def __init__(self, kind: str) -> None:
        self.kind, self.content = kind, io.read_yaml(SCHEMAS / f"{kind}.schema.yaml")

    @classmethod
    @cache
    def of(cls, kind: str) -> "Schema":
        return cls(kind)

    def resolved(self, part: dict) -> dict:
        while "$ref" in part:
            part = self.content["$defs"][part["$ref"].rpartition("/")[2]]
        return part

    def __iter__(self) -> Iterator[tuple[Key, dict]]:
        return self.below()

    def below(
        self, part: dict | None = None, path: tuple[str, ...] = (), reader: str = ""
    ) -> Iterator[tuple[Key, dict]]:
        """Every key below a part of the schema with what is said of it; of a reader, the keys of each kind."""
        part = self.resolved(self.content if part is None else part)
        for name, inner in part.get("properties", {}).items():
            if name != "kind":  # of a reader: it changes with the whole reader
                yield Key(self.kind, (*path, name), reader), self.resolved(inner)
                yield from self.below(inner, (*path, name), reader)
        for marker, inner in ((ITEM, part.get("items")), (ENTRY, part.get("additionalProperties"))):
            if isinstance(inner, dict):
                yield from self.below(inner, (*path, marker), reader)
        for choice in part.get("allOf", ()):
            yield from self.below(choice["then"], path, choice["if"]["properties"]["kind"]["const"])
        choices = [choice for name in ("oneOf", "anyOf") for choice in part.get(name, ())]
        assert not any("properties" in self.resolved(choice) for choice in choices), "keys that this file does not find"

    def value(self, part: dict, number: int = 1) -> Any:
        """A valid value; another number gives another value where there is a choice."""
        part = self.resolved(part)
        for choices in ("oneOf", "anyOf"):
            if choices in part:
                return self.value(part[choices][0], number)
        if "const" in part or "enum" in part:
            found = part.get("enum", [part.get("const")])
            return found[number % len(found)]
        kind = part.get("type", "object")
        kind = kind if isinstance(kind, str) else kind[0]
        if kind == "object":
            return self._object(part, number)
        if kind == "array":
            return [self.value(part["items"], number + i) for i in range(part.get("minItems", 1))]
        if kind == "string":
            return _text(part, number)
        return number % 2 == 0 if kind == "boolean" else _number(part, number, int if kind == "integer" else float)

    def containing(self, part: dict, key: Key, path: tuple[str, ...], leaf: Any, existing: Any = None) -> Any:
        """`existing`, or the least that is valid, with `leaf` where the path leads."""
        if not path:
            return leaf
        name, *rest = path
        part = self._choice(self.resolved(part), name, key.reader)
        if name == ITEM:
            return [self.containing(part["items"], key, rest, leaf)]
        other_reader = key.reader and isinstance(existing, dict) and existing.get("kind", key.reader) != key.reader
        found = existing if isinstance(existing, dict) and not other_reader else self._object(part, 1)
        inner = part["additionalProperties"] if name == ENTRY else part["properties"][name]
        entry = ENTRIES.get(path_before(key, path), "1") if name == ENTRY else name
        needed = {
            other: self.value(part["properties"][other]) for other in part.get("dependentRequired", {}).get(name, ())
        }
        return found | needed | {entry: self.containing(inner, key, tuple(rest), leaf, found.get(entry))}

    def _choice(self, part: dict, name: str, reader: str) -> dict:
        """The part of a schema that knows a name, where there are several."""
        for choice in part.get("allOf", ()):
            if choice["if"]["properties"]["kind"]["const"] == reader:
                return self.resolved(choice["then"])
        return part

    def _object(self, part: dict, number: int) -> dict[str, Any]:
        said = part.get("properties", {})
        names = part.get("required") or list(said)[: max(number - 1, part.get("minProperties", 0))]
        found = {name: self.value(said[name], number) for name in names}
        free = part.get("additionalProperties")
        return found or ({"1": self.value(free, number)} if isinstance(free, dict) else {})


def path_before(key: Key, path: tuple[str, ...]) -> str:
    """The name in front of the rest of a key's path."""
    return key.path[len(key.path) - len(path) - 1]


def _text(part: dict, number: int) -> str:
    texts = [text.format(number) for text in TEXTS] + [f"{number:0{length}x}" for length in DIGESTS]
    return next(text for text in texts if re.search(part.get("pattern", ""), text))


def _number(part: dict, number: int, kind: type) -> float:
    """Between the limits: 1, 2, .. or tenths of them."""
    least, most = part.get("minimum", 0), part.get("maximum", part.get("exclusiveMaximum", 1000))
    return kind(max(least, number if kind is int or most > number else number / 10))


def every_key(*kinds: str) -> list[tuple[Key, dict]]:
    return [found for kind in kinds for found in Schema.of(kind)]


def recomputed(before: Plan, after: Plan) -> set[str]:
    """What Snakemake runs after a change in a finished benchmark, by stage, and of runs also by variant.

    A job runs if an output of it is not there, or if an input of it has been made again.
    """
    there = {path for job in jobs_of(before) for path in job.outputs.values()}
    made: set[str] = set()
    names = set()
    for job in jobs_of(after):
        read = {path for name, path in _inputs(job) if name not in AGES_DO_NOT_MATTER}
        if set(job.outputs.values()) - there or read & made:
            made |= set(job.outputs.values())
            run = getattr(job.about, "run", job.about)
            names.add(f"{job.stage.name} {run.variant}" if job.stage in (TRAIN, EVALUATE) else job.stage.name)
    return names


def _inputs(job) -> Iterator[tuple[str, str]]:
    for name, paths in job.inputs.items():
        yield from ((name, path) for path in ([paths] if isinstance(paths, str) else paths))
