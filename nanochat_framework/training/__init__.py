"""Training: the loss at the head, one optimizer step, the loop, checkpoints, evaluation, run control."""
