"""The gate applied to every request, and the headers that every answer carries."""

from __future__ import annotations

from importlib.resources import files
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rawlogs.host import only_host
from rawlogs.serve.access import Gate
from rawlogs.serve.logins import Logins

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "form-action 'self'",
    )
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
OPEN = frozenset({"/login", "/page.css", "/favicon.svg", "/livez", "/readyz"})
"""What is served to those who have not shown the token yet."""
LONGEST_FORM = 4096
_PAGES = frozenset({"/", "/login"})
"""What other sites may link to."""
_OWN = frozenset({"same-origin", "none"})
_PROBLEM = "<!-- problem -->"
_WRONG = '<p class="problem" role="alert">This is not the token.</p>'


class Guard:
    """ASGI middleware: refuses what the gate does not let in, and serves ``/login`` and ``/logout``."""

    def __init__(self, app: ASGIApp, gate: Gate, logins: Logins) -> None:
        self._app = app
        self._gate = gate
        self._logins = logins
        self._login_page = files("rawlogs.serve").joinpath("static/login.html").read_text("utf-8")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-store")
            await send(message)

        answer = await self._answer(Request(scope, receive))
        await (answer or self._app)(scope, receive, send_with_headers)

    async def _answer(self, request: Request) -> Response | None:
        """Return the answer in place of the app's; None to let the request in."""
        gate = self._gate
        # The path that is routed. Never request.url: older Starlettes build it from the Host header as it came, so
        # that its path is whatever the client likes.
        path: str = request.scope["path"]
        host = only_host(request.headers.getlist("host"))
        if host is None:
            return PlainTextResponse(
                "A request needs one Host header: a name or an address, and perhaps a port.\n", 400
            )
        if not gate.knows_host(host):
            return PlainTextResponse(
                "rawlogs serve answers to localhost only. Behind a reverse proxy that asks users who they are, "
                "start it with --behind-proxy.\n",
                421,
            )
        if path not in _PAGES and not _asked_by_us(request.headers):
            return PlainTextResponse("Other sites may not ask this.\n", 403)
        if gate.token is None:
            return None
        if path == "/login":
            return await self._login(request)
        if path == "/" and (given := request.query_params.get("token")) is not None:
            rest = [(name, value) for name, value in request.query_params.multi_items() if name != "token"]
            if gate.takes_token(given):
                return self._welcome(request, "/" + ("?" + urlencode(rest) if rest else ""))
            return self._ask(_WRONG)
        if path == "/logout" and request.method == "POST":
            return self._logout(request)
        if path in OPEN or self._logins.holds(request.cookies):
            return None
        if path == "/metrics" and gate.takes_token(_bearer(request.headers)):
            return None
        if path == "/":
            return RedirectResponse("/login", 303)
        return JSONResponse({"error": "Log in first.", "login": "/login"}, 401)

    async def _login(self, request: Request) -> Response:
        if request.method != "POST":
            return self._ask()
        body = b""
        try:
            async for chunk in request.stream():
                body += chunk
                if len(body) > LONGEST_FORM:
                    return PlainTextResponse("The form is too long.\n", 413)
        except ClientDisconnect:
            return PlainTextResponse("The form is not complete.\n", 400)
        given = dict(parse_qsl(body.decode("utf-8", "replace"))).get("token", "")
        return self._welcome(request, "/") if self._gate.takes_token(given.strip()) else self._ask(_WRONG)

    def _ask(self, problem: str = "") -> Response:
        return HTMLResponse(self._login_page.replace(_PROBLEM, problem), 401 if problem else 200)

    def _welcome(self, request: Request, path: str) -> Response:
        return self._with_cookie(request, RedirectResponse(path, 303), self._logins.begin())

    def _logout(self, request: Request) -> Response:
        self._logins.end(request.cookies)
        return self._with_cookie(request, RedirectResponse("/login", 303), "", max_age=0)

    def _with_cookie(
        self, request: Request, answer: Response, value: str, max_age: int | None = None
    ) -> Response:
        answer.set_cookie(
            self._gate.cookie_name,
            value,
            max_age=max_age,
            httponly=True,
            samesite="strict",
            secure=request.scope["scheme"] == "https",
        )
        return answer


def _bearer(headers: Headers) -> str | None:
    """Return the token with which Prometheus logs in (``authorization`` in its configuration)."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _asked_by_us(headers: Headers) -> bool:
    """Return whether the page asks, by what browsers say; what says nothing (curl) is no other site's page."""
    return headers.get("sec-fetch-site", "none") in _OWN
