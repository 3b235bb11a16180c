"""Rendering of the files of a folder for readers: cards, `report.html`, charts, text for the terminal.

Floor 2: imports `core` and `data`; nothing here measures. Offers `cards`, `charts`, `terminal` and `benchmark_table`.
"""
