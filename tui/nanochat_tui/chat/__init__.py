"""Talking to a model from the dashboard: `nanochat generate --requests` in a process of its own."""
