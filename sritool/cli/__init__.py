"""The command line: parses options, calls the working code, prints. Only it uses typer or rich, or exits."""
