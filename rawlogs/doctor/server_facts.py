"""What is known of a server when an answer of it is judged. Pure."""

from __future__ import annotations

from dataclasses import dataclass, fields

Release = tuple[int, ...]
FIRST_WITH_LOGS: Release = (3, 4, 7)
"""The first Prefect with ``/logs/out``."""
FIRST_WITH_LEGACY: Release = (3, 6, 14)
"""The first Prefect that accepts a client without the subprotocol, where authentication is off."""
AUTH_SETTING = "PREFECT_API_AUTH_STRING"
KEY_SETTING = "PREFECT_API_KEY"


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What is known when a status is judged; None where it is not.

    ``rest``: REST answers as Prefect does (a 401 of its own included). ``authenticated``: the server wants
    credentials. ``body``: the beginning of the answer's body. ``sent``: the kind of
    credentials that REST sends. ``token``: the setting that the socket's token came from.
    """

    cloud: bool = False
    rest: bool = False
    release: Release | None = None
    version: str = ""
    authenticated: bool | None = None
    body: str = ""
    location: str = ""
    sent: str = "none"
    token: str | None = None
    url: str = ""

    @property
    def too_old(self) -> bool:
        return self.release is not None and self.release < FIRST_WITH_LOGS

    @property
    def html(self) -> bool:
        return self.body.lstrip()[:1] == "<"

    @property
    def prefect_says_no_such_route(self) -> bool:
        return self.body.replace(" ", "") == '{"detail":"NotFound"}'

    def fill(self, text: str) -> str:
        """The text with what is known in the place of each name in braces."""
        for fact in fields(self):
            mark = f"{{{fact.name}}}"
            if mark in text:
                text = text.replace(mark, str(getattr(self, fact.name)))
        return text


def release(version: str | None) -> Release | None:
    """A version as numbers that compare; None for what is none."""
    numbers: list[int] = []
    for part in (version or "").split("+")[0].split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits or len(digits) > 9:
            break
        numbers.append(int(digits))
        if digits != part:
            break
    return tuple(numbers) if len(numbers) >= 2 else None
