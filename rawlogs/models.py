"""The ``Log`` of the wire: checked once, decoded when read. No filter lives here, and no pydantic."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID, uuid4

import orjson

from rawlogs import untrusted
from rawlogs.log_values import level_name, parse_timestamp, to_json

if TYPE_CHECKING:
    from logging import LogRecord

# fmt: off
FIELDS = (
    "id", "created", "updated", "name", "level", "message", "timestamp", "flow_run_id", "task_run_id",
)
# fmt: on
"""The fields of a log on every server from 3.4.7 to 3.8.8, in the wire's order."""

_CANONICAL_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").fullmatch
_UTC = timezone.utc
BEGINNING = datetime(1, 1, 2, tzinfo=_UTC)
"""No log is stamped before; as the start of a range it means that the range has none."""
END = datetime(9999, 12, 30, tzinfo=_UTC)
"""No log is stamped after; as the end of a range it means that the range has none."""
MICROSECOND = timedelta(microseconds=1)
"""The grain of the server's timestamps."""


def _uuid_text(value: object, field: str) -> str:
    try:
        return str(UUID(value))  # type: ignore[arg-type]
    except (AttributeError, TypeError, ValueError):  # what UUID raises for another type than text
        raise ValueError(f"{field} is not a UUID") from None


# Thousands of logs belong to one run, and to make a UUID takes as long as to decode a whole log.
_run_uuid = lru_cache(maxsize=1024)(UUID)


def _run(text: str | None) -> UUID | None:
    return _run_uuid(text) if text else None


Row = tuple[str, str, str, str, str, str, str]
"""The id, name, level, message, timestamp, flow run and task run as the JSON has them: texts without their quotes
but with their escapes, the level's digits, an empty text for null. ``created`` and ``updated`` are null."""


class Log:
    """One log record as the server stores it. Immutable; equal and hashed by what it holds.

    Streams make logs of what the server sends; tests make their own: ``Log(level=20, message="x", timestamp=now)``.
    Every field of the wire is an attribute: ``id``, ``created`` and ``updated`` (None on live logs: the server
    sends them only over REST), ``name``, ``level``, ``message``, ``timestamp`` (aware, UTC), ``flow_run_id``,
    ``task_run_id`` (None where the log belongs to no run). UUIDs and the two REST dates are decoded on access.
    Fields that this version does not know are kept in ``extra`` and in every dump. Models of pydantic and endpoints of
    FastAPI may have logs in them.
    """

    __slots__ = ("_data", "_raw", "_row", "_timestamp")
    _data: dict[str, Any]
    _raw: bytes | None
    _timestamp: datetime
    _row: Row | None

    def __init__(
        self,
        *,
        id: UUID | str | None = None,
        name: str = "",
        level: int,
        message: str,
        timestamp: datetime | str,
        flow_run_id: UUID | str | None = None,
        task_run_id: UUID | str | None = None,
        created: datetime | str | None = None,
        updated: datetime | str | None = None,
        **extra: Any,
    ) -> None:
        """Make a log, as tests need one; ``id`` None: a new one. Raises ValueError like ``model_validate``."""
        made = Log.model_validate(
            {
                "id": uuid4() if id is None else id,
                "created": created,
                "updated": updated,
                "name": name,
                "level": level,
                "message": message,
                "timestamp": timestamp,
                "flow_run_id": flow_run_id,
                "task_run_id": task_run_id,
                **extra,
            }
        )
        _set_parts(self, made._data, made._timestamp, None)

    @classmethod
    def from_row(cls, row: Row, raw: bytes | None = None) -> Log:
        """Wrap the fields of a frame that was proven to be a log in canonical form (``rawlogs.wire.frames``)."""
        log = _new(cls)
        _set_row(log, row)
        _set_raw(log, raw)
        return log

    @classmethod
    def from_wire(cls, data: object, raw: bytes | None = None) -> Log:
        """Check the decoded JSON object of one log and wrap it.

        Only what loses nothing is coerced (a level written as digits, an unusual spelling of a UUID, a timestamp
        without a zone as UTC). Raises ValueError with the field that is missing or wrong.
        """
        if type(data) is not dict:
            raise ValueError("a log is not a JSON object")
        try:
            log_id = data["id"]
            level = data["level"]
            message = data["message"]
            stamp = data["timestamp"]
        except KeyError as missing:
            raise ValueError(f"a log has no {missing.args[0]}") from None
        if type(log_id) is not str or not _CANONICAL_UUID(log_id):
            data = {**data, "id": _uuid_text(log_id, "id")}
        if type(level) is not int:  # a bool, which is an int elsewhere in Python, is none here
            if not (type(level) is str and re.fullmatch(r"[+-]?\d{1,18}", level)):
                raise ValueError("level is not a whole number")
            data = {**data, "level": int(level)}
        if type(message) is not str:
            raise ValueError("message is not text")
        if type(stamp) is not str:
            raise ValueError("timestamp is not text")
        for field in ("flow_run_id", "task_run_id"):
            run = data.get(field)
            # Canonical texts need no copy of the object, and nearly all are.
            if run is not None and not (type(run) is str and _CANONICAL_UUID(run)):
                data = {**data, field: _uuid_text(run, field)}
        if type(data.get("name", "")) is not str:
            raise ValueError("name is not text")
        try:
            moment = parse_timestamp(stamp)
        except ValueError:
            raise ValueError("timestamp is not ISO 8601") from None
        log = _new(cls)
        _set_parts(log, data, moment, raw)
        return log

    @classmethod
    def model_validate(cls, obj: object) -> Log:
        """Return a Log from a mapping (wire types or Python types), from JSON text, or from an object with attributes.

        ``level_name`` is dropped, as every dump has it. Raises ValueError with the field that is missing or wrong.
        """
        if isinstance(obj, Log):
            return obj
        if isinstance(obj, (str, bytes, bytearray)):
            # Not orjson alone: logs written by Python's json may hold NaN or lone surrogates.
            try:
                source = untrusted.loads_lenient(obj if isinstance(obj, str) else bytes(obj))
            except ValueError:
                raise ValueError("a log is not JSON") from None
        else:
            values = dict(obj) if isinstance(obj, Mapping) else {f: getattr(obj, f, None) for f in FIELDS}
            # Through JSON, so that UUIDs, datetimes and their subclasses become the wire's texts.
            try:
                source = orjson.loads(to_json(values))
            except TypeError as error:
                raise ValueError(f"a log cannot hold this: {error}") from None
        if type(source) is dict:
            source.pop("level_name", None)
        return cls.from_wire(source)

    @property
    def id(self) -> UUID:
        return UUID(self.id_text)

    @property
    def id_text(self) -> str:
        """The id as its canonical text; cheaper than ``id`` and what identity is decided by."""
        row = self._row
        return row[0] if row is not None else self._data["id"]

    @property
    def created(self) -> datetime | None:
        """When the server stored it; None on logs that came live, and where it is no timestamp."""
        return self._moment("created")

    @property
    def updated(self) -> datetime | None:
        return self._moment("updated")

    @property
    def name(self) -> str:
        """The logger's name; may be empty."""
        row = self._row
        return _text(row[1]) if row is not None else self._data.get("name", "")

    @property
    def level(self) -> int:
        row = self._row
        return int(row[2]) if row is not None else self._data["level"]

    @property
    def level_name(self) -> str:
        return level_name(self.level)

    @property
    def message(self) -> str:
        row = self._row
        return _text(row[3]) if row is not None else self._data["message"]

    @property
    def timestamp(self) -> datetime:
        """When the producer wrote it, by the producer's clock; aware, in UTC."""
        return self._timestamp

    @property
    def flow_run_id(self) -> UUID | None:
        row = self._row
        return _run(row[5] if row is not None else self._data.get("flow_run_id"))

    @property
    def task_run_id(self) -> UUID | None:
        row = self._row
        return _run(row[6] if row is not None else self._data.get("task_run_id"))

    @property
    def extra(self) -> dict[str, Any]:
        """Fields that this version of rawlogs does not know."""
        return {key: value for key, value in self._data.items() if key not in FIELDS}

    @property
    def data(self) -> Mapping[str, Any]:
        """The JSON object as it came, not a copy."""
        return self._data

    @property
    def raw(self) -> bytes | None:
        """The frame's bytes as received; None for logs that came over REST or where they were not kept."""
        return self._raw

    def _moment(self, field: str) -> datetime | None:
        value = self._data.get(field)
        try:
            return parse_timestamp(value) if type(value) is str else None
        except ValueError:
            return None

    def model_dump(
        self,
        *,
        mode: Literal["python", "json"] | str = "python",
        include: Iterable[str] | None = None,
        exclude: Iterable[str] | None = None,
        exclude_none: bool = False,
    ) -> dict[str, Any]:
        """Return all fields and ``level_name`` as a dict: UUIDs and datetimes, or with ``mode="json"`` their texts."""
        dump: dict[str, Any] = {field: getattr(self, field) for field in FIELDS}
        dump["level_name"] = self.level_name
        dump.update(self.extra)
        if include is not None:
            wanted = set(include)
            dump = {key: value for key, value in dump.items() if key in wanted}
        if exclude is not None:
            unwanted = set(exclude)
            dump = {key: value for key, value in dump.items() if key not in unwanted}
        if exclude_none:
            dump = {key: value for key, value in dump.items() if value is not None}
        if mode == "json":
            json: dict[str, Any] = orjson.loads(to_json(dump))
            return json
        return dump

    def model_dump_json(self, *, indent: int | None = None, **options: Any) -> str:
        """Return ``model_dump`` as JSON text; ``indent`` is None (one line) or 2."""
        return to_json(self.model_dump(**options), orjson.OPT_INDENT_2 if indent else 0).decode()

    def to_record(self) -> LogRecord:
        """Return a ``logging.LogRecord`` for handlers and formatters of the standard library.

        Its time is the log's, ``name`` the log's logger, and ``msg`` the message without arguments, so that a ``%`` in
        it means nothing. ``log_id``, ``flow_run_id`` and ``task_run_id`` are texts (None: no run), as extras would be.
        What belongs to the process that wrote the log and is not stored (path, line, process, thread) is empty or 0.
        """
        import logging  # 2 ms, which only those who want records pay

        record = logging.makeLogRecord({})
        seconds = self.timestamp.timestamp()
        record.__dict__.update(
            name=self.name,
            msg=self.message,
            args=(),
            levelno=self.level,
            levelname=logging.getLevelName(self.level),
            created=seconds,
            msecs=float(self.timestamp.microsecond // 1000),
            relativeCreated=record.relativeCreated + (seconds - record.created) * 1000.0,
            funcName="",
            process=0,
            processName="",
            thread=0,
            threadName="",
            log_id=self.id_text,
            flow_run_id=self._data.get("flow_run_id"),
            task_run_id=self._data.get("task_run_id"),
        )
        return record

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: object) -> dict[str, Any]:
        from rawlogs.log_schema import core_schema

        return core_schema(cls.model_validate)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: object, handler: object) -> dict[str, Any]:
        from rawlogs.log_schema import json_schema

        return json_schema()

    if not TYPE_CHECKING:  # a type checker would take every name for an attribute

        def __getattr__(self, name: str) -> Any:
            """Make the JSON object, or the timestamp, of a log made from a row when it is asked for."""
            if name == "_data":
                value = _row_data(self._row)
            elif name == "_timestamp":
                value = parse_timestamp(self._row[4])
            else:
                raise AttributeError(f"a Log has no attribute {name!r}")
            object.__setattr__(self, name, value)
            return value

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a Log is immutable: {name} cannot be set")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a Log is immutable: {name} cannot be deleted")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Log):
            return NotImplemented
        # A timestamp or an id may be spelled otherwise, and ``level_name`` follows from the level.
        return self.id_text == other.id_text and (
            self._data == other._data or self.model_dump() == other.model_dump()
        )

    def __hash__(self) -> int:
        return hash(self.id_text)

    def __reduce__(self) -> tuple[Any, ...]:
        return (_restored, (self._data, self._timestamp, self._raw))

    def __repr__(self) -> str:
        message = self.message if len(self.message) <= 60 else self.message[:57] + "..."
        return f"<Log {self.level_name} {self.timestamp.isoformat()} {self.name!r} {message!r}>"


def _restored(data: dict[str, Any], timestamp: datetime, raw: bytes | None) -> Log:
    log = _new(Log)
    _set_parts(log, data, timestamp, raw)
    return log


def _text(written: str) -> str:
    """Return the text of a JSON string, given without its quotes."""
    return written if "\\" not in written else untrusted.loads_lenient(f'"{written}"')


def _row_data(row: Row) -> dict[str, Any]:
    log_id, name, level, message, stamp, flow_run_id, task_run_id = row
    return {
        "id": log_id,
        "created": None,
        "updated": None,
        "name": _text(name),
        "level": int(level),
        "message": _text(message),
        "timestamp": stamp,
        "flow_run_id": flow_run_id or None,
        "task_run_id": task_run_id or None,
    }


_new = object.__new__
# A log refuses to have its attributes set; what makes one goes round that, as object.__setattr__ would, but faster.
_set_row = Log.__dict__["_row"].__set__
_set_raw = Log.__dict__["_raw"].__set__
_set_data = Log.__dict__["_data"].__set__
_set_timestamp = Log.__dict__["_timestamp"].__set__


def _set_parts(log: Log, data: dict[str, Any], timestamp: datetime, raw: bytes | None) -> None:
    _set_data(log, data)
    _set_timestamp(log, timestamp)
    _set_raw(log, raw)
    _set_row(log, None)
