"""Procedural images of 64 x 64 pixels, drawn with NumPy and Pillow from an explicit random generator.

Masks are float32 (64, 64) in 0..1; images are float32 (N, 64, 64, 3) in 0..1.
"""
