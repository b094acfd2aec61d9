"""nanochat-framework: a TOML file names the parts, a plugin supplies each part, one command trains them."""

__version__ = "0.1.0"
