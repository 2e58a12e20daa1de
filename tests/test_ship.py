"""Shipping to a receiver that fails in every way that the OTLP specification names."""

from __future__ import annotations

import asyncio
import json
import random
from datetime import datetime, timezone
from pathlib import Path
from uuid import UUID

import pytest
from clocks import FakeClock
from hypothesis import given
from hypothesis import strategies as st
from otlp_receiver import HALF, HANG, LOSE, RESET, TAKE, OtlpReceiver, Reaction, attributes
from shipping import RUN, Shipping, ids, log, logs, shipping
from streaming import no_settings as no_settings
from streaming import within

from rawlogs.errors import AuthError, CertificateError, ConfigError, SinkError
from rawlogs.otlp.protobuf import ExportLogsServiceRequest
from rawlogs.otlp.record import RunLabels
from rawlogs.ship.batching import OVERHEAD, Batcher, Received
from rawlogs.ship.dead_letters import DeadLetterFile
from rawlogs.ship.receiver import resolve
from rawlogs.ship.sender import Sender
from rawlogs.ship.stats import ShipStats
from rawlogs.ship.verdict import Accepted, Later, Refused, Verdict

PEM = Path(__file__).with_name("loopback.pem")
SHORT = {"OTEL_EXPORTER_OTLP_TIMEOUT": "200"}


# What is sent


async def test_a_request_is_what_the_official_messages_read() -> None:
    """With the resource of the server, a scope a logger, the log's time, severity and body."""
    resource = {"service.name": "prefect", "server.address": "prefect.example.com"}
    async with OtlpReceiver() as receiver, shipping(receiver, resource=resource) as ship:
        await ship.ship(
            [log(1, "first", name="a"), log(2, "second", name="b", level=40), log(3, "third", name="a")]
        )
    (request,) = receiver.requests
    assert request.path == "/v1/logs"
    assert request.headers["content-type"] == "application/x-protobuf"
    assert request.headers["content-encoding"] == "gzip"
    assert request.headers["user-agent"].startswith("OTel-OTLP-Exporter-rawlogs/")
    (described,) = request.message.resource_logs
    assert attributes(described.resource) == resource
    assert [(scope.scope.name, len(scope.log_records)) for scope in described.scope_logs] == [
        ("a", 2),
        ("b", 1),
    ]
    record = receiver.records[log(2).id_text]
    assert record.body.string_value == "second"
    assert (record.severity_number, record.severity_text) == (17, "ERROR")
    assert record.time_unix_nano == 1767323045678901000
    assert record.observed_time_unix_nano > record.time_unix_nano
    assert (record.trace_id, record.span_id) == (b"", b"")
    assert attributes(record) == {
        "log.record.uid": log(2).id_text,
        "prefect.flow_run.id": str(RUN),
        "prefect.run.id": str(RUN),
        "prefect.run.type": "flow",
    }


async def test_fields_that_this_version_does_not_know_are_attributes_of_their_type() -> None:
    """Whatever JSON can hold, and what protobuf cannot as a text."""
    extra = {
        **{
            "t": "\ud800é",
            "b": True,
            "i": 2**40,
            "f": 1.5,
            "none": None,
            "big": 2**70,
            "l": [1, "a", {}, []],
        },
        **{"o": {"k": {"l": False}}, "\ud800": "x", "deep": json.loads("[" * 60 + "]" * 60)},
    }
    async with OtlpReceiver() as receiver, shipping(receiver) as ship:
        await ship.ship([log(1, "nul \x00 and half \ud83d", flow_run_id=None, **extra)])
    (record,) = receiver.records.values()
    assert record.body.string_value == "nul \x00 and half ?"
    found = attributes(record)
    deep = found.pop("prefect.log.deep")
    for _ in range(20):
        (deep,) = deep
    assert deep == "[nested too deep]"
    assert found == {
        "log.record.uid": log(1).id_text,
        "prefect.log.t": "?é",
        "prefect.log.b": True,
        "prefect.log.i": 2**40,
        "prefect.log.f": 1.5,
        "prefect.log.none": None,
        "prefect.log.big": str(2**70),
        "prefect.log.l": [1, "a", {}, []],
        "prefect.log.o": {"k": {"l": False}},
        "prefect.log.?": "x",
    }


async def test_headers_and_compression_are_those_of_the_environment() -> None:
    """A key is a header."""
    environ = {
        "OTEL_EXPORTER_OTLP_HEADERS": "Authorization=Bearer%20abc",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "none",
    }
    async with OtlpReceiver() as receiver, shipping(receiver, environ) as ship:
        await ship.ship(logs(1))
    (request,) = receiver.requests
    assert request.headers["authorization"] == "Bearer abc"
    assert "content-encoding" not in request.headers


# Batches


def test_a_batch_is_sent_when_it_has_enough_logs_or_bytes_or_is_old_enough() -> None:
    """Whichever is first."""
    at = datetime(2026, 1, 1, tzinfo=timezone.utc)
    batch = Batcher(records=3, size=2 * OVERHEAD + 20, age=1.0)
    assert batch.due_in(0.0) is None
    assert batch.add(Received(log(1), at), 10.0)
    assert [batch.due_in(now) for now in (10.0, 10.75, 11.0, 99.0)] == [1.0, 0.25, 0.0, 0.0]
    assert not batch.add(Received(log(2, "x" * 100), at), 10.0)
    assert batch.due_in(10.0) == 0.0
    assert len(batch.close()) == 1
    assert batch.add(Received(log(2, "x" * 5000), at), 10.0), "one that is too large alone is a batch"
    assert batch.due_in(10.0) == 0.0
    batch.close()
    assert batch.add(Received(log(3, ""), at), 20.0)
    assert batch.add(Received(log(4, ""), at), 20.0)
    assert batch.due_in(20.0) == 1.0
    assert not batch.add(Received(log(5, ""), at), 20.0), "bytes, before the third log"


async def test_logs_that_come_apart_are_sent_together_after_a_second() -> None:
    """And a batch that is full at once."""
    async with OtlpReceiver() as receiver, shipping(receiver, records=5) as ship:
        for one in logs(12):
            await within(ship.shipper.take([one]))
        await receiver.until(lambda: sum(receiver.sizes) == 12)
    assert receiver.sizes == [5, 5, 2]
    assert list(receiver.taken) == ids(logs(12)), "in the order of the stream"


async def test_a_receiver_that_is_slower_keeps_the_stream_waiting() -> None:
    """One batch is in flight, one waits: no more is taken until there is an answer."""
    answer = asyncio.Event()
    held = Reaction(after=answer.wait)
    async with OtlpReceiver(held) as receiver, shipping(receiver, records=5) as ship:
        taking = asyncio.create_task(ship.shipper.take(logs(100)))
        await receiver.until(lambda: receiver.requests)
        assert not taking.done()
        assert (ship.stats.in_flight, ship.stats.waiting) == (5, 5)
        assert ship.open == []
        answer.set()
        await within(taking)
        await within(ship.shipper.drain())
    assert set(receiver.sizes) == {5}
    assert ship.open == list(range(95, -5, -5))


# Failures


@pytest.mark.parametrize(
    ("reaction", "said", "repeated"),
    [
        pytest.param(Reaction(429), "429", False, id="429"),
        pytest.param(Reaction(429, {"Retry-After": "2"}), "429", False, id="429 with Retry-After"),
        pytest.param(Reaction(502), "502", False, id="502"),
        pytest.param(
            Reaction(503, message="restarting"), "503 Service Unavailable: restarting", False, id="503"
        ),
        pytest.param(Reaction(504), "504", False, id="504"),
        pytest.param(Reaction(401), "401", False, id="401 later"),
        pytest.param(Reaction(403), "403", False, id="403 later"),
        pytest.param(Reaction(404), "404", False, id="404 later"),
        pytest.param(
            Reaction(307, {"Location": "http://127.0.0.1:9/x"}),
            "307 Temporary Redirect: it redirects to http://127.0.0.1:9, which is not followed",
            False,
            id="redirect",
        ),
        pytest.param(RESET, "reset", False, id="reset"),
        pytest.param(HANG, "did not answer within 0.2 s", False, id="no answer"),
        pytest.param(LOSE, "No answer", True, id="answer lost"),
        pytest.param(HALF, "No answer", True, id="half an answer"),
    ],
)
async def test_what_is_not_acknowledged_is_sent_again_and_told_once_with_its_end(
    reaction: Reaction, said: str, repeated: bool
) -> None:
    """Only the batch that was not acknowledged is repeated."""
    script = (TAKE, reaction, reaction, TAKE)
    async with OtlpReceiver(*script) as receiver, shipping(receiver, SHORT, records=5) as ship:
        await ship.ship(logs(15))
    assert set(receiver.taken) == set(ids(logs(15)))
    assert receiver.repeated_after_acknowledgement == 0
    again = {one for one, times in receiver.taken.items() if times > 1}
    assert again == (set(ids(logs(5, first=5))) if repeated else set())
    assert ship.kinds == ["retrying", "state"]
    assert said in ship.told[0][1]
    assert "takes logs again" in ship.told[1][1]
    assert (ship.stats.acknowledged, ship.stats.retried, ship.stats.trouble) == (15, 2, None)


async def test_a_receiver_that_is_away_is_waited_for() -> None:
    """Nothing is lost, and its absence is told once."""
    receiver = OtlpReceiver()
    await receiver.start()
    await receiver.stop()
    async with shipping(receiver) as ship:
        await within(ship.shipper.take(logs(3)))
        while ship.stats.retried < 4:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await receiver.start()
        await within(ship.shipper.drain())
        await receiver.stop()
    assert set(receiver.taken) == set(ids(logs(3)))
    assert ship.kinds == ["retrying", "state"]
    assert "Connection refused" in ship.texts


@pytest.mark.parametrize("after", ["5", "Thu, 01 Jan 2026 00:00:05 GMT"])
async def test_retry_after_is_the_least_pause_and_pauses_without_it_grow_with_jitter(after: str) -> None:
    """In seconds, or as a date."""
    clock = FakeClock()
    told = Reaction(503, {"Retry-After": after})
    script = (told, *[Reaction(503)] * 6)
    async with OtlpReceiver(*script) as receiver, shipping(receiver, clock=clock, records=1) as ship:
        await ship.ship(logs(1))
    assert len(clock.sleeps) == 7
    assert 5.0 <= clock.sleeps[0] <= 5.5
    for tries, seconds in enumerate(clock.sleeps[1:], 1):
        assert 0.0 <= seconds <= 0.5 * 2**tries
    assert len(set(clock.sleeps)) == 7


@pytest.mark.parametrize("status", [400, 413, 422, 500])
async def test_a_batch_that_is_refused_is_halved_until_the_single_log_is_found(
    status: int, tmp_path: Path
) -> None:
    """That is told without its words, counted, written to the file, and left behind."""
    letters = DeadLetterFile(tmp_path / "dead.jsonl")
    bad = log(5, "the secret words")
    some = [bad if one.id == bad.id else one for one in logs(16)]
    async with OtlpReceiver() as receiver, shipping(receiver, dead_letters=letters) as ship:
        receiver.refuses = lambda record: status if record.body.string_value == bad.message else None
        await ship.ship(some)
        await ship.ship(logs(1, first=20))
    await letters.close()
    assert set(receiver.taken) == set(ids(some)) - {bad.id_text} | {log(20).id_text}
    assert max(receiver.taken.values()) == 1, "no part that was acknowledged is sent again"
    assert [size for size in receiver.sizes if size][:5] == [16, 8, 4, 4, 2]
    assert (ship.stats.poison, ship.stats.dead_letters, ship.stats.acknowledged, ship.stats.lost) == (
        1,
        1,
        16,
        0,
    )
    assert (ship.open[-1], ship.stats.in_flight) == (0, 0)
    assert bad.id_text in ship.texts
    assert bad.message not in ship.texts
    (line,) = (tmp_path / "dead.jsonl").read_text("utf-8").splitlines()
    written = json.loads(line)
    assert written["log"]["message"] == bad.message
    assert (written["log"]["id"], written["refused"]["status"]) == (bad.id_text, status)
    assert (tmp_path / "dead.jsonl").stat().st_mode & 0o077 == 0


async def test_a_receiver_that_refuses_everything_is_waited_for() -> None:
    """It refuses a request without logs, too: then no log is to blame, and none is left behind."""
    async with OtlpReceiver() as receiver, shipping(receiver) as ship:
        receiver.otherwise = receiver.on_empty = Reaction(500, message="disk full")
        await within(ship.shipper.take(logs(4)))
        await receiver.until(lambda: receiver.sizes.count(0) >= 3)
        receiver.otherwise = receiver.on_empty = TAKE
        await within(ship.shipper.drain())
    assert (ship.stats.poison, ship.stats.acknowledged) == (0, 4)
    assert set(receiver.taken) == set(ids(logs(4)))
    assert ship.kinds == ["retrying", "state"]
    assert "disk full" in ship.texts


async def test_a_receiver_that_refuses_requests_without_logs_can_still_have_a_bad_one() -> None:
    """The specification only recommends to accept them; it is believed once it has acknowledged a log."""
    async with OtlpReceiver() as receiver, shipping(receiver) as ship:
        receiver.on_empty = Reaction(400)
        receiver.refuses = lambda record: 400 if record.body.string_value == "bad" else None
        await ship.ship([log(1), log(2, "bad"), log(3)])
    assert (ship.stats.poison, ship.stats.acknowledged) == (1, 2)


async def test_a_partial_success_is_told_and_counted_and_not_sent_again() -> None:
    """The same words once a minute."""
    partial = Reaction(rejected=2, message="too old")
    script = (partial, partial, Reaction(message="use v2"))
    async with OtlpReceiver(*script) as receiver, shipping(receiver, records=5) as ship:
        await ship.ship(logs(15))
    assert receiver.sizes == [5, 5, 5]
    assert (ship.stats.acknowledged, ship.stats.rejected, ship.stats.lost) == (11, 4, 4)
    assert [text.partition(" ")[2] for _, text in ship.told] == [
        "threw 2 of 5 logs away: too old",
        "has a remark: use v2",
    ]


async def test_a_receiver_cannot_have_thrown_away_more_than_it_got() -> None:
    async with OtlpReceiver(Reaction(rejected=10**15)) as receiver, shipping(receiver) as ship:
        await ship.ship(logs(3))
    assert (ship.stats.acknowledged, ship.stats.rejected) == (0, 3)
    assert "threw 3 of 3 logs away" in ship.texts


@pytest.mark.parametrize(
    "reaction",
    [
        pytest.param(
            Reaction(headers={"Content-Type": "text/plain"}, body=b"thanks"), id="wrong content type"
        ),
        pytest.param(Reaction(body=b"\xff" * 100), id="no message"),
        pytest.param(Reaction(body=b"\0" * (1 << 20)), id="huge"),
        pytest.param(Reaction(headers={"Content-Encoding": "gzip"}, body=b"\x1f\x8b"), id="compressed"),
    ],
)
async def test_an_acknowledgement_that_cannot_be_read_is_told(reaction: Reaction) -> None:
    """And believed: its status is the acknowledgement."""
    async with OtlpReceiver(reaction) as receiver, shipping(receiver) as ship:
        await ship.ship(logs(3))
    assert receiver.sizes == [3]
    assert ship.stats.acknowledged == 3
    assert "cannot be read" in ship.texts


# The start


@pytest.mark.parametrize(
    ("reaction", "error"),
    [
        (Reaction(401), AuthError),
        (Reaction(403), AuthError),
        (Reaction(404), ConfigError),
        (Reaction(405), ConfigError),
        (Reaction(302, {"Location": "/login"}), ConfigError),
        (Reaction(headers={"Content-Type": "text/html"}, body=b"<html>"), ConfigError),
    ],
)
async def test_a_wrong_setting_ends_it_at_the_start(reaction: Reaction, error: type[Exception]) -> None:
    """It is found with a request that has no logs."""
    async with OtlpReceiver() as receiver, shipping(receiver) as ship:
        receiver.on_empty = reaction
        with pytest.raises(error):
            await within(ship.shipper.check())


@pytest.mark.parametrize(
    ("reaction", "answered"),
    [(TAKE, True), (Reaction(400), True), (Reaction(503), False), (RESET, False)],
    ids=["taken", "refused", "busy", "reset"],
)
async def test_what_may_pass_does_not_end_it_at_the_start(reaction: Reaction, answered: bool) -> None:
    """Sidecars start in any order."""
    async with OtlpReceiver() as receiver, shipping(receiver) as ship:
        receiver.on_empty = reaction
        assert await within(ship.shipper.check()) is answered


async def test_what_answers_in_no_http_is_told_in_plain_words() -> None:
    """Not in those of the HTTP library, which quote what came."""

    async def banner(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(banner, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    stats = ShipStats()
    sender = Sender(resolve(f"otlp+http://127.0.0.1:{port}", {}), stats=stats, environ={})
    try:
        verdict = await within(sender.send(b""))
    finally:
        await sender.close()
        server.close()
    assert isinstance(verdict, Later)
    assert verdict.text == f"http://127.0.0.1:{port}/v1/logs does not answer as an HTTP server does"


async def test_tls_is_checked_against_the_named_certificate() -> None:
    """And nothing is sent to a receiver that shows another one."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(PEM)
    async with OtlpReceiver(tls=context) as receiver:
        async with shipping(receiver, ca_file=str(PEM)) as ship:
            await within(ship.shipper.check())
            await ship.ship(logs(1))
        async with shipping(receiver) as ship:
            with pytest.raises(CertificateError) as refused:
                await within(ship.shipper.check())
    assert "--ca-file" in (refused.value.hint or "")
    assert list(receiver.taken) == ids(logs(1))


@pytest.mark.parametrize("variable", ["CERTIFICATE", "CLIENT_CERTIFICATE"])
async def test_a_certificate_that_cannot_be_used_is_named_with_its_variable(
    variable: str, tmp_path: Path
) -> None:
    """Before anything is sent."""
    (tmp_path / "x.pem").write_text("nothing")
    receiver = OtlpReceiver(tls=None)
    environ = {f"OTEL_EXPORTER_OTLP_{variable}": str(tmp_path / "x.pem")}
    from rawlogs.ship.receiver import resolve
    from rawlogs.ship.sender import Sender

    with pytest.raises(ConfigError) as refused:
        Sender(resolve("otlp+https://127.0.0.1:1", environ), stats=ShipStats(), environ={})
    assert f"OTEL_EXPORTER_OTLP_{variable}" in f"{refused.value} {refused.value.setting}"
    assert receiver.port == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is always full is Linux's")
async def test_a_dead_letter_that_cannot_be_written_ends_it() -> None:
    """Rather than that the log is in no place."""
    letters = DeadLetterFile("/dev/full")
    async with OtlpReceiver() as receiver:
        receiver.refuses = lambda record: 400
        async with shipping(receiver, dead_letters=letters) as ship:
            running = asyncio.create_task(ship.shipper.run())
            await within(ship.shipper.take(logs(1)))
            with pytest.raises(SinkError):
                await within(running)
    assert ship.open == []


# Names of runs


class NamesApi:
    """A REST client of three lists; ``asked`` holds what was asked."""

    def __init__(self, **rows: list[dict[str, object]]) -> None:
        self.rows = rows
        self.asked: list[str] = []
        self.wait: asyncio.Event | None = None

    async def get(self, path: str) -> object:
        raise AssertionError(path)

    async def post(self, path: str, body: object) -> object:
        self.asked.append(path)
        if self.wait is not None:
            await self.wait.wait()
        return self.rows[path.split("/")[1]]


RUN_ROW: dict[str, object] = {
    **{"id": str(RUN), "name": "sleepy-fox", "flow_id": str(UUID(int=1)), "deployment_id": str(UUID(int=2))},
    **{"work_pool_name": "k8s", "tags": ["prod", "eu"]},
}


async def test_names_of_runs_are_asked_for_once_a_run() -> None:
    """Run, flow, deployment, work pool and tags are attributes of each log."""
    api = NamesApi(
        flow_runs=[RUN_ROW],
        flows=[{"id": str(UUID(int=1)), "name": "etl"}],
        deployments=[{"id": str(UUID(int=2)), "name": "daily"}],
    )
    async with OtlpReceiver() as receiver, shipping(receiver, api=lambda: api, records=2) as ship:
        await ship.ship(logs(6))
    assert api.asked == ["/flow_runs/filter", "/flows/filter", "/deployments/filter"]
    for record in receiver.records.values():
        found = attributes(record)
        assert {key: value for key, value in found.items() if "name" in key or "tags" in key} == {
            "prefect.flow_run.name": "sleepy-fox",
            "prefect.flow.name": "etl",
            "prefect.deployment.name": "daily",
            "prefect.work_pool.name": "k8s",
            "prefect.tags": ["prod", "eu"],
        }


@pytest.mark.parametrize(
    "rows",
    [
        {"flow_runs": []},
        {"flow_runs": [{"id": str(RUN), "name": 5, "flow_id": [], "tags": "x"}]},
        {"flow_runs": [{"id": 7}]},
        {"flow_runs": [RUN_ROW], "flows": [{"id": str(UUID(int=1))}], "deployments": []},
        {"flow_runs": {"detail": "no"}},
        {"flow_runs": [5]},
    ],
)
async def test_a_log_is_shipped_whatever_is_answered_for_its_names(
    rows: dict[str, list[dict[str, object]]],
) -> None:
    """Values of another type are no names."""
    api = NamesApi(**rows)
    async with OtlpReceiver() as receiver, shipping(receiver, api=lambda: api) as ship:
        await ship.ship(logs(1))
    assert len(receiver.taken) == 1


async def test_names_that_do_not_come_delay_shipping_once_for_a_bounded_time() -> None:
    """Then logs go without them for a while, which is told once."""
    api = NamesApi()
    api.wait = asyncio.Event()
    async with OtlpReceiver() as receiver, shipping(receiver, api=lambda: api, records=1) as ship:
        await ship.ship(logs(5))
    assert api.asked == ["/flow_runs/filter"]
    assert len(receiver.taken) == 5
    assert ship.kinds == ["warning"]
    assert "without the names" in ship.texts


# Whatever happens


class Script:
    """A receiver in memory: each request meets the next outcome, then all are accepted. ``bad`` are refused."""

    def __init__(self, outcomes: list[str], bad: set[str]) -> None:
        self.outcomes = outcomes
        self.bad = bad
        self.taken: list[tuple[str, ...]] = []
        self.acknowledged: set[str] = set()
        self.refused_alone: set[str] = set()

    async def send(self, payload: bytes) -> Verdict:
        found = tuple(
            attributes(record)["log.record.uid"]
            for resource in ExportLogsServiceRequest.FromString(payload).resource_logs
            for scope in resource.scope_logs
            for record in scope.log_records
        )
        outcome = self.outcomes.pop() if self.outcomes else "take"
        if outcome in ("later", "setting", "away"):
            error = ConfigError("wrong") if outcome == "setting" else None
            return Later(outcome, error=error)
        if not self.bad.isdisjoint(found):
            return Refused("bad data", 400)
        assert self.acknowledged.isdisjoint(found), "an acknowledged log is repeated"
        if found:
            self.taken.append(found)
        if outcome == "lost":
            return Later("answer lost")
        self.acknowledged.update(found)
        return Accepted()


@given(
    outcomes=st.lists(st.sampled_from(["take", "later", "setting", "away", "lost"]), max_size=40),
    bad=st.sets(st.integers(0, 39), max_size=6),
    pieces=st.lists(st.integers(1, 15), min_size=1, max_size=8),
    records=st.integers(1, 9),
    seed=st.integers(0, 99),
)
def test_any_sequence_of_failures_acknowledges_every_log_and_repeats_only_what_was_not(
    outcomes: list[str], bad: set[int], pieces: list[int], records: int, seed: int
) -> None:
    """In order; poison alone is left behind; what the cursor may pass is always settled."""

    async def play() -> None:
        total = sum(pieces)
        poison = {log(number).id_text for number in bad if number < total}
        script = Script(list(outcomes), poison)
        ship = Shipping(script, clock=FakeClock(), records=records)
        settled: list[set[str]] = []
        ship.shipper._on_settled = lambda left: (
            settled.append({*script.acknowledged, *poison}) or ship.open.append(left)
        )  # type: ignore[func-returns-value]
        running = asyncio.create_task(ship.shipper.run())
        first = 0
        rng = random.Random(seed)
        for piece in pieces:
            await within(ship.shipper.take(logs(piece, first)))
            first += piece
            for _ in range(rng.randrange(20)):
                await asyncio.sleep(0)
        await within(ship.shipper.drain())
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        everything = ids(logs(total))
        assert script.acknowledged == set(everything) - poison
        assert (ship.stats.acknowledged, ship.stats.poison) == (total - len(poison), len(poison))
        assert (ship.stats.in_flight, ship.stats.waiting, ship.open[-1]) == (0, 0, 0)
        order = [one for part in script.taken for one in part]
        assert sorted(set(order), key=order.index) == [one for one in everything if one not in poison]

    asyncio.run(play())


def test_an_account_says_what_became_of_the_logs() -> None:
    """In one line, with what is not settled where there is any."""
    stats = ShipStats(
        shipped=10, acknowledged=6, rejected=1, poison=1, dead_letters=1, requests=4, retried=2, waiting=3
    )
    assert stats.in_flight == 2
    assert stats.line() == (
        "acknowledged 6, requests 4, retried 2, not acknowledged 5, rejected 1, poison 1 (1 in the dead-letter file)"
    )
    assert stats.as_dict()["in_flight"] == 2
    assert RunLabels().run is None


async def test_the_proxy_of_the_environment_holds_for_the_receiver_and_its_password_is_in_no_text() -> None:
    """Also where it is no proxy that can be used, or where nobody listens."""
    from rawlogs.ship.receiver import resolve
    from rawlogs.ship.sender import Sender

    receiver = resolve("otlp+http://collector.example.com", {})
    environ = {"http_proxy": "http://me:s3cr3t-m4rk@127.0.0.1:9"}
    sender = Sender(receiver, stats=ShipStats(), environ=environ)
    verdict = await within(sender.send(b""))
    await sender.close()
    assert isinstance(verdict, Later)
    assert "through the proxy http://127.0.0.1:9" in verdict.text
    assert "s3cr3t" not in verdict.text
    with pytest.raises(ConfigError, match=r"The proxy of all_proxy|ALL_PROXY"):
        Sender(receiver, stats=ShipStats(), environ={"all_proxy": "socks4://127.0.0.1:9"})
