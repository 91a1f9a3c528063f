"""Result tables that commands and plots share; a table of a single command may be in that command's file."""
