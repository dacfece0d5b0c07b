"""What holds for every test: an example may take as long as it takes, the machine may be slow and have other work."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("corral", deadline=None)
settings.load_profile("corral")
