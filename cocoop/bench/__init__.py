"""What the exact prompt encoder saves, measured against the literal computation in the same process."""
