"""From text to ids: readers, tokenizers, prepared corpora, batches."""
