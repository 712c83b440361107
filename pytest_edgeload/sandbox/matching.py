"""Matches regular expressions of users in a process of their own, because a match cannot be interrupted here."""

from __future__ import annotations

import json
import subprocess
import sys

_TIMEOUT_S = 5.0
_MAX_MATCHES = 100_000
_CODE = """\
import itertools, json, re, sys
expression, group, text, count = json.load(sys.stdin)
matches = itertools.islice(re.finditer(expression, text, re.MULTILINE), count)
json.dump([match[group] for match in matches if match[group] is not None], sys.stdout)
"""


def matches(expression: str, group: str, text: str) -> list[str]:
    """Return the text of this group in each match of a regular expression, in which ^ and $ are the ends of a line.

    Raises ValueError with the reason if that takes too long.
    """
    command = (sys.executable, "-I", "-S", "-c", _CODE)
    request = json.dumps([expression, group, text, _MAX_MATCHES])
    try:
        matched = subprocess.run(command, input=request, timeout=_TIMEOUT_S, capture_output=True, text=True, check=True)
    except subprocess.TimeoutExpired:
        raise ValueError(f"/{expression}/ takes more than {_TIMEOUT_S:g} s to match; simplify it") from None
    except subprocess.CalledProcessError as error:
        reason = error.stderr.strip().rpartition("\n")[2]
        raise ValueError(f"/{expression}/ cannot be matched: {reason}") from None
    found: list[str] = json.loads(matched.stdout)
    return found
