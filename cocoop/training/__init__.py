"""Training of learned tensors on cached image features, and the stage that reads and writes the files around it."""
