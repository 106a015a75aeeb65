"""Procedural pictures of 64 x 64 pixels, drawn with NumPy and Pillow from an explicit generator: no global state.

A mask is float32 (64, 64) in 0..1; pictures are float32 (N, 64, 64, 3) in 0..1.
"""
