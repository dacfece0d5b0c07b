"""What every command that asks a running corral takes."""

from __future__ import annotations

from typing import Annotated

import typer

Url = Annotated[str, typer.Option(envvar="CORRAL_URL", help="Where corral answers.", metavar="URL")]
Key = Annotated[
    str, typer.Option(envvar="CORRAL_KEY", help="The key it asks for, if any.", metavar="KEY")
]
Json = Annotated[bool, typer.Option("--json", help="The server's answer as JSON.")]

HERE = "http://127.0.0.1:8080"
