"""No script and no style but the page's own files."""

from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


class content_security_policy:
    """Adds the header to every answer, under sync and async servers."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[..., Any]) -> None:
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: Any) -> Any:
        if iscoroutinefunction(self):
            return self._later(request)
        return self._marked(self.get_response(request))

    async def _later(self, request: Any) -> Any:
        return self._marked(await self.get_response(request))

    def _marked(self, response: Any) -> Any:
        response.headers["Content-Security-Policy"] = POLICY
        return response
