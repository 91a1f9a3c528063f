"""The kinds of `sritool plot`, one module each: its options, its task and its picture."""
