"""Pretraining of the bundled tiny CLIP on drawn pictures and their captions."""
