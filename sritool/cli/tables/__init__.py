"""Tables of results that commands and plots print; one that a single command prints may stand in its file."""
