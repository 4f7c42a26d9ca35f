"""The front ends: a Typer command line and a Textual app over one engine session."""
