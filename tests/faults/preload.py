"""What every stage imports, loaded once into the server that stages are forked from: a stage then starts in no time."""

import open_clip  # noqa: F401
import scipy.stats  # noqa: F401
import torch

import cocoop.cli
import cocoop.data.prepare
import cocoop.evaluation.run
import cocoop.images.features
import cocoop.images.views
import cocoop.reporting.figures.drawing
import cocoop.reporting.page.page
import cocoop.reporting.records.paired
import cocoop.reporting.tables
import cocoop.text.text_encoder
import cocoop.training.run  # noqa: F401

torch.set_num_threads(1)
