"""Asks llama.cpp itself what a command line means: the parser of its own llama-server is inside the wheel.

A program, as that parser ends the process where it likes: reads a JSON list of command lines, prints for each the fields in
which llama.cpp's reading and ours differ, as `{path: [theirs, ours]}`; null where llama.cpp refuses it. Exits 77 where the
parser cannot be called.
"""

import ctypes
import enum
import json
import sys

from corral.engines.command_line import read
from corral.engines.llama import load_wheel
from corral.engines.parameters import build

PARSE = "_Z19common_params_parseiPPcR13common_params13llama_examplePFviS0_E"
SERVER = 12  # LLAMA_EXAMPLE_SERVER


def flat(params, prefix=""):
    """Every field as text, by its path."""
    fields = {}
    for name in dir(params):
        value = None if name.startswith("_") else getattr(params, name)
        if type(value).__module__.startswith("xllamacpp") and not isinstance(value, enum.Enum):
            fields |= flat(value, f"{prefix}{name}.")
        elif value is not None and not callable(value):
            fields[prefix + name] = repr(sorted(value) if isinstance(value, set) else value)
    return fields


def theirs(wheel, parse, argv):
    """llama.cpp's reading; the parameters are the last thing in the wheel's object, right after Python's own head."""
    params = wheel.CommonParams()
    words = [b"llama-server", *(word.encode() for word in argv)]
    array = (ctypes.c_char_p * (len(words) + 1))(*words, None)
    address = ctypes.c_void_p(id(params) + object.__basicsize__)
    return params if parse(len(words), array, address, SERVER, None) else None


def differences(wheel, parse, argv):
    read_by_them = theirs(wheel, parse, argv)
    if read_by_them is None:
        return None
    one, other = flat(read_by_them), flat(build(wheel, read(argv, {})))
    return {path: [one[path], other[path]] for path in one if one[path] != other[path]}


def main():
    wheel = load_wheel()
    parse = getattr(ctypes.CDLL(wheel.__file__), PARSE, None)
    if parse is None or sys.platform != "linux":
        sys.exit(77)
    parse.restype = ctypes.c_bool
    json.dump([differences(wheel, parse, argv) for argv in json.load(sys.stdin)], sys.stdout)


if __name__ == "__main__":
    main()
