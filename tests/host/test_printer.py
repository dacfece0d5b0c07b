"""The printer: nobody who writes waits for who reads."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from corral.host.printer import Printer

BOUND = 30


class Reader:
    """Takes what is written while its gate is open, up to `most` bytes at once."""

    def __init__(self, most=1 << 20):
        self.gate = threading.Event()
        self.taken = bytearray()
        self.asked = threading.Event()
        self._most = most

    def __call__(self, piece):
        self.asked.set()
        assert self.gate.wait(BOUND)
        part = bytes(piece[: self._most])
        self.taken += part
        return len(part)


def test_all_of_it_in_order_however_little_is_taken_at_once():
    reader = Reader(most=7)
    reader.gate.set()
    printer = Printer(reader)
    lines = [b"line %d\n" % n for n in range(500)]
    for line in lines:
        printer.write(line)
    printer.close(BOUND)
    assert reader.taken == b"".join(lines)


def test_a_reader_who_stopped_reading_holds_nobody_up_and_loses_what_is_too_much():
    reader = Reader()
    printer = Printer(reader, limit=100)
    printer.write(b"first\n")
    assert reader.asked.wait(BOUND)
    for _ in range(30):
        printer.write(b"123456789\n")
    assert repr(printer) == "<Printer: 100 bytes held>"
    printer.close(0)
    reader.gate.set()
    printer.close(BOUND)
    first, held, told = reader.taken.partition(b"123456789\n" * 10)
    assert (first, held) == (b"first\n", b"123456789\n" * 10)
    assert told == b"\n[corral: 200 bytes of output left out: nobody read them]\n"


def test_leaving_waits_no_longer_than_it_says():
    reader = Reader()
    printer = Printer(reader)
    printer.write(b"x")
    assert reader.asked.wait(BOUND)
    printer.close(0.01)
    reader.gate.set()


def test_a_reader_who_has_gone_is_written_to_no_more():
    tried = []

    def gone(piece):
        tried.append(bytes(piece))
        raise BrokenPipeError

    printer = Printer(gone)
    printer.write(b"one")
    printer.close(BOUND)
    printer.write(b"two")
    assert tried == [b"one"]
    assert printer.broken


def test_a_pipe_that_somebody_made_non_blocking():
    ours, theirs = os.pipe()
    os.set_blocking(theirs, False)
    text = b"0123456789" * 20_000  # more than a pipe holds
    printer = Printer(lambda piece: os.write(theirs, piece))
    printer.write(text)
    got = bytearray()
    while len(got) < len(text):
        got += os.read(ours, 65536)
    printer.close(BOUND)
    os.close(ours)
    os.close(theirs)
    assert got == text


def test_many_threads_and_no_line_in_another():
    reader = Reader()
    reader.gate.set()
    printer = Printer(reader)
    start = threading.Barrier(4)

    def write(letter):
        start.wait(BOUND)
        for _ in range(200):
            printer.write(letter * 50 + b"\n")

    threads = [threading.Thread(target=write, args=(bytes([65 + n]),)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(BOUND)
    printer.close(BOUND)
    lines = bytes(reader.taken).splitlines()
    assert len(lines) == 800
    assert all(len(set(line)) == 1 for line in lines)


@pytest.mark.parametrize(
    "how", ["sys.stdout = None", "sys.stdout.close()", "import io; sys.stdout = io.StringIO()"]
)
def test_without_a_stdout_nothing_is_printed_and_nothing_fails(how):
    code = f"import sys; {how}\nfrom corral.host.printer import Printer\np = Printer(); p.write(b'x'); p.close()"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=BOUND, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_stdout_whose_reader_has_gone_is_no_error_at_exit():
    code = "from corral.host.printer import Printer\np = Printer(); input(); p.write(b'x'); p.close(30); print(p.broken, file=__import__('sys').stderr)"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        process.stdout.close()
        process.stdin.write(b"\n")
        process.stdin.close()
        assert process.stderr.read() == b"True\n"
        assert process.wait(BOUND) == 0
