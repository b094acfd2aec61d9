"""From a trained model (a run, a checkpoint, a file) to text: bundles, sampling, generation."""
