"""What a command needs, and who stands in."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from corral.config.command import LaunchSpec
from corral.errors import LoadFailed
from corral.host import programs
from corral.host.programs import find_program, problem_of, stands_in


@pytest.fixture
def path(monkeypatch, tmp_path):
    """An empty folder that is the whole PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


@pytest.fixture
def wheel(monkeypatch, tmp_path):
    """`wheel(there)`: whether the `llama` extra is installed."""
    site = tmp_path / "site"
    site.mkdir()

    def install(there: bool) -> None:
        name = "corral_test_wheel" if there else "corral_test_no_wheel"
        (site / "corral_test_wheel.py").write_text("raise RuntimeError('imported')")
        monkeypatch.syspath_prepend(str(site))
        monkeypatch.setattr(programs, "WHEEL", name)

    return install


def spec(*argv: str, files: tuple[str, ...] = (), env: dict | None = None) -> LaunchSpec:
    return LaunchSpec("m", argv, "http://localhost:1", files=files, env=env or {})


def program(path, name: str = "llama-server", mode: int = 0o755):
    file = path / name
    file.write_text("#!/bin/sh\n")
    file.chmod(mode)
    return file


def test_a_program_is_found_on_corrals_path_and_not_on_the_models(path, tmp_path):
    here = program(path, "engine")
    found = find_program(spec("engine", "-x", env={"PATH": "/nowhere"}))
    assert (found.argv, found.shipped) == ((str(here), "-x"), False)


def test_a_program_by_its_path(path, tmp_path):
    here = program(tmp_path, "engine")
    assert find_program(spec(str(here))).argv == (str(here),)


@pytest.mark.parametrize(
    "name", ["llama-server", "/opt/llama.cpp/llama-server", "corral-llama-server"]
)
def test_the_shipped_engine_stands_in_for_a_llama_server_that_is_not_there(path, wheel, name):
    wheel(True)
    found = find_program(spec(name, "-m", "x.gguf", "--port", "1"))
    assert found.shipped
    assert found.argv[0] == sys.executable
    assert found.argv[-5:] == ("corral.engines.llama", "-m", "x.gguf", "--port", "1")
    assert stands_in(spec(name))


def test_a_llama_server_that_is_there_is_used(path, wheel):
    wheel(True)
    program(path)
    assert not find_program(spec("llama-server")).shipped
    assert not stands_in(spec("llama-server"))


def test_without_the_extra_it_says_what_to_install(path, wheel):
    wheel(False)
    with pytest.raises(LoadFailed, match=r"no program 'llama-server' on the PATH.*corral\[llama\]"):
        find_program(spec("llama-server"))
    assert not stands_in(spec("llama-server"))


def test_nothing_stands_in_for_another_program(path, wheel):
    wheel(True)
    with pytest.raises(LoadFailed, match="m: there is no program 'vllm' on the PATH; install it"):
        find_program(spec("vllm", "serve"))


def test_a_file_that_is_no_program(path, tmp_path):
    plain = program(tmp_path, "engine", mode=0o644)
    with pytest.raises(LoadFailed, match="is not an executable program"):
        find_program(spec(str(plain)))


def test_all_files_must_be_there(path, tmp_path):
    here = program(path)
    there = tmp_path / "model.gguf"
    there.write_bytes(b"GGUF")
    assert problem_of(spec("llama-server", files=(str(there),))) is None
    missing = problem_of(spec("llama-server", files=(str(there), "/nowhere/mmproj.gguf")))
    assert "no file '/nowhere/mmproj.gguf'; correct `cmd`" in missing.message
    assert "is not a file" in problem_of(spec(str(here), files=(str(tmp_path),))).message


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become somebody else"
)
def test_a_file_that_may_not_be_read(tmp_path):
    tmp_path.chmod(0o700)
    secret = tmp_path / "model.gguf"
    secret.write_bytes(b"GGUF")
    os.seteuid(65534)  # root may read everything, so somebody else asks
    try:
        trouble = programs._trouble_with(secret)
    finally:
        os.seteuid(0)
    assert trouble == f"the file '{secret}' cannot be read (Permission denied)"


def test_the_shipped_engine_is_a_module_that_this_python_finds(path, wheel):
    wheel(True)
    argv = find_program(spec("llama-server")).argv
    code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({argv[-1]!r}) is None)"
    assert subprocess.run((argv[0], "-c", code), check=False).returncode == 0
