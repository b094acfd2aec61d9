"""What `nanochat bench` measures."""
