"""Pretraining of the bundled tiny CLIP on drawn images and their captions."""

from cocoop.demo.pretraining.training import pretrain

__all__ = ["pretrain"]
