"""Panels of plugins: called by a process of their own, shown in a tab of a run."""
