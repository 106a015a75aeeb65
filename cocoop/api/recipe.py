"""A recipe: everything but the learned tensors that a classifier consists of, as one immutable value."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from cocoop.config import Registry
from cocoop.config.code import digest as code_digest
from cocoop.config.specs import BackboneSpec
from cocoop.errors import UserError, shown
from cocoop.io import canonical_json
from cocoop.run import Run, parsed_as

OWN_METHODS = re.compile(r"cocoop\.methods\.\w+:\w+")


@dataclass(frozen=True)
class Recipe:
    """How learned tensors become a classifier.

    Attributes:
        backbone: the frozen model.
        fingerprint: fingerprint of the backbone's weights; None if it is unknown.
        variant, method, implementation, version, code, inputs, needs, params: as in `cocoop.run.Run`.
        templates: hand-crafted prompts with {} for the class name; empty for a method that uses none, or sentences.
        sentences: whether the method uses sentences about each class instead; they are not part of the recipe.
        template: the one template whose words the method needs, or None.
        classnames: the classes trained on; empty if nothing was trained.
        dataset: name of the dataset trained on, or "".
        seed: the seed that was trained.
        origin: where the tensors come from: {"run": settings}, {"checkpoint": facts}, or {}.
        on_white: whether what is transparent in a picture is pasted onto white, as in the training images; else transparency
            is dropped.
    """

    backbone: BackboneSpec
    fingerprint: str | None
    variant: str
    method: str
    implementation: str
    version: int
    code: str
    inputs: str
    needs: tuple[str, ...]
    params: Mapping[str, Any]
    templates: tuple[str, ...]
    sentences: bool
    template: str | None
    classnames: tuple[str, ...]
    dataset: str
    seed: int
    origin: Mapping[str, Any]
    on_white: bool = False

    @classmethod
    def of_run(cls, run: Run, classnames: Sequence[str], seed: int, on_white: bool) -> "Recipe":
        """The recipe of one seed of a run; classnames: those trained on."""
        same = {part.name for part in fields(cls)} & {part.name for part in fields(Run)}
        return cls(
            **{name: getattr(run, name) for name in same}, fingerprint=None, sentences=run.descriptions is not None,
            classnames=tuple(classnames), seed=seed, origin={"run": json.loads(run.to_json())},
            on_white=on_white,
        )  # fmt: skip

    @classmethod
    def of_variant(cls, name: str, backbone: BackboneSpec, where: str, **values: Any) -> "Recipe":
        """The recipe of a registered variant; `values` replaces fields. where: starts messages."""
        variant = Registry().variant(name, where)
        same = {part.name for part in fields(cls)} & {part.name for part in fields(variant)}
        filled: dict[str, Any] = {key: getattr(variant, key) for key in same}
        filled |= {"templates": (), "sentences": False, "template": None, "classnames": (), "dataset": "", "seed": 0}
        own: dict[str, Any] = {"backbone": backbone, "fingerprint": None, "variant": name, "origin": {}}
        return cls(**filled | own | values)

    def to_dict(self) -> dict[str, Any]:
        """JSON values of everything, which `from_dict` reads."""
        return json.loads(canonical_json(asdict(self) | {"backbone": self.backbone.settings}))

    @classmethod
    def from_dict(cls, content: Any, where: str) -> "Recipe":
        """Raises a UserError that names the first invalid key."""
        return parsed_as(cls, content, where)

    def with_templates(self, templates: str | Sequence[str] | None) -> "Recipe":
        """The recipe with other hand-crafted prompts. Raises a UserError for a method that uses none."""
        if templates is None:
            return self
        given = (templates,) if isinstance(templates, str) else tuple(templates)
        for text in given:
            if not isinstance(text, str) or text.count("{}") != 1 or text.count("{") != 1 or text.count("}") != 1:
                raise UserError(f"template {shown(text)}: expected exactly one {{}}, where the class name goes.")
        if not given or not (self.templates or self.template):
            problem = (
                "give at least one" if not given else f"{self.variant} uses no hand-crafted prompts; leave them out"
            )
            raise UserError(f"templates: {problem}.")
        template = given[0] if self.template else None
        return replace(self, templates=given if self.templates else (), template=template)

    def trusted(self, where: str) -> "Recipe":
        """The recipe itself. Raises a UserError unless its class belongs to a method of this installation.

        A recipe may come from anywhere, and a class is code: only those that the methods' files name are imported.
        """
        registry = Registry()
        own = OWN_METHODS.fullmatch(self.implementation)
        known = self.method in registry.names("methods")
        if own or (known and registry.read("methods", self.method, where)["class"] == self.implementation):
            return self
        raise UserError(
            f"{where}: needs the method {shown(self.method)} ({shown(self.implementation)}), which is not installed here: "
            "no file of config/methods names this class."
        )

    def other_code(self) -> bool:
        """Whether the method's code has changed since the training."""
        try:
            return bool(self.code) and code_digest(self.implementation, self.method) != self.code
        except UserError:  # reported when the class is imported
            return False


Recipe.__pydantic_config__ = {"extra": "forbid", "strict": True}  # type: ignore[attr-defined]
