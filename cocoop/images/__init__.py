"""Image features and pixels: decoding, cropping, encoding and caching."""
