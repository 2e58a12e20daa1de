"""Settings called by the flags that gave them, in what errors say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from rawlogs.arguments import SETTINGS
from rawlogs.errors import RawlogsError

_FLAGS = {
    "api_url": "--api-url",
    "api_key": "--api-key",
    "auth_string": "--auth-string",
    "ssl_cert_file": "--cacert",
    "headers": "-H",
}


def by_flags(error: RawlogsError, given: Mapping[str, Any]) -> RawlogsError:
    """Return the error with settings called by the flags that gave them, as only those can be mended.

    given: a command's arguments, or what ``access_arguments`` makes of them.
    """

    def renamed(text: str) -> str:
        for name, flag in _FLAGS.items():
            if given.get(name):
                setting = rf"{SETTINGS[name]}\b(?: \(argument\))?"
                text = re.sub(rf"\b(?:{setting}|{name} \(argument\))", flag, text).replace(
                    f"({name})", f"({flag})"
                )
        # A regular expression is called as the library calls it.
        return f"--{text}" if text.startswith(("include: ", "exclude: ")) else text

    error.text = renamed(error.text)
    error.hint = None if error.hint is None else renamed(error.hint)
    return error
