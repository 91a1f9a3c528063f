"""The command line: parse, call a task, render. Only here: typer, rich, exit."""
