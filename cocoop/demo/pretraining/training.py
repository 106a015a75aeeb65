"""The pretraining loop: contrastive learning on the CPU with a schedule by steps; all random numbers derive from the seed."""

import json
import math
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from open_clip.model import CLIP
from torch.nn import functional

from cocoop import io, progress
from cocoop.backbone import tiny
from cocoop.demo.pretraining import vocabulary
from cocoop.demo.pretraining.batches import Batch, draw, text_features
from cocoop.demo.pretraining.checks import held_out
from cocoop.errors import UserError

STEPS = 3300
BATCH = 128
LEARNING_RATE = 1.5e-3
WARMUP_STEPS = 40
FINAL_RATE_SHARE = 0.005
WEIGHT_DECAY = 0.05
BETAS = (0.9, 0.98)
GRADIENT_NORM = 1.0
LARGEST_SCALE = 100.0
RECORD_EVERY = 50
HELD_OUT_BATCHES = 8


def pretrain(
    out_dir: str | Path, steps: int = STEPS, seed: int = 0, batch: int = BATCH, architecture: Path = tiny.CONFIG
) -> Path:
    """Trains a tiny CLIP of an architecture (open_clip's JSON) from scratch on the CPU.

    Writes `weights.safetensors` and `training.json` (losses, time) to out_dir. The same seed, steps, machine and number of
    threads give the same weights. 3,300 steps take about 25 minutes on two cores. Returns the path of the weights;
    `cocoop.backbone.tiny.expand` reads them.
    """
    if steps < 1 or batch < 2:
        raise UserError(f"pretrain-tiny: expected at least 1 step and 2 images per batch, got {steps} and {batch}.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _new_model(architecture)
    record = _fit(model, steps, seed, batch)
    record["held_out"] = held_out(model, _batches(range(steps, steps + HELD_OUT_BATCHES), seed, batch))
    weights = Path(out_dir) / tiny.WEIGHTS.name
    tiny.save_compact(weights, model.state_dict(), vocabulary.token_ids())
    io.write_json(Path(out_dir) / "training.json", record)
    return weights


def learning_rate(step: int, steps: int) -> float:
    """Linear warm-up over 40 steps times a cosine from the full rate to 0.5 % of it."""
    cosine = 0.5 * (1 + math.cos(math.pi * step / steps)) + FINAL_RATE_SHARE
    return LEARNING_RATE * min(1.0, (step + 1) / WARMUP_STEPS) * cosine


def contrastive_loss(logits: torch.Tensor, matches: torch.Tensor) -> torch.Tensor:
    """Cross-entropy in both directions; the target of a row is uniform over all its matches.

    logits: (B, B), images by captions. matches: bool (B, B), true on the diagonal.
    """
    true = matches.float()
    captions = functional.cross_entropy(logits, true / true.sum(1, keepdim=True))
    pictures = functional.cross_entropy(logits.T, (true / true.sum(0, keepdim=True)).T)
    return (captions + pictures) / 2


def _new_model(architecture: Path) -> CLIP:
    """The architecture with token embeddings only for the captions' vocabulary."""
    config = json.loads(architecture.read_text(encoding="utf-8"))
    config["text_cfg"]["vocab_size"] = len(vocabulary.token_ids())
    model = CLIP(**config)
    model.visual.to(memory_format=torch.channels_last)
    return model.train()


def _optimizer(model: CLIP) -> torch.optim.Optimizer:
    """AdamW without weight decay for embeddings, biases and gains."""
    named = list(model.named_parameters())
    decays = {name: parameter.ndim >= 2 and "embedding" not in name for name, parameter in named}
    groups = [
        {"params": [parameter for name, parameter in named if decays[name]], "weight_decay": WEIGHT_DECAY},
        {"params": [parameter for name, parameter in named if not decays[name]], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=BETAS, eps=1e-6)


def _fit(model: CLIP, steps: int, seed: int, batch: int) -> dict:
    started, started_cpu = time.perf_counter(), time.process_time()
    optimizer, history, recent = _optimizer(model), [], []
    with progress.bar(steps, "pretrain-tiny", "step") as shown:
        for step, sample in enumerate(_batches(range(steps), seed, batch)):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, steps)
            recent.append(_step(model, optimizer, sample))
            if (step + 1) % RECORD_EVERY == 0 or step + 1 == steps:
                loss, accuracy = np.mean(recent, axis=0).round(4).tolist()
                history.append({"step": step + 1, "loss": loss, "in_batch_accuracy": accuracy})
                shown.set_postfix(loss=loss, accuracy=accuracy, refresh=False)
                recent.clear()
            shown.update()
    return {
        "schema": 1,
        "kind": "pretraining",
        "seed": seed,
        "steps": steps,
        "samples": steps * batch,
        "threads": torch.get_num_threads(),
        "seconds": round(time.perf_counter() - started, 1),
        "cpu_seconds": round(time.process_time() - started_cpu, 1),
        "history": history,
    }


def _batches(steps: range, seed: int, batch: int) -> Iterator[Batch]:
    for step in steps:
        yield draw(batch, np.random.default_rng([seed, step]))


def _step(model: CLIP, optimizer: torch.optim.Optimizer, sample: Batch) -> tuple[float, float]:
    """One update; returns the loss and the fraction of images whose best caption is true."""
    images = functional.normalize(model.visual(sample.pictures), dim=-1)
    texts = functional.normalize(text_features(model, sample.captions), dim=-1)
    logits = model.logit_scale.exp() * images @ texts.T
    loss = contrastive_loss(logits, sample.matches)
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), GRADIENT_NORM)
    optimizer.step()
    with torch.no_grad():
        model.logit_scale.clamp_(0, math.log(LARGEST_SCALE))
        accuracy = sample.matches.gather(1, logits.argmax(1, keepdim=True)).float().mean()
    return float(loss.detach()), float(accuracy)
