"""The command line: one file per command, each a dataclass of options and `main(options)`.

Floor 7: imports the floors below, heavy ones inside `main` only. Offers `cli.main`.
"""
