"""Text to ids: sources, tokenizers, the prepared store. No models here."""
