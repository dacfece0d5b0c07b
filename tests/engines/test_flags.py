"""The flag table, against the wheel it speaks of and against llama.cpp's own parser."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from corral.engines.command_line import read
from corral.engines.flags import FLAGS
from corral.engines.flags.kinds import get
from corral.engines.llama import load_wheel
from corral.engines.parameters import build

WHEEL = load_wheel()
MODEL = ("-m", "x.gguf", "--port", "8080")

# A value for each way to write one, and for the flags that want a special one.
VALUES = {
    "N": "3",
    "N|auto|all": "all",
    "TEXT": "some text",
    "NAME": "none",
    "URL": "http://host/x.gguf",
    "A,B,...": "a,b",
    "on|off": "off",
    "on|off|auto": "on",
    "0|1": "1",
    "HEX": "0x5",
    "FIRST-LAST": "1-2",
    "N0,N1,...": "1,1.5",
    "MIB0,MIB1,...": "100,200",
    "JSON": '{"a":1,"b":"x","c":true,"d":{"e":[1,2]}}',
    "PATTERN=BUFFER,...": "blk.0=CPU,blk.1=CPU",
    "FILE:SCALE,...": "a.gguf:0.5,b.gguf:2",
    "FILE,...": "a.gguf,b.gguf",
    "FIRST LAST": "1 2",
    "ADDRESS,...": "127.0.0.1,/tmp/x.sock",
    "ORIGIN,...": "http://a,http://b",
    "SECONDS": "9",
    "LEVEL": "low",
    "A;B;...": "top_k;temperature",
    "LETTERS": "kt",
    "TYPE,...": "ngram-simple,draft-mtp",
    "P0,P1,...": "0.5,0.25",
    "greedy|probabilistic": "probabilistic",
    "KEY=TYPE:VALUE,...": "a.b=int:3",
    "TOKEN+BIAS": "12+3.5",
}
SPECIAL = {
    "--tools": "read_file,get_info",
    "--grammar": 'root ::= "a"',
    "--chat-template": "chatml",
}

# What llama-server does not know any more, or the wheel cannot be told; --log-disable works here in another way.
OLDER = {
    "--mlock",
    "--mmap",
    "--no-mmap",
    "--direct-io",
    "--spec-ngram-size-n",
    "--spec-ngram-size-m",
    "--spec-ngram-min-hits",
}
OUR_OWN = {"--log-disable"}
# Copied from the threads of the model by llama.cpp's parser, and by the wheel when it serves.
POOLS = (
    "cpuparams.",
    "cpuparams_batch.",
    "speculative.draft.cpuparams.",
    "speculative.draft.cpuparams_batch.",
)


def argument(flag, folder):
    """Something to write after a flag; files and folders exist."""
    metavar = flag.kind.metavar
    if metavar == "DIR":
        return [str(folder)]
    if metavar == "FILE":
        file = folder / "file.json"
        file.write_text('{"type":"object"}\n')
        return [str(file)]
    if metavar.startswith("{"):
        return [metavar.strip("{}").split(",")[-1]]
    value = SPECIAL.get(flag.name) or VALUES[metavar]
    return value.split() if metavar == "FIRST LAST" else [value]


def written(flag, folder):
    """The ways to write a flag's `yes` and its `no`, once each."""
    yes = [flag.name, *(argument(flag, folder) if flag.kind.metavar else ())]
    return [yes, *([flag.off.split()[0]] for _ in filter(None, (flag.off,)))]


@pytest.mark.parametrize("flag", FLAGS, ids=lambda flag: flag.name)
def test_every_path_is_a_field(flag):
    params = WHEEL.CommonParams()
    for path in (*flag.to.split(), *(path for path, _ in flag.also)):
        get(params, path)


def test_every_spelling_is_one_flags():
    spellings = Counter(name for flag in FLAGS for name in (*flag.names.split(), *flag.off.split()))
    assert [name for name, count in spellings.items() if count > 1] == []


def test_every_variable_is_one_flags():
    variables = Counter(name for flag in FLAGS for name in flag.env.split())
    assert [name for name, count in variables.items() if count > 1] == []


@pytest.mark.parametrize("flag", FLAGS, ids=lambda flag: flag.name)
def test_every_flag_has_help_of_one_line(flag):
    assert flag.help
    assert "\n" not in flag.help
    assert len(flag.help) < 200


# The draft's devices read back as an empty text for none, and others must be there.
SETTABLE = [flag for flag in FLAGS if (flag.to or flag.also) and flag.name != "--spec-draft-device"]


@pytest.mark.parametrize("flag", SETTABLE, ids=lambda flag: flag.name)
def test_a_value_reaches_its_field(flag, tmp_path):
    """Some way to write the flag changes a field of its own; the rest are defaults."""
    fields = (*flag.to.split(), *(path for path, _ in flag.also))
    words = [*written(flag, tmp_path), *choices(flag)]
    before = snapshot(build(WHEEL, read(MODEL, {})), fields)
    after = [snapshot(build(WHEEL, read([*MODEL, *line], {})), fields) for line in words]
    assert any(one != before for one in after)


def choices(flag):
    if flag.kind.metavar.startswith("{"):
        return [[flag.name, word] for word in flag.kind.metavar.strip("{}").split(",")]
    return [[flag.name, "5"]] if flag.kind.metavar == "N" else []


def snapshot(params, paths):
    def shown(value):
        pool = [getattr(value, name) for name in ("cpumask", "type") if hasattr(value, name)]
        return repr(pool or value)

    return [shown(get(params, path)) for path in paths]


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """For every way to write every flag, the fields that llama.cpp reads otherwise."""
    folder = tmp_path_factory.mktemp("files")
    flags = [
        flag
        for flag in FLAGS
        if not flag.kind.action and flag.name not in ("--rpc", "--cache-list", "--completion-bash")
    ]
    lines = {flag.name: written(flag, folder) for flag in flags}
    cases = [(name, line) for name, ways in lines.items() for line in ways]
    program = Path(__file__).with_name("llama_parser.py")
    asked = json.dumps([[*MODEL, *line] for _, line in cases])
    told = subprocess.run(  # --log-file writes its file at once
        [sys.executable, program],
        cwd=folder,
        input=asked,
        capture_output=True,
        text=True,
        check=False,
    )
    if told.returncode == 77:
        pytest.skip("this wheel's parser cannot be called")
    assert told.returncode == 0, told.stderr[-2000:]
    return list(zip(cases, json.loads(told.stdout), strict=True))


def test_llama_cpp_reads_every_flag_as_we_do(compared):
    reachable = {flag.name for flag in FLAGS if flag.reaches} - OLDER - OUR_OWN
    wrong = {
        " ".join(line): difference
        for (name, line), difference in compared
        if name in reachable
        for difference in [difference and without_pools(difference)]
        if difference != {}
    }
    assert wrong == {}


def without_pools(difference):
    return {path: pair for path, pair in difference.items() if not path.startswith(POOLS)}


def test_what_is_older_is_what_llama_cpp_refuses(compared):
    reachable = {flag.name for flag in FLAGS if flag.reaches}
    refused = {name for (name, _), difference in compared if difference is None}
    assert refused & reachable == OLDER


def test_no_flag_of_llama_servers_is_missing():
    """llama-server's own help, as the wheel prints it, names no flag that the table lacks."""
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import ctypes, llama_parser as p; w = p.load_wheel();"
        "f = getattr(ctypes.CDLL(w.__file__), p.PARSE, None); f or sys.exit(77); p.theirs(w, f, ['--help'])"
    )
    command = [sys.executable, "-c", program, str(Path(__file__).parent)]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    if told.returncode == 77:
        pytest.skip("this wheel's parser cannot be called")
    entries = [
        line[:40]
        for line in told.stdout.splitlines()
        if line.startswith("-") and not line.startswith("-----")
    ]
    named = {
        word
        for entry in entries
        for word in entry.replace(",", " ").split()
        if word.startswith("-")
    }
    known = {name for flag in FLAGS for name in (*flag.names.split(), *flag.off.split())}
    assert len(named) > 300
    assert (
        sorted(word for word in named - known if not any(name.startswith(word) for name in known))
        == []
    )
