"""The report of a run: what was trained, on what, how it went, and how to do it again. Imports no torch."""
