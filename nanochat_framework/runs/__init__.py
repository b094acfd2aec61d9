"""The run directory: the protocol between a training and everyone who watches it. Torch-free."""
