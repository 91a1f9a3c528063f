"""The command line: parses, calls what does the work, prints. Nothing else uses typer or rich, or exits."""
