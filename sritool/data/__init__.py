"""From text to ids: readers, tokenizers, prepared corpora and batches."""
