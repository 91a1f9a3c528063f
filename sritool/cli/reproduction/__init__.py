"""The output of `sritool reproduce`: its tables, its files and the page of results."""
