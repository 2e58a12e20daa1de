"""Settings called by the flags that gave them, in what errors say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from rawlogs.errors import RawlogsError

_FLAGS = {
    "api_url": ("PREFECT_API_URL", "--api-url"),
    "api_key": ("PREFECT_API_KEY", "--api-key"),
    "auth_string": ("PREFECT_API_AUTH_STRING", "--auth-string"),
    "ssl_cert_file": ("PREFECT_API_SSL_CERT_FILE", "--cacert"),
    "headers": ("PREFECT_CLIENT_CUSTOM_HEADERS", "-H"),
}


def by_flags(error: RawlogsError, given: Mapping[str, Any]) -> RawlogsError:
    """Return the error with settings called by the flags that gave them, as only those can be mended.

    given: a command's arguments, or what ``access_arguments`` makes of them.
    """

    def renamed(text: str) -> str:
        for name, (setting, flag) in _FLAGS.items():
            if given.get(name):
                text = re.sub(rf"\b{setting}\b(?: \(argument\))?", flag, text)
        return text

    error.text = renamed(error.text)
    error.hint = None if error.hint is None else renamed(error.hint)
    return error
