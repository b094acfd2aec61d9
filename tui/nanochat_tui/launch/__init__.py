"""The form that starts trainings: choose where to begin, change settings, see what it costs, start or queue it."""
