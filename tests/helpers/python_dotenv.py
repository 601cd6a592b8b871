"""What python-dotenv reads from texts: JSON in, JSON out, one process.

In:  {"env": {NAME: VALUE}, "texts": [TEXT]}
Out: [[[[NAME, VALUE or null]], [LINE]]], the lines being those that it cannot read

Names are no keys there: V8's JSON.parse (in Deno 2.9.6) may take the key "\\n"
for a backslash, where it has seen a backslash as key before.
"""

import io
import json
import logging
import os
import sys

from dotenv.main import DotEnv
from dotenv.parser import parse_stream


def opened(text):
    """The text as `load_dotenv` opens a file: all ends of lines are one."""
    return io.TextIOWrapper(io.BytesIO(text.encode()), encoding="utf-8")


def line_of(binding):
    """Its own line counts the white space before what it cannot read."""
    string = binding.original.string
    space = string[: len(string) - len(string.lstrip())]
    return binding.original.line + space.count("\n")


def read(text):
    values = DotEnv(
        None, stream=opened(text), interpolate=True, override=True
    ).dict()
    bindings = parse_stream(opened(text))
    return [list(values.items()), [line_of(it) for it in bindings if it.error]]


logging.disable()
asked = json.load(sys.stdin)
os.environ.clear()
os.environ.update(asked["env"])
json.dump([read(text) for text in asked["texts"]], sys.stdout)
