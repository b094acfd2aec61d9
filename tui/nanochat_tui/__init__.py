"""The dashboard: `nanochat tui` watches and steers runs through their folders, and through nothing else."""
