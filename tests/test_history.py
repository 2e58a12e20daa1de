"""Pages by time over a table that moves while it is read."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawlogs.errors import HistoryError
from rawlogs.log_values import parse_timestamp
from rawlogs.models import BEGINNING, END
from rawlogs.rest.body import AnswerTooLarge
from rawlogs.rest.history import History, RowsShifted

NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)


class Table:
    """Rows as ``POST /logs/filter`` answers them; ``between`` is called before each request."""

    def __init__(self, stamps: list[int], *, limit: int, shuffle: random.Random | None = None) -> None:
        self.rows = [self.row(number, stamp) for number, stamp in enumerate(stamps)]
        self.limit = limit
        self.shuffle = shuffle
        self.requests = 0
        self.between: Any = lambda: None
        self.large: set[int] = set()
        """Numbers of rows of which one page can hold two."""
        self.asked: list[int] = []

    @staticmethod
    def row(number: int, stamp: int) -> dict[str, Any]:
        moment = (NOON + timedelta(seconds=stamp)).isoformat()
        return {"id": str(UUID(int=number)), "level": 20, "message": "m", "timestamp": moment}

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:
        assert path == "/logs/filter"
        self.between()
        self.requests += 1
        if body["limit"] > self.limit:
            text = f"Invalid limit: must be less than or equal to {self.limit}."
            raise HistoryError(text, status=422, body=text)
        stamps = body["logs"]["timestamp"]
        low = parse_timestamp(stamps["after_"]) if "after_" in stamps else BEGINNING
        high = parse_timestamp(stamps["before_"]) if "before_" in stamps else END
        rows = list(self.rows)
        if self.shuffle is not None:
            self.shuffle.shuffle(rows)
        found = [row for row in rows if low <= parse_timestamp(row["timestamp"]) <= high]
        found.sort(key=lambda row: row["timestamp"], reverse=body["sort"] == "TIMESTAMP_DESC")
        page = [dict(row) for row in found[body["offset"] : body["offset"] + body["limit"]]]
        self.asked.append(body["limit"])
        if sum(UUID(row["id"]).int in self.large for row in page) > 2:
            raise AnswerTooLarge("too large")
        return page


async def read(history: History, **options: Any) -> list[int]:
    return [log.id.int async for page in history.pages({}, BEGINNING, END, **options) for log in page]


stamps = st.lists(st.integers(0, 12), max_size=60)
limits = st.integers(1, 9)


@given(stamps, limits, st.booleans(), st.booleans())
async def test_every_row_comes_once_in_order(
    stamps: list[int], limit: int, newest_first: bool, confirm: bool
) -> None:
    """Also where more rows than a page share one timestamp; the limit is learned from the 422."""
    table = Table(stamps, limit=limit)
    history = History(table)
    found = await read(history, newest_first=newest_first, confirm=confirm)
    assert sorted(found) == list(range(len(stamps)))
    order = [stamps[number] for number in found]
    assert order == sorted(order, reverse=newest_first)


@given(stamps, st.integers(2, 9), st.integers(0, 1 << 30))
async def test_an_unstable_order_of_ties_hides_no_row(stamps: list[int], limit: int, seed: int) -> None:
    """Postgres promises no order among equal timestamps, not even the same one twice."""
    table = Table(stamps, limit=limit, shuffle=random.Random(seed))
    try:
        found = await read(History(table, page=limit))
    except HistoryError as error:
        assert error.transient  # said, not hidden: it never settled
        return
    assert sorted(found) == list(range(len(stamps)))


@given(stamps, st.integers(2, 9), st.integers(0, 1 << 30))
async def test_rows_that_stay_come_once_while_others_come_and_go(
    stamps: list[int], limit: int, seed: int
) -> None:
    """Whatever is inserted or deleted between two requests."""
    table = Table(stamps, limit=limit)
    rng = random.Random(seed)
    gone: set[str] = set()

    def move() -> None:
        if table.rows and rng.random() < 0.3:
            row = table.rows.pop(rng.randrange(len(table.rows)))
            gone.add(row["id"])
        if rng.random() < 0.3:
            table.rows.insert(
                rng.randint(0, len(table.rows)), Table.row(1000 + table.requests, rng.randint(0, 12))
            )

    table.between = move
    found = await read(History(table, page=limit))
    assert len(found) == len(set(found))
    stayed = {number for number in range(len(stamps)) if str(UUID(int=number)) not in gone}
    assert stayed <= set(found)


@pytest.mark.parametrize("ties", [1, 50, 1000], ids=["distinct", "batches of 50", "one timestamp"])
async def test_a_page_costs_little_more_than_its_rows(ties: int) -> None:
    """One row of each page is read again, whatever the timestamps."""
    table = Table([number // ties for number in range(1000)], limit=200)
    assert len(await read(History(table))) == 1000
    assert table.requests <= 1000 / 199 + 2


@given(stamps, st.integers(0, 70), st.integers(2, 9))
async def test_beyond_tells_more_fewer_and_equal(stamps: list[int], expected: int, limit: int) -> None:
    """One request, whatever the number of rows."""
    table = Table(stamps, limit=limit)
    more = await History(table, page=limit).count_more_than({}, BEGINNING, END, expected)
    assert (more > 0, more < 0) == (len(stamps) > expected, len(stamps) < expected)
    assert table.requests == 1


async def test_a_row_that_cannot_be_read_spoils_its_page() -> None:
    """Never half a page: HistoryError, to be tried again."""
    table = Table([1, 2], limit=9)
    del table.rows[1]["message"]
    with pytest.raises(HistoryError, match="no message") as error:
        await read(History(table, page=9))
    assert error.value.transient


@given(stamps, st.integers(1, 60), st.integers(2, 9), st.randoms(use_true_random=False))
async def test_what_lies_behind_known_rows_completes_them_or_they_have_moved(
    stamps: list[int], known: int, limit: int, rng: random.Random
) -> None:
    """Whichever rows are known: when it ends without a word, nothing is missing."""
    table = Table(stamps, limit=limit)
    ids = {row["id"] for row in table.rows}
    first = sorted(table.rows, key=lambda row: row["timestamp"])[:known]
    chosen = rng.choice([first, rng.sample(table.rows, min(known, len(table.rows)))])
    known_ids = frozenset(row["id"] for row in chosen)
    shown = set(known_ids)
    if not shown:
        return
    try:
        async for page in History(table, page=limit).rows_after(
            {}, BEGINNING, END, len(known_ids), lambda log: str(log.id) in known_ids
        ):
            shown |= {str(log.id) for log in page}
    except RowsShifted:
        assert chosen is not first
    else:
        assert shown == ids


async def test_rows_that_come_while_those_behind_are_read_are_told() -> None:
    """Known rows that are pushed back show up again."""
    table = Table([*range(20)], limit=5)
    known = {row["id"] for row in table.rows[:6]}

    def insert() -> None:
        if table.requests == 1:
            table.rows.append(table.row(99, 0))

    table.between = insert
    with pytest.raises(RowsShifted):
        async for _ in History(table, page=5).rows_after(
            {}, BEGINNING, END, len(known), lambda log: str(log.id) in known
        ):
            pass


@given(stamps, st.integers(3, 9), st.sets(st.integers(0, 60)), st.booleans())
async def test_a_page_that_is_too_large_is_read_in_smaller_ones(
    ages: list[int], limit: int, large: set[int], newest_first: bool
) -> None:
    """Wherever the large rows lie; all rows come, each once."""
    table = Table(ages, limit=limit)
    table.large = large
    found = await read(History(table, page=limit), newest_first=newest_first)
    assert sorted(found) == list(range(len(ages)))


async def test_pages_grow_again_behind_the_large_rows() -> None:
    """One place with large messages does not make all that follows slow."""
    table = Table(list(range(200)), limit=16)
    table.large = set(range(20, 30))
    history = History(table, page=16)
    assert await read(history) == list(range(200))
    assert (min(table.asked), table.asked[-1], history.page) == (2, 16, 16)
    assert table.requests < 40


async def test_a_page_of_two_rows_that_is_too_large_is_an_error() -> None:
    table = Table([1, 2, 3], limit=2)
    table.large = {0, 1, 2}

    async def post(path: str, body: Mapping[str, Any]) -> Any:
        raise AnswerTooLarge("too large")

    table.post = post  # type: ignore[method-assign]
    with pytest.raises(AnswerTooLarge):
        await read(History(table, page=9))


@given(st.lists(st.integers(0, 12), min_size=10, max_size=60), st.integers(3, 9), st.integers(1, 9))
async def test_a_size_that_changes_while_a_page_is_awaited_loses_nothing(
    ages: list[int], limit: int, other: int
) -> None:
    """Several readers share one history: another one's request may have lowered or raised it."""
    table = Table(ages, limit=limit)
    history = History(table, page=limit)

    def change() -> None:
        history.page = other if history.page == limit else limit

    asked = table.post

    async def post(path: str, body: Mapping[str, Any]) -> Any:
        found = await asked(path, body)
        change()
        return found

    table.post = post  # type: ignore[method-assign]
    assert sorted(await read(history)) == list(range(len(ages)))
