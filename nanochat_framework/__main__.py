"""`python -m nanochat_framework` is the `nanochat` command."""

import sys

from nanochat_framework.cli import main

if __name__ == "__main__":
    sys.exit(main())
