"""Who may read what: one decision for every way to the browser, by a hook that is asked again while one reads."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from rawlogs.errors import RawlogsError
from rawlogs.relay.cursor import END_PLACE
from rawlogs.relay.query import BadQuery, Query, parse_request

if TYPE_CHECKING:
    from rawlogs.clock import Clock
    from rawlogs.relay.hub import Hub
    from rawlogs.relay.reader import Reader

T = TypeVar("T")
Authorize = Callable[[T, Query], bool | Awaitable[bool]]
"""Called with the request (or scope) and the query, before anything is read; True lets the reader in.

It is called again every ``RECHECK`` seconds while the reader reads, as for one that comes back: ``query.resumes`` is
then where it stands.
"""
NOT_ALLOWED = "You may not read these logs"
RECHECK = 60.0
"""Seconds after which a right is asked for again."""
LONGEST_ANSWER = 30.0
"""Seconds after which a hook that was asked again and does not answer counts as one that failed."""
_log = logging.getLogger("rawlogs.relay")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request gets no reader.

    status: 422 for wrong ``parameters`` (by name, why); 403; 503 for a Prefect that cannot be reached; 204 where
    nothing is left to read: the runs that it asked for had ended when it was here before.
    """

    status: Literal[204, 403, 422, 503]
    text: str
    parameters: Mapping[str, str] = field(default_factory=dict)

    def body(self) -> dict[str, Any]:
        """Return the body of an answer in JSON."""
        return {"error": self.text, **({"parameters": dict(self.parameters)} if self.parameters else {})}

    def headers(self, retry: float) -> dict[str, str]:
        """Return more headers of the answer; ``retry``: seconds after which to come back."""
        return {"Retry-After": f"{max(retry, 1.0):.0f}"} if self.status == 503 else {}


async def admit(
    hub: Callable[[], Hub],
    authorize: Callable[[Any, Query], Any] | None,
    who: Any,
    pairs: Iterable[tuple[str, str]],
    last_event_id: str | None = None,
    *,
    ignore: Iterable[str] = (),
    join: bool = True,
    denied: str = NOT_ALLOWED,
) -> Reader | Refusal | None:
    """Decide about a request: return its reader, or why it gets none.

    who: what the hook is called with; pairs: the parameters of the URL, without those in ``ignore``; last_event_id: the
    header. join: False only asks whether there would be a reader, and returns None where nothing speaks against it.
    denied: what somebody is told whom the hook does not let in.
    """
    try:
        query, cursor = parse_request(pairs, last_event_id, ignore=ignore)
        # Before anything that would tell a stranger what there is.
        if not await allowed(authorize, who, query):
            return Refusal(403, denied)
        if cursor is not None and cursor.place == END_PLACE:
            return Refusal(204, "runs ended")  # 204 is what keeps an EventSource from coming back
        return await hub().join(query, cursor=cursor) if join else None
    except BadQuery as error:
        return Refusal(422, "Wrong parameters", error.problems)
    except RawlogsError as error:
        _log.warning("a log reader was turned away: %s", error.text)
        return Refusal(503, "Prefect cannot be reached; try again")


async def allowed(authorize: Callable[[Any, Query], Any] | None, who: Any, query: Query) -> bool:
    """Return whether the hook says exactly True; without a hook nobody is let in."""
    if authorize is None:
        return False
    answer = authorize(who, query)
    if inspect.isawaitable(answer):
        answer = await answer
    return answer is True


class Recheck:
    """Ask the hook again for one reader, and close the reader where the right is gone.

    ``ask`` is given the query that the reader would come back with. ``denied`` says whether the reader was closed here.
    """

    def __init__(
        self, reader: Reader, ask: Callable[[Query], Awaitable[bool]], seconds: float | None, clock: Clock
    ) -> None:
        self._reader = reader
        self._ask = ask
        self._seconds = seconds
        self._clock = clock
        self._task: asyncio.Task[None] | None = None
        self.denied = False

    def start(self) -> None:
        """Ask from now on; never where ``seconds`` is None."""
        if self._seconds is not None and self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._watch(self._seconds))

    def stop(self) -> None:
        """Ask no more."""
        if self._task is not None:
            self._task.cancel()

    async def _watch(self, seconds: float) -> None:
        while True:
            await self._clock.sleep(seconds)
            reader = self._reader
            cursor = reader.cursor
            query = reader.query if cursor is None else replace(reader.query, resumes=cursor.low)
            try:
                still = await asyncio.wait_for(self._ask(query), LONGEST_ANSWER)
            except Exception:
                # Whoever cannot be asked about does not go on reading.
                _log.exception("the right of a log reader could not be asked for again; it is let go")
                still = False
            if not still:
                self.denied = True
                reader.close()
                return


def recheck_seconds(value: float | None) -> float | None:
    """Return the seconds between two questions; None for never. Raises ValueError for what is no such time."""
    if value is not None and not value > 0:
        raise ValueError("recheck is a number of seconds above 0, or None for never")
    return value
