"""`corral sessions …`: its commands with their options and their help. What they do is in `sessions.py`, imported when one runs."""
# ruff: noqa: PLC0415 - as in commands.py

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from corral.cli.options import HERE, Json, Key, Url

app = typer.Typer(
    name="sessions",
    help="Show, export, fork and delete conversations.",
    epilog="Example: corral sessions show my-chat --last 4",
    invoke_without_command=True,
    add_completion=False,
    rich_markup_mode=None,
)

Session = Annotated[str, typer.Argument(metavar="ID", help="A session's id.")]


@app.callback()
def sessions(ctx: typer.Context, url: Url = HERE, key: Key = "", as_json: Json = False) -> None:
    """Show, export, fork and delete conversations.

    The list of them, without a further command.
    """
    if ctx.invoked_subcommand is None:
        listing(url=url, key=key, as_json=as_json)
        return
    sources = [ctx.get_parameter_source(name) for name in ctx.params]
    if any(source and source.name == "COMMANDLINE" for source in sources):
        raise typer.BadParameter(f"put options behind `{ctx.invoked_subcommand}`")


@app.command("list", epilog="Example: corral sessions list --limit 10")
def listing(
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="So many at most.")] = 50,
    url: Url = HERE,
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Show what there is, the last used first."""
    from corral.cli import asking, sessions

    asking.ask(url, key, sessions.listed(limit, as_json=as_json))


@app.command(epilog="Example: corral sessions show my-chat --last 4")
def show(
    session: Session,
    last: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Its newest messages. [20; JSON: all]")
    ] = None,
    url: Url = HERE,
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Show a conversation and what it says."""
    from corral.cli import asking, sessions

    asking.ask(url, key, sessions.shown(session, last, as_json=as_json))


@app.command(epilog="Example: corral sessions export my-chat -o my-chat.json")
def export(
    session: Session,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Instead of stdout.")
    ] = None,
    lines: Annotated[bool, typer.Option("--lines", help="JSON Lines: one message each.")] = False,
    url: Url = HERE,
    key: Key = "",
) -> None:
    """Print a conversation as a chat request.

    With all its messages and images, to be kept, or sent again.
    """
    from corral.cli import asking, sessions

    asking.ask(url, key, sessions.exported(session, output, lines=lines))


@app.command(epilog="Example: corral sessions fork my-chat --at 6 --as another-try")
def fork(
    session: Session,
    at: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Only its first messages. [all]")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--as", metavar="ID", help="The new one's id. [made up]")
    ] = None,
    url: Url = HERE,
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Begin another conversation like this one."""
    from corral.cli import asking, sessions

    asking.ask(url, key, sessions.forked(session, at, name, as_json=as_json))


@app.command(epilog="Example: corral sessions delete my-chat another-try")
def delete(
    sessions: Annotated[list[str], typer.Argument(metavar="ID...", help="Sessions' ids.")],
    url: Url = HERE,
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Delete conversations for good."""
    from corral.cli import asking
    from corral.cli import sessions as kept

    asking.ask(url, key, kept.deleted(sessions, as_json=as_json))


@app.command(epilog="Example: corral sessions preset my-chat pirate")
def preset(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="A preset; none if left out.")] = "",
    url: Url = HERE,
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Give a conversation a system prompt by name."""
    from corral.cli import asking, sessions

    asking.ask(url, key, sessions.given_preset(session, name, as_json=as_json))


@app.command(epilog="Example: corral sessions patch my-chat --note title=Cats")
def patch(
    session: Session,
    preset: Annotated[
        str | None, typer.Option(metavar="NAME", help="A system prompt by name.")
    ] = None,
    system: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Its client's own system prompt.")
    ] = None,
    note: Annotated[
        list[str] | None, typer.Option(metavar="NAME=TEXT", help="A note, such as a title.")
    ] = None,
    url: Url = HERE,
    key: Key = "",
    as_json: Json = False,
) -> None:
    """Change what goes with a conversation.

    What is given empty is taken away.
    """
    from corral.cli import asking, sessions

    asking.ask(url, key, sessions.patched(session, preset, system, note or (), as_json=as_json))
