"""
`python -m checkpoint` and the `checkpoint` command.
"""

from __future__ import annotations

import sys

from checkpoint._tools.cli import main

if __name__ == "__main__":
    sys.exit(main())
