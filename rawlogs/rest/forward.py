"""A request passed on as it is, for a server in between: its answer is not judged, and an error status is an answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rawlogs.rest import body
from rawlogs.rest.client import RestClient
from rawlogs.rest.responses import Retry, unreadable

_PASSED_ON = frozenset(
    {"accept", "allow", "content-disposition", "content-type", "date", "location", "retry-after"}
)
_FAMILIES = ("prefect-", "x-prefect-")


@dataclass(frozen=True, slots=True)
class ForwardedResponse:
    """What the server answered; the body is unpacked. ``headers`` have lower-case names."""

    status: int
    headers: Mapping[str, str]
    content: bytes = field(repr=False)


class ForwardingClient(RestClient):
    """A REST client that adds its settings' credentials to other people's requests, and nothing else."""

    async def ask(
        self, method: str, target: str, headers: Mapping[str, str], content: bytes
    ) -> ForwardedResponse:
        """One request; ``target`` is the path below the API's base path, with its query.

        Neither the client's credentials nor its cookies are passed on. A connection that was cut is tried once more.
        Raises what the client raises where no answer comes: HistoryError, CertificateError, ConfigError.
        """
        http = self._open()
        from rawlogs.rest.failures import FOREIGN, failure

        asked = self._ask(method, self._settings.api_url + target)
        for spare in (True, False):
            self.requests += 1
            try:
                async with http.stream(
                    method, asked.url, content=content or None, headers=forwardable_headers(headers)
                ) as response:
                    content = await body.read(response, self._max_size)
            except (body.TooLarge, body.Unreadable, body.UnknownCoding) as problem:
                failed = unreadable(problem, asked, self._max_size)
                raise (failed.error() if isinstance(failed, Retry) else failed.error) from None
            except FOREIGN as exc:
                failed = failure(exc, asked, proxy=self._settings.proxy, answered=self._answered)
                if not isinstance(failed, Retry):
                    raise failed.error from None
                if spare and failed.at_once:
                    continue
                raise failed.error(1) from None
            self._answered = True
            return ForwardedResponse(response.status_code, forwardable_headers(response.headers), content)
        raise AssertionError("the second try either passes the answer on or raises")


def forwardable_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers that mean something on the other side; no credentials, no cookies."""
    names = ((name.lower(), value) for name, value in headers.items())
    return {name: value for name, value in names if name in _PASSED_ON or name.startswith(_FAMILIES)}
