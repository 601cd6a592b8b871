"""What python-dotenv reads from texts: JSON in, JSON out, one process.

In:  {"env": {NAME: VALUE}, "texts": [TEXT]}
Out: [[[[NAME, VALUE or null]], [LINE]]]; the lines are those that it cannot read

Names are not JSON keys here: V8's JSON.parse (in Deno 2.9.6) may mistake the key
"\\n" for a backslash if it has seen a backslash as a key before.
"""

import io
import json
import logging
import os
import sys

from dotenv.main import DotEnv
from dotenv.parser import parse_stream


def opened(text):
    """Opens a text as `load_dotenv` opens a file: all line ends become \\n."""
    return io.TextIOWrapper(io.BytesIO(text.encode()), encoding="utf-8")


def line_of(binding):
    """python-dotenv's own line is that of the white space before the binding."""
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
