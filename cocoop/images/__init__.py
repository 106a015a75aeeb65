"""From image files to features or pixels: decoding, crops, encoding, and the cached results."""
