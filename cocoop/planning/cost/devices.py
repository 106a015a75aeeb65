"""Devices by name: their peaks, and what a model of them assumes, with sources (devices.yaml)."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from cocoop import io

FILE = Path(__file__).with_name("devices.yaml")
BESIDE_LAYERS = 2  # the operations of a training step that are not in a layer, in layers


@dataclass(frozen=True)
class Assumptions:
    """What is assumed of a kind of device.

    Attributes:
        images, text: shares of the peak that the image tower and the text tower reach.
        launch: seconds to start an operation.
        start: seconds to start a job.
        source: where these numbers are from.
    """

    images: float
    text: float
    launch: float
    start: float
    source: str


@dataclass(frozen=True)
class Device:
    """A device.

    Attributes:
        name, title: for the command line and for people.
        precision: fp32 or bf16 (fp16 is as fast).
        peak: operations a second in that precision.
        source: where the peak is from.
        on_cpu: whether its cores also decode images.
        assumed: the rest.
    """

    name: str
    title: str
    precision: str
    peak: float
    source: str
    on_cpu: bool
    assumed: Assumptions


@cache
def content() -> Mapping[str, Any]:
    """The content of devices.yaml."""
    return io.read_yaml(FILE)


def names() -> list[str]:
    """The names of the devices, in the order of the file."""
    return list(content()["devices"])


def assumptions(kind: str) -> Assumptions:
    """kind: gpu or cpu."""
    return Assumptions(**content()["kinds"][kind])


def named(name: str, precision: str) -> Device:
    """A device by name. precision: of the backbone; a device without half precision computes in fp32.

    A CPU has the cores that this process may use.
    """
    found = content()["devices"][name]
    title, peaks = found["title"], found.get("peak")
    if not peaks:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        title = f"{title}, {cores} core{'s' * (cores > 1)}"
        peaks = {key: cores * peak for key, peak in found["peak_of_a_core"].items()}
    used = "bf16" if precision != "fp32" and "bf16" in peaks else "fp32"
    kind = found["kind"]
    return Device(name, title, used, peaks[used], found["source"], kind == "cpu", assumptions(kind))


def operations_of_a_step(layers: int) -> float:
    """Operations that a training step starts one by one, with a text tower of this many layers."""
    counted = content()["launches"]
    return counted["operations"] * (layers + BESIDE_LAYERS) / (counted["layers"] + BESIDE_LAYERS)
