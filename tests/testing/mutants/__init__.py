"""Components that each break one law of their contract, and are honest otherwise."""
