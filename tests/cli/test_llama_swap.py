"""`corral-llama-swap`: its flags, and that it stands in for llama-swap."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import trustme

from corral.cli.exits import Failure
from corral.cli.llama_swap import FLAGS, FlagError, HelpAsked, Options, parse

MODULE = "corral.cli.llama_swap"


@pytest.mark.parametrize(
    ("line", "options"),
    [
        ("", Options()),
        ("-config a.yaml", Options(config="a.yaml")),
        ("--config a.yaml", Options(config="a.yaml")),
        ("-config=a.yaml", Options(config="a.yaml")),
        ("--config=a=b.yaml", Options(config="a=b.yaml")),
        ("-config=", Options(config="")),
        ("-config a -config b", Options(config="b")),
        ("-config -listen", Options(config="-listen")),
        ("-config-dir d -listen :9000", Options(config_dir="d", listen=":9000")),
        ("-tls-cert-file c --tls-key-file=k", Options(tls_cert_file="c", tls_key_file="k")),
        ("-watch-config -version", Options(watch_config=True, version=True)),
        ("-watch-config=true", Options(watch_config=True)),
        ("--watch-config=F -config c", Options(config="c")),
        ("-watch-config false -config c", Options(watch_config=True)),
        ("-config c -- -version", Options(config="c")),
        ("-config c - -version", Options(config="c")),
        ("serve -config c", Options()),
    ],
)
def test_flags_are_read_as_go_reads_them(line, options):
    assert parse(line.split()) == options


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("-config", "flag needs an argument: -config"),
        ("--listen", "flag needs an argument: -listen"),
        ("-port 80", "flag provided but not defined: -port"),
        ("--watch", "flag provided but not defined: -watch"),
        ("---config a", "bad flag syntax: ---config"),
        ("-=a", "bad flag syntax: -=a"),
        ("-version=maybe", 'invalid boolean value "maybe" for -version: parse error'),
        ("-watch-config=", 'invalid boolean value "" for -watch-config: parse error'),
    ],
)
def test_what_go_would_not_take(line, said):
    with pytest.raises(FlagError) as raised:
        parse(line.split())
    assert str(raised.value) == said


@pytest.mark.parametrize("word", ["-h", "--help", "-help=x"])
def test_help_is_asked_for(word):
    with pytest.raises(HelpAsked):
        parse([word, "-nonsense"])


@pytest.mark.parametrize("half", [{"tls_cert_file": "c"}, {"tls_key_file": "k"}])
def test_tls_needs_both_files(half):
    with pytest.raises(
        Failure, match="both -tls-cert-file and -tls-key-file must be provided for TLS"
    ):
        _ = Options(**half).tls


def test_tls_is_the_pair_or_nothing():
    assert Options(tls_cert_file="c", tls_key_file="k").tls == ("c", "k")
    assert Options().tls is None


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["-version"], 0, "version: "),
        (["-h"], 0, "Usage of corral-llama-swap:"),
        (["-port", "80"], 2, "flag provided but not defined: -port"),
        ([], 1, "at least one of -config or -config-dir must be provided"),
        (["-config", "c.yaml", "-tls-cert-file", "c"], 1, "both -tls-cert-file and -tls-key-file"),
        (["-config", "missing.yaml"], 1, "missing.yaml: No such file or directory"),
        (["-config-dir", "."], 1, "no configuration sources found"),
    ],
)
def test_exit_codes_and_messages_are_llama_swaps(corral, tmp_path, arguments, code, said):
    done = corral(*arguments, module=MODULE, cwd=tmp_path)
    assert done.returncode == code
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_every_flag_is_in_the_usage(corral):
    usage = corral("-help", module=MODULE).stderr
    assert all(f"  -{name}" in usage for name in FLAGS)


# --- in the place of llama-swap ----------------------------------------------------------------------------------

OLD = Path(__file__).with_name("llama_swap.yaml")
MORE = """
models:
  draft:
    cmd: ${llama-server} -m ${models_dir}/draft.gguf
groups:
  small: {exclusive: false, members: [draft]}
apiKeys: ["from-another-file"]
"""
LISTENING = re.compile(r"listening on (https?)://(\S+)")


@pytest.fixture
def serving(tmp_path, environment):
    """`serving(*flags)`: a running `corral-llama-swap`, what it said on stderr by then, and its URL; ended with the test."""
    with contextlib.ExitStack() as running:

        def start(*flags):
            process = running.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", MODULE, *flags],
                    cwd=tmp_path,
                    env=environment(
                        MODELS_DIR="/srv/models",
                        SWAP_KEY="sk-x",
                        **{f"XDG_{kind}_HOME": str(tmp_path / kind) for kind in ("STATE", "CACHE")},
                    ),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
            running.callback(process.terminate)
            said = []
            for line in process.stderr:
                said.append(line.rstrip("\n"))
                if found := LISTENING.search(line):
                    return process, said, f"{found[1]}://{found[2]}"
            raise AssertionError(f"it ended: {said}")

        yield start


def test_a_grown_configuration_runs_as_it_is(serving, tmp_path):
    more = tmp_path / "conf.d"
    more.mkdir()
    (more / "20-draft.yml").write_text(MORE)
    (more / "README.txt").write_text("not read")
    process, said, url = serving(
        "-config", str(OLD), "--config-dir=conf.d", "-listen", "127.0.0.1:0", "-watch-config"
    )
    assert said[:-1] == ["corral: native format, 9 models"]
    for key in ("sk-hunter2", "sk-x", "from-another-file"):
        found = httpx.get(f"{url}/v1/models", headers={"x-api-key": key}).json()["data"]
    assert {one["id"] for one in found} == {
        *("qwen3-30b", "gpt-4o-mini", "gpt-3.5-turbo", "qwen3-30b:nothink"),
        *("qwen2.5-vl/7b:q8", "embed", "rerank", "vllm-coder", "whisper", "whisper-1"),
        *("comfyui_auto", "draft", "workstation/glm-4.6-air", "workstation/devstral", "coder"),
    }
    process.terminate()
    assert process.wait(60) == 0


def test_only_what_it_reads_past_is_told(serving, tmp_path):
    (tmp_path / "c.yaml").write_text(
        "port: 8080\nlogLevel: verbose\nmodels:\n  a: {cmd: 'x --port ${PORT}', keep_alive: 5m}\n"
        "hooks: {on_startup: {preload: [b]}}\n"
    )
    _, said, url = serving("--config", "c.yaml", "--listen=127.0.0.1:0")
    assert said[:-1] == [
        "corral: native format, 1 model",
        "corral: c.yaml:1 port: unknown key `port` at the top level (ignored)",
        "corral: c.yaml:2 logLevel: unknown value `verbose`; known: debug, info, warn, error (ignored)",
        "corral: c.yaml:4 models.a.keep_alive: unknown key `keep_alive` at models.a (ignored)",
        "corral: c.yaml:5 hooks.on_startup.preload[0]: unknown model `b` (ignored)",
    ]
    assert httpx.get(f"{url}/health").status_code == 200


def test_corral_itself_refuses_that_unless_it_is_told_not_to(corral, tmp_path):
    (tmp_path / "c.yaml").write_text("port: 8080\n")
    assert corral("check", "c.yaml", cwd=tmp_path).returncode == 2
    done = corral("check", "c.yaml", "--lenient", cwd=tmp_path)
    assert done.returncode == 0
    assert "unknown key `port`" in done.stdout
    assert corral("serve", "--config", "c.yaml", cwd=tmp_path).returncode == 2


def test_tls(serving, tmp_path):
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
    (tmp_path / "c.yaml").write_text("models: {}\n")
    _, _, url = serving(
        *("-config", "c.yaml", "-listen", "127.0.0.1:0"),
        *("-tls-cert-file", "both.pem", "-tls-key-file=both.pem"),
    )
    assert url.startswith("https://")
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    assert httpx.get(f"{url}/health", verify=trust).status_code == 200


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["-config", "bad.yaml"], "bad.yaml:2:1 "),
        (["-config", "c.yaml", "-listen", "8000"], "missing port in address"),
        (["-config", "c.yaml", "-listen", "TAKEN"], "the address is in use"),
        (["-config-dir", "empty"], "no configuration sources found"),
        (["-config-dir", "nowhere"], "nowhere: No such file or directory"),
        (["-config", "d/a.yaml", "-config-dir", "d"], "is also present in"),
        (["-config", "c.yaml", "-config-dir", "d"], 'conflict at "startPort"'),
        (["-config", "c.yaml", "-tls-key-file", "k"], "both -tls-cert-file and -tls-key-file"),
        (
            ["-config", "c.yaml", "-tls-cert-file", "no.pem", "-tls-key-file", "no.pem"],
            "no.pem: No such file or directory",
        ),
        (
            ["-config", "c.yaml", "-tls-cert-file", "c.yaml", "-tls-key-file", "c.yaml"],
            "no TLS with c.yaml and c.yaml: they cannot be read",
        ),
    ],
)
def test_what_keeps_it_from_starting_is_one_line_and_exit_code_1(corral, tmp_path, flags, said):
    (tmp_path / "bad.yaml").write_text("models: [a\n")
    (tmp_path / "c.yaml").write_text("startPort: 6000\n")
    for folder in ("d", "empty"):
        (tmp_path / folder).mkdir()
    (tmp_path / "d" / "a.yaml").write_text("startPort: 5000\n")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        flags = [address if flag == "TAKEN" else flag for flag in flags]
        if "-listen" not in flags:
            flags += ["-listen", "127.0.0.1:0"]
        done = corral(*flags, module=MODULE, cwd=tmp_path)
    assert done.returncode == 1
    *_, last = done.stderr.splitlines()
    assert said in last
    assert "Traceback" not in done.stderr


def test_an_empty_file_is_a_configuration(serving, tmp_path):
    (tmp_path / "c.yaml").write_text("# nothing yet\n")
    _, said, _ = serving("-config", "c.yaml", "-listen", "127.0.0.1:0")
    assert said[:-1] == ["corral: native format, 0 models"]
