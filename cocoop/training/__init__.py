"""Training of methods on image features or live images, and the stage that reads and writes the files."""
