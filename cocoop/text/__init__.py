"""Text features of class names: tokenizers, prompts, and the exact prompt encoder."""
