"""A learned prompt, or zero-shot CLIP, as a classifier of pictures among any class names."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cocoop import methods
from cocoop.api import pictures
from cocoop.api.inputs import Inputs, inputs_of, names_of
from cocoop.api.pictures import Unreadable
from cocoop.api.predictions import Predictions
from cocoop.api.recipe import Recipe
from cocoop.api.towers import Towers
from cocoop.device import seeded
from cocoop.errors import UserError, counted
from cocoop.evaluation.predict import most_at_once
from cocoop.methods.base import Classifier, Method, Task
from cocoop.methods.cocoop import CoCoOp
from cocoop.methods.shared_text import SharedText, holding
from cocoop.text.prompt_encoder import DEFAULT_BUDGET_MB
from cocoop.training.loop import autocast
from cocoop.training.temperature import TEMPERATURE

Sentences = Mapping[str, Sequence[str]]


class Prompt:
    """One seed of a method with its frozen towers. `load`, `zero_shot` and `train` make it.

    Attributes:
        recipe: all settings.
        results: accuracies that were measured with it (dictionaries with target, subset, correct, total and accuracy).
    """

    def __init__(
        self,
        recipe: Recipe,
        towers: Towers,
        tensors: Mapping[str, Tensor],
        where: str,
        *,
        sentences: Sentences | None = None,
        results: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """tensors: the learned tensors by their names in the method; where: their file, for messages."""
        if recipe.sentences and not sentences:
            raise UserError(
                f"{where}: {recipe.variant} uses sentences about each class; give sentences={{class name: [...]}}."
            )
        self.recipe = recipe
        self.results = [dict(result) for result in results]
        self._towers, self._where = towers, where
        self._prompts: Any = sentences if recipe.sentences else recipe.templates
        self._method = self._built(tensors)
        self._temperature = float(tensors.get(TEMPERATURE, 1.0))

    def _built(self, tensors: Mapping[str, Tensor]) -> Method:
        recipe, text = self.recipe, self._towers.text
        if not issubclass(methods.find(recipe.implementation, recipe.method), Method):
            raise UserError(f"{self._where}: {recipe.implementation} is not a method.")
        task = Task(
            text,
            (recipe.seed,),
            recipe.classnames,
            self._prompts,
            recipe.template or "",
            self._towers.image,
            recipe.dataset,
        )
        with seeded(text.device, "start", task.seeds), self._precise():
            method = methods.build(recipe, task)
        method.load_learned({f"seed{recipe.seed}.{name}": tensor for name, tensor in tensors.items()}, self._where)
        return method.eval()

    @property
    def classnames(self) -> tuple[str, ...]:
        """The classes that it was trained on; empty for zero-shot CLIP."""
        return self.recipe.classnames

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The learned tensors by name, such as `ctx` (M, D), and the temperature of a run with temperature scaling."""
        learned = {name: tensor.detach()[0] for name, tensor in self._method.saved().items()}
        return learned | ({} if self._temperature == 1 else {TEMPERATURE: torch.tensor(self._temperature)})

    @property
    def device(self) -> str:
        return str(self._towers.text.device)

    def predict(
        self, images: Any, classnames: Sequence[str] | None = None, *, unreadable: Unreadable | None = None
    ) -> Predictions:
        """Probabilities of each picture among the classes.

        images: a path, a folder, a PIL image, an array (height, width, 3) of uint8, or a list of these.
        classnames: any class names; by default those trained on. Only these may have the same name twice.
        unreadable: called with the place in the list and the reason for a picture that cannot be read, which is then left
            out; by default it is a UserError.
        """
        asked = pictures.listed(images)
        places, rows = self._rows(asked, self._names(classnames), unreadable)
        names = tuple(asked[place].name for place in places)
        return Predictions(names, self._names(classnames), np.asarray(rows.softmax(-1).numpy(), np.float32))

    def logits(self, images: Any, classnames: Sequence[str] | None = None) -> Tensor:
        """Logits (N, C), float32, on the CPU; arguments as of `predict`."""
        return self._rows(pictures.listed(images), self._names(classnames), None)[1]

    def image_features(self, images: Any) -> Tensor:
        """Image features (N, E), not normalised, on the CPU: those that the method compares with text features.

        They are the frozen backbone's, unless the method changes them or the image tower.
        """
        with self._evaluating():
            classifier = self._classifier(self.classnames or ("thing",))
            encode = classifier.image if isinstance(classifier, SharedText) else lambda values: values
            batches = self._inputs(pictures.listed(images))
            return torch.cat([encode(batch.of_image[None])[0].float().cpu() for batch in batches])

    def text_features(self, classnames: Sequence[str] | None = None, images: Any = None) -> Tensor:
        """Text features of the classes, normalised, on the CPU: (C, E), or (N, C, E) if they depend on the image (CoCoOp).

        Raises a UserError for a method that has no text features, and for CoCoOp without images.
        """
        names = self._names(classnames)
        with self._evaluating():
            classifier = self._classifier(names)
            if isinstance(classifier, SharedText):
                return classifier.features()[0].float().cpu()
            if not isinstance(self._method, CoCoOp):
                raise UserError(f"{self.recipe.variant} has no text features: it classifies in another way.")
            if images is None:
                raise UserError(f"{self.recipe.variant}: its text features depend on the image; give images.")
            batches = self._inputs(pictures.listed(images))
            return torch.cat([_of_images(self._method, batch.values, names) for batch in batches])

    def export(self, folder: str | Path, **options: Any) -> Path:
        """Writes a folder that `load` and the Hugging Face Hub take; options as of `cocoop.api.exporting.export`."""
        from cocoop.api.exporting import export

        return export(self, folder, **options)

    def nearest_words(self, k: int = 5) -> Any:
        """The k words nearest to each context vector: see `cocoop.api.words.nearest`."""
        from cocoop.api.words import nearest

        return nearest(self, k)

    @property
    def method(self) -> Method:
        """The method with the learned tensors, for one seed (S = 1)."""
        return self._method

    @property
    def towers(self) -> Towers:
        """The frozen towers."""
        return self._towers

    def __repr__(self) -> str:
        recipe = self.recipe
        learned = (
            f"seed {recipe.seed}, {counted(len(recipe.classnames), 'class', 'classes')}"
            if self.tensors
            else "untrained"
        )
        data = f" on {recipe.dataset}" if recipe.dataset else ""
        return f"<Prompt {recipe.variant}{data} ({learned}), backbone {recipe.backbone.name}, {self.device}>"

    def _names(self, classnames: Sequence[str] | None) -> tuple[str, ...]:
        return names_of(self.classnames if classnames is None else classnames, self.classnames)

    def _rows(
        self, asked: Sequence[pictures.Picture], names: Sequence[str], unreadable: Unreadable | None
    ) -> tuple[list[int], Tensor]:
        """The places of the pictures that could be read, and their logits (n, C)."""
        places: list[int] = []
        rows = [torch.zeros(0, len(names))]
        with self._evaluating():
            classifier = self._classifier(names)
            for batch in self._inputs(asked, unreadable):
                at_once = most_at_once(1, len(names), self._towers.text.embed_dim, batch.tokens, DEFAULT_BUDGET_MB)
                for part in batch.values.split(at_once):
                    with self._precise():
                        rows.append(classifier(part[None]).float()[0].cpu())
                places += batch.places
        logits = torch.cat(rows) / self._temperature
        if not logits.isfinite().all():
            raise UserError(f"{self._where}: logits hold NaN or infinity; try precision='fp32'.")
        return places, logits

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        """The state in which the evaluate stage computes: no gradients, the same random numbers, text features kept."""
        self._method.noise.restart("evaluation")
        with torch.no_grad(), seeded(self._towers.text.device, "evaluation", self._method.seeds), holding():
            yield

    def _classifier(self, names: Sequence[str]) -> Classifier:
        with self._precise():
            try:
                return self._method.for_classes(names)
            except UserError as error:
                raise UserError(f"{self.recipe.variant}: {error}") from error

    def _precise(self):
        return autocast(self._towers.image.spec.precision, self._towers.text.device)

    def _inputs(self, asked: Sequence[pictures.Picture], unreadable: Unreadable | None = None) -> Iterator[Inputs]:
        return inputs_of(self.recipe, self._towers, asked, unreadable)


def _of_images(method: CoCoOp, features: Tensor, names: Sequence[str]) -> Tensor:
    """CoCoOp's text features (N, C, E) for image features (N, E); see `CoCoOp.for_classes`."""
    encoder = method.text.encoder(method.text.learnable(names, method.ctx.shape[1], words=method.ctx_init))
    shift = method.meta_net(F.normalize(features[None], dim=-1))[0]  # (N, D)
    return torch.cat(
        [F.normalize(encoder(method.ctx + one), dim=-1).float().cpu() for one in shift[:, None, None]]
    )  # N of (1, C, E)
