"""Configuration: TOML in, validated frozen objects out, every mistake at once with file and line."""
