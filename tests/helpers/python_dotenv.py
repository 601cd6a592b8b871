"""Reads texts with python-dotenv. Input and output are JSON, in one process.

stdin:  {"env": {NAME: VALUE}, "texts": [TEXT]}
stdout: [[[[NAME, VALUE or null]], [LINE]]], with an item for each text

LINE is the number of a line that python-dotenv cannot read. Names are not JSON
keys in the output, because V8's JSON.parse (in Deno 2.9.6) may read the key
"\\n" as a backslash if it has seen a backslash as a key before.
"""

import io
import json
import logging
import os
import sys

from dotenv.main import DotEnv
from dotenv.parser import parse_stream


def opened(text):
    """Opens a text as `load_dotenv` opens a file: line breaks become \\n."""
    return io.TextIOWrapper(io.BytesIO(text.encode()), encoding="utf-8")


def line_of(binding):
    """Returns the line of a binding, without the white space before it."""
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
