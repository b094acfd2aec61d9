"""Whole sessions at a real terminal, with real trainings."""
