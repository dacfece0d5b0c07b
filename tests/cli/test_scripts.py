"""`scripts/venv`, which the other scripts begin with, among Pythons that only pretend."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="shell scripts")

ROOT = Path(__file__).parents[2]
NEEDED = ["sh", "dirname", "cmp", "cp", "echo", "chmod", "mkdir"]

FAILS = "#!/bin/sh\necho 'shim: no such version' >&2\nexit 127\n"
WORKS = """#!/bin/sh
echo "$0 $*" >> "$CALLS"
case "$2" in venv) mkdir -p .venv/bin; cp "$0" .venv/bin/python; chmod +x .venv/bin/python;; esac
"""


@pytest.fixture
def clone(tmp_path):
    """A clone with `scripts/venv`, and a PATH with nothing but what that needs."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "venv", tmp_path / "scripts")
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    (tmp_path / "bin").mkdir()
    for name in NEEDED:
        (tmp_path / "bin" / name).symlink_to(shutil.which(name))
    return tmp_path


def pretend(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def make(clone: Path, extras: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Run the script; what it did with the Pythons it found, without the look whether they work."""
    calls = clone / "calls"
    calls.write_text("")
    done = subprocess.run(
        [clone / "scripts" / "venv", extras],
        env={"PATH": str(clone / "bin"), "CALLS": str(calls), "HOME": os.environ.get("HOME", "/")},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    made = [line.replace(f"{clone}/", "") for line in calls.read_text().splitlines()]
    return done, [line for line in made if " -c " not in line]


def test_without_a_python_it_says_what_is_needed(clone):
    pretend(clone / "bin" / "python3", FAILS)
    done, did = make(clone, "llama")
    assert (done.returncode, did) == (1, [])
    assert done.stderr.startswith("corral needs Python 3.11 or newer with its venv module")
    assert done.stderr.count("\n") == 1


def test_a_shim_that_fails_is_passed_over(clone):
    pretend(clone / "bin" / "python3.13", FAILS)
    pretend(clone / "bin" / "python3.12", WORKS)
    done, did = make(clone, "llama")
    assert done.returncode == 0
    venv, install = did
    assert venv == "bin/python3.12 -m venv --clear .venv"
    assert install.startswith(".venv/bin/python -m pip install")
    assert install.endswith("--editable .[llama]")


def test_it_is_made_once_and_again_when_the_project_changed(clone):
    pretend(clone / "bin" / "python3", WORKS)
    make(clone, "llama,test")
    assert make(clone, "llama,test")[1] == []
    assert make(clone, "llama")[1] == [], "more extras than asked for will do"
    (clone / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    [install] = make(clone, "llama")[1]
    assert install.endswith("--editable .[llama]")
    [more] = make(clone, "llama,test")[1]
    assert more.endswith("--editable .[llama,test]")


def test_an_environment_that_does_not_run_any_more_is_made_anew(clone):
    pretend(clone / "bin" / "python3", WORKS)
    make(clone, "llama")
    pretend(clone / ".venv" / "bin" / "python", FAILS)
    _, did = make(clone, "llama")
    assert "bin/python3 -m venv --clear .venv" in did


def test_a_failed_install_is_not_taken_for_a_good_one(clone):
    pretend(clone / "bin" / "python3", WORKS)
    pretend(clone / ".venv" / "bin" / "python", '#!/bin/sh\ncase "$2" in pip) exit 1;; esac\n')
    assert make(clone, "llama")[0].returncode == 1
    assert not list((clone / ".venv").glob("corral-*"))
