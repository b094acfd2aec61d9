"""What `nanochat doctor` looks at: one module a subject, none of which imports torch in this process."""
