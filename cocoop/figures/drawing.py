"""Which figures an experiment gets, from its files to SVG and PNG."""

from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from cocoop.figures import NAMES, changes, style
from cocoop.figures.data import gather
from cocoop.results import experiment, records
