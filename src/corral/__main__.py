"""`corral`, also as `python -m corral`."""

from __future__ import annotations

from corral.cli.commands import main

if __name__ == "__main__":
    main()
