"""From class names to text features: tokenizers, prompts, and the exact prompt encoder."""
