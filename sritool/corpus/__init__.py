"""Text to word ids: sources, tokenizers, prepared corpora. No models."""
