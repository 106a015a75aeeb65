"""What every stage imports, loaded once into the server that stages are forked from: a stage then starts in no time."""

import open_clip  # noqa: F401
import scipy.stats  # noqa: F401
import torch

import cocoop.cli
import cocoop.clip.features
import cocoop.clip.text
import cocoop.clip.views
import cocoop.data.prepare
import cocoop.evaluation.run
import cocoop.figures.drawing
import cocoop.report.page
import cocoop.results
import cocoop.tables
import cocoop.training.run  # noqa: F401

torch.set_num_threads(1)
