"""The kinds of `sritool plot`, a module each: options, the task, the picture."""
