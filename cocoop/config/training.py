"""Settings of gradient training."""

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class TrainingSpec:
    """Settings of gradient training (protocol: optimizer, lr_schedule).

    Attributes:
        epochs: passes over the few-shot images.
        batch_size: images per step.
        lr: learning rate after the warm-up, annealed along a cosine.
        warmup_epochs: epochs at the constant rate `warmup_lr`.
        momentum: momentum of SGD; Adam and AdamW use `betas`.
        weight_decay: added to the gradient for sgd and adam, decoupled for adamw.
        optimizer: sgd, adam or adamw.
        schedule: whether the learning rate changes per epoch or per step.
        steps: total number of steps, in place of `epochs`; None to train for `epochs`.
        drop_last: whether to drop an incomplete last batch (unless it is the only one).
        betas: coefficients of Adam and AdamW.
        eps: term of Adam and AdamW that prevents division by zero.
        min_lr: the rate at which the cosine ends.
    """

    epochs: int
    batch_size: int
    lr: float
    warmup_epochs: int
    warmup_lr: float
    momentum: float
    weight_decay: float
    optimizer: str = "sgd"
    schedule: str = "epoch"
    steps: int | None = None
    drop_last: bool = True
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    min_lr: float = 0.0

    def __post_init__(self) -> None:
        """`momentum: 0` and `momentum: 0.0` are one setting, with one identity."""
        for part in fields(self):
            if part.type is float:
                object.__setattr__(self, part.name, float(getattr(self, part.name)))
        object.__setattr__(self, "betas", tuple(map(float, self.betas)))
