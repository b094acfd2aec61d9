"""A run's checkpoints: kept, exported, evaluated, forked, removed."""
