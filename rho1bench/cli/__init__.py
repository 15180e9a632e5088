"""What a person types: one file a command. ``app`` puts them together and is the only place that ends the process.

Everything but typer is imported inside the commands, so that ``--help`` answers at once.
"""
