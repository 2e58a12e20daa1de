"""The logins of the page: a cookie for each, made of the token, until it is ended or the token is another one."""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Callable, Mapping
from hashlib import sha256

from rawlogs.serve.access import Gate

_COOKIE = re.compile(r"([A-Za-z0-9_-]{22})\.([0-9a-f]{64})")


class Logins:
    """Makes, judges and ends them. ``number`` makes 128 bits that cannot be guessed, as 22 characters of base64.

    A cookie holds such a number and its proof by the token, so a restart of the server with the same token ends no
    login. Which ones were ended is kept in memory.
    """

    def __init__(self, gate: Gate, number: Callable[[], str] = lambda: secrets.token_urlsafe(16)) -> None:
        self._gate = gate
        self._number = number
        self._ended: set[str] = set()

    def begin(self) -> str:
        """Return the cookie of a new login, whose browser has shown the token."""
        number = self._number()
        return f"{number}.{self._proof(number)}"

    def holds(self, cookies: Mapping[str, str]) -> bool:
        """Return whether these cookies are those of a login; always True where there is no token."""
        if self._gate.token is None:
            return True
        number = self._number_of(cookies)
        return number is not None and number not in self._ended

    def end(self, cookies: Mapping[str, str]) -> None:
        """End the login of these cookies: they are worth nothing from now on, wherever they were copied to."""
        # Only numbers that were given out are kept, so nobody without the token makes this grow.
        if (number := self._number_of(cookies)) is not None:
            self._ended.add(number)

    def _number_of(self, cookies: Mapping[str, str]) -> str | None:
        found = _COOKIE.fullmatch(cookies.get(self._gate.cookie_name, ""))
        if found is None or not hmac.compare_digest(found[2], self._proof(found[1])):
            return None
        return found[1]

    def _proof(self, number: str) -> str:
        key = (self._gate.token or "").encode()
        return hmac.new(key, f"rawlogs serve cookie {number}".encode(), sha256).hexdigest()
