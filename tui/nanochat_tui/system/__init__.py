"""What a run takes of its machine: `live` reads it, `figures` writes it down, `pane` shows it."""
