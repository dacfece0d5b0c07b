"""`corral sessions`, as real processes against a scripted corral; and against a real one, by hand over HTTP."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from corral.cli import sessions
from corral.cli.client import Session

CATS = {
    "session_id": "cats", "created_at": 0.0, "updated_at": 10.0, "model": "chat-small", "preset": "pirate",
    "message_count": 3, "metadata": {"title": "All about cats"}, "parked": {"chat-small": 2**21}, "something_new": 1,
}  # fmt: skip
KITTENS = {
    "session_id": "kittens", "updated_at": 5.0, "model": None, "preset": None, "message_count": 0, "metadata": {},
    "forked_from": "cats", "forked_at": 2,
}  # fmt: skip
MESSAGES = [
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "What\nis it?"},
            {"type": "image_url", "image_url": {}},
            "now",
        ],
        "corral": {"number": 1, "at": 0.0},
    },
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "c", "function": {"name": "look", "arguments": '{"at":1}'}}],
        "corral": {"number": 2, "at": 0.0, "model": "chat-small", "partial": True},
    },
    {"role": "tool", "content": "a \x1b[31mcat", "corral": {"number": 3}},
]
NONE = {"sessions": [], "total": 0}


def ask(corral, script, *arguments):
    return corral("sessions", *arguments, "--url", script.url)


# --- list ---


@pytest.mark.parametrize("command", [(), ("list",)])
def test_the_list(corral, script, command):
    script.on("GET /api/sessions?limit=50", {"sessions": [CATS, KITTENS], "total": 2})
    done = ask(corral, script, *command)
    assert (done.returncode, done.stderr) == (0, "")
    heading, *rows = [line for line in done.stdout.splitlines() if line.strip(" ─")]
    assert heading.split() == ["SESSION", "LAST", "USED", "MESSAGES", "MODEL", "PRESET", "ABOUT"]
    assert rows[0].split()[0] == "cats"
    assert rows[0].split()[-7:] == ["ago", "3", "chat-small", "pirate", "All", "about", "cats"]
    assert rows[1].split()[-5:] == ["0", "from", "cats", "(2", "messages)"]


def test_the_list_for_machines(corral, script):
    script.on("GET /api/sessions?limit=1", {"sessions": [CATS], "total": 7})
    done = ask(corral, script, "list", "--limit", "1", "--json")
    assert json.loads(done.stdout) == {"sessions": [CATS], "total": 7}
    assert done.stderr == ""
    assert ask(corral, script, "list", "--limit", "1").stderr == "1 of 7; --limit shows more\n"


def test_no_conversations(corral, script):
    script.on("GET /api/sessions?limit=50", NONE)
    done = ask(corral, script)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "no conversation is kept; a request with a `session_id` begins one\n"


def test_a_name_is_no_markup_and_no_command_of_a_terminal():
    odd = Session("[red]x[/red]\x1b[2J", 0.0, 1, metadata={"title": "a\nb"})
    console = Console(file=io.StringIO(), width=200)
    console.print(sessions.table([odd], now=8.0))
    assert "[red]x[/red]·[2J" in console.file.getvalue()
    assert "8s ago" in console.file.getvalue()
    assert "\x1b" not in console.file.getvalue()


# --- show ---


def test_a_conversation(corral, script):
    script.on("GET /api/sessions/cats?limit=0", CATS | {"messages": []})
    script.on("GET /api/sessions/cats?after=1", CATS | {"messages": MESSAGES})
    done = ask(corral, script, "show", "cats", "--last", "2")
    assert (done.returncode, done.stderr) == (0, "")
    first, *rest = done.stdout.splitlines()
    assert first.startswith("cats: 3 messages, last used ")
    assert first.endswith(
        " ago, chat-small, All about cats, preset pirate, 2 MiB parked for chat-small"
    )
    assert rest == [
        "",
        "1 user",
        "    What",
        "    is it?",
        "    [image]",
        "    now",
        "",
        "2 assistant · chat-small · cut off",
        '    → look({"at":1})',
        "",
        "3 tool",
        "    a ·[31mcat",
    ]


def test_a_conversation_for_machines_is_whole(corral, script):
    script.on("GET /api/sessions/cats", CATS | {"messages": MESSAGES})
    done = ask(corral, script, "show", "cats", "--json")
    assert json.loads(done.stdout) == CATS | {"messages": MESSAGES}
    script.on("GET /api/sessions/cats?limit=0", CATS | {"messages": []})
    script.on("GET /api/sessions/cats?after=2", CATS | {"messages": MESSAGES[2:]})
    done = ask(corral, script, "show", "cats", "--json", "--last", "1")
    assert json.loads(done.stdout)["messages"] == MESSAGES[2:]


def test_a_name_with_a_slash(corral, script):
    script.on("GET /api/sessions/a%2Fb%20c?limit=0", CATS)
    script.on("GET /api/sessions/a%2Fb%20c?after=0", CATS)
    assert ask(corral, script, "show", "a/b c").returncode == 0


def test_a_conversation_that_is_not_there(corral, script):
    why = "there is no session `dogs`"
    script.refuse("GET /api/sessions/dogs?limit=0", why, "session_not_found", 404)
    done = ask(corral, script, "show", "dogs")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "corral: there is no session `dogs`\n"


# --- export ---

BODY = '{"model":"a","messages":[{"role":"user","content":"木"}]}'


def test_an_export_on_stdout(corral, script):
    script.on("GET /api/sessions/cats/export?format=json", BODY)
    done = ask(corral, script, "export", "cats")
    assert (done.returncode, done.stdout, done.stderr) == (0, BODY, "")
    script.on("GET /api/sessions/cats/export?format=jsonl", "{}\n{}\n")
    assert ask(corral, script, "export", "cats", "--lines").stdout == "{}\n{}\n"


def test_an_export_into_a_file(corral, script, tmp_path):
    script.on("GET /api/sessions/cats/export?format=json", BODY)
    file = tmp_path / "cats.json"
    done = ask(corral, script, "export", "cats", "-o", str(file))
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == f"cats is in {file}\n"
    assert file.read_text(encoding="utf-8") == BODY
    assert list(tmp_path.iterdir()) == [file]


def test_an_export_that_fails_leaves_the_file_that_was_there(corral, script, tmp_path):
    file = tmp_path / "cats.json"
    file.write_text("older")
    script.refuse("GET /api/sessions/cats/export?format=json", "no", "session_not_found", 404)
    assert ask(corral, script, "export", "cats", "-o", str(file)).returncode == 1
    assert file.read_text() == "older"
    assert list(tmp_path.iterdir()) == [file]


def test_an_export_to_nowhere(corral, script, tmp_path):
    script.on("GET /api/sessions/cats/export?format=json", BODY)
    file = tmp_path / "no" / "cats.json"
    done = ask(corral, script, "export", "cats", "-o", str(file))
    assert done.returncode == 1
    assert done.stderr == f"corral: {file}: No such file or directory\n"


# --- fork, delete, preset ---


def test_a_fork(corral, script):
    script.on("POST /api/sessions/cats/fork", KITTENS)
    done = ask(corral, script, "fork", "cats", "--at", "2", "--as", "kittens")
    assert (done.returncode, done.stdout, done.stderr) == (0, "kittens\n", "")
    assert json.loads(script.bodies[-1]) == {"at": 2, "session_id": "kittens"}
    done = ask(corral, script, "fork", "cats", "--json")
    assert json.loads(done.stdout) == KITTENS
    assert json.loads(script.bodies[-1]) == {"at": None, "session_id": None}


def test_some_are_deleted_and_those_that_are_not_there_told(corral, script):
    script.on("DELETE /api/sessions/cats", {"session_id": "cats", "deleted": True})
    script.on("DELETE /api/sessions/kittens", {"session_id": "kittens", "deleted": True})
    for name in ("dogs", "wolves"):
        why = f"there is no session `{name}`"
        script.refuse(f"DELETE /api/sessions/{name}", why, "session_not_found", 404)
    done = ask(corral, script, "delete", "cats", "kittens")
    assert (done.returncode, done.stdout, done.stderr) == (0, "deleted: cats, kittens\n", "")
    done = ask(corral, script, "delete", "dogs", "cats", "wolves")
    assert (done.returncode, done.stdout) == (1, "deleted: cats\n")
    assert done.stderr.splitlines() == [
        "corral: there is no session `dogs`",
        "corral: there is no session `wolves`",
    ]
    done = ask(corral, script, "delete", "dogs", "cats", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (1, {"deleted": ["cats"]})
    done = ask(corral, script, "delete", "dogs")
    assert (done.returncode, done.stdout) == (1, "")


def test_a_preset(corral, script):
    script.on("PATCH /api/sessions/cats", CATS)
    done = ask(corral, script, "preset", "cats", "pirate")
    assert (done.returncode, done.stdout) == (0, "cats has the preset pirate\n")
    assert json.loads(script.bodies[-1]) == {"preset": "pirate"}
    done = ask(corral, script, "preset", "cats")
    assert done.stdout == "cats has no preset\n"
    assert json.loads(script.bodies[-1]) == {"preset": None}
    assert json.loads(ask(corral, script, "preset", "cats", "--json").stdout) == CATS


PATCHES = [
    (["--preset", "pirate"], {"preset": "pirate"}),
    (["--system", "Be kind."], {"system": "Be kind."}),
    (["--preset", "", "--system", ""], {"preset": None, "system": None}),
    (["--note", "title=A=B", "--note", "mood="], {"metadata": {"title": "A=B", "mood": None}}),
]


@pytest.mark.parametrize(("arguments", "sent"), PATCHES, ids=range(len(PATCHES)))
def test_a_patch(corral, script, arguments, sent):
    script.on("PATCH /api/sessions/cats", CATS)
    done = ask(corral, script, "patch", "cats", *arguments)
    assert (done.returncode, done.stdout) == (0, f"cats is changed: {', '.join(sent)}\n")
    assert json.loads(script.bodies[-1]) == sent


def test_a_patch_for_machines(corral, script):
    script.on("PATCH /api/sessions/cats", CATS)
    done = ask(corral, script, "patch", "cats", "--preset", "pirate", "--json")
    assert json.loads(done.stdout) == CATS


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "corral: nothing to change: give --preset, --system or --note\n"),
        (["--note", "title"], "corral: --note title: write NAME=TEXT\n"),
        (["--note", "=x"], "corral: --note =x: write NAME=TEXT\n"),
    ],
)
def test_a_patch_of_nothing(corral, script, arguments, said):
    done = ask(corral, script, "patch", "cats", *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", said)
    assert not script.bodies


# --- as all client commands ---

COMMANDS = ["list", "show", "export", "fork", "delete", "preset", "patch"]
OF_ONE = COMMANDS[1:]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(corral, command):
    done = corral("sessions", command, "--help")
    assert done.returncode == 0
    assert f"Example: corral sessions {command}" in done.stdout


@pytest.mark.parametrize("command", OF_ONE)
def test_nobody_at_the_address(corral, command):
    more = ["--preset", "x"] if command == "patch" else []
    done = corral("sessions", command, "cats", *more, "--url", "http://127.0.0.1:1")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("corral: cannot reach http://127.0.0.1:1: ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["show"], "Missing argument 'ID'"),
        (["delete"], "Missing argument 'ID...'"),
        (["feed"], "No such command 'feed'"),
        (["show", "cats", "--last", "-1"], "Invalid value for '--last'"),
        (["--json", "show", "cats"], "put options behind `show`"),
    ],
)
def test_wrong_use_is_told_and_exits_2(corral, arguments, said):
    done = corral("sessions", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_something_else_answers(corral, script):
    script.on("GET /api/sessions?limit=50", ["not corral"])
    done = ask(corral, script)
    assert done.returncode == 1
    assert "does not answer like corral" in done.stderr


def test_the_key_is_sent(corral, script):
    script.on("GET /api/sessions?limit=50", NONE)
    corral("sessions", "--url", script.url, "--key", "secret")
    corral("sessions", CORRAL_URL=script.url, CORRAL_KEY="secret")
    assert script.keys == ["Bearer secret"] * 2
