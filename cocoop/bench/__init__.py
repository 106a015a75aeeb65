"""Compares the speed of the exact prompt encoder with the literal computation in the same process."""
