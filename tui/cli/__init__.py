"""The command line: one short file for each group of commands. Heavy imports stay inside the commands."""
