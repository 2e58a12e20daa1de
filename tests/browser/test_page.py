"""What a reader sees and does: lines in order and once, filters, keys, hostile text, a hundred thousand lines."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import orjson
import pytest
from playwright.async_api import Page, Route

from rawlogs.output.escape import escape_line
from rawlogs.testing import Behaviour, FakeServer
from tests.ports import free_port

from .serving import serving
from .site import ONE_LOOP, all_messages, browsing, looking_at, shown, until, until_shown

pytestmark = ONE_LOOP

NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
TOKEN = "correct-horse-battery-staple"
HOSTILE = {
    "script": "<script>window.hacked = 1</script>",
    "image": "<img src=x onerror='window.hacked = 2'>",
    "link": "<a href='javascript:window.hacked=3' autofocus onfocus='window.hacked=4'>x</a>",
    "svg": "<svg/onload=window.hacked=5>",
    "template": "${window.hacked=6}{{constructor.constructor('window.hacked=7')()}}",
    "ansi": "\x1b[31mred\x1b[0m \x1b]8;;http://evil.example\x07link",
    "bidi": "abc\u202edef\u2066ghi",
    "line-separators": "one\u2028two\u2029three\x85four",
    "hidden": "a\u200bb\u00adc\ufeff",
    "sse": "data: x\n\nevent: end\ndata: {}",
    "long": "x" * 1_000_000,
}


async def choose(page: Page, *runs: UUID) -> None:
    for run in runs:
        await page.check(f'input[value="{run}"]')


async def status(page: Page) -> str:
    return await page.inner_text("#status")


async def until_status(page: Page, words: str) -> None:
    await until(page, "(words) => document.getElementById('status').textContent === words", words)


async def until_banner(page: Page, cause: str, there: bool = True) -> None:
    script = "([cause, there]) => Boolean(document.querySelector(`[data-cause=${cause}]`)) === there"
    await until(page, script, [cause, there])


async def test_lines_of_the_chosen_run_appear_in_order_and_once() -> None:
    async with FakeServer() as fake, serving(fake.api_url) as url, looking_at(url) as page:
        run, other = fake.add_run("brave-otter"), fake.add_run("calm-finch")
        fake.post([f"before {i}" for i in range(300)], flow_run_id=str(run))
        fake.post("of another run", flow_run_id=str(other))
        await page.fill("#run-name", "otter")
        await choose(page, run)
        await until_shown(page, "300 lines")
        for i in range(20):
            fake.post([f"live {i}.{j}" for j in range(10)], flow_run_id=str(run))
        await until_shown(page, "500 lines")
        expected = [f"before {i}" for i in range(300)] + [
            f"live {i}.{j}" for i in range(20) for j in range(10)
        ]
        assert await all_messages(page) == expected
        assert (await shown(page))[-1] == "live 19.9"
        assert await status(page) == "Live"
        assert f"run={run}" in page.url


async def test_a_run_is_chosen_also_where_its_state_changes_under_the_pressed_button() -> None:
    async with FakeServer() as fake, serving(fake.api_url) as url, looking_at(url) as page:
        run = fake.add_run("brave-otter")
        fake.post("line", flow_run_id=str(run))
        await page.fill("#run-name", "otter")
        await page.hover(f'input[value="{run}"]')
        await page.mouse.down()
        await page.evaluate("window.pressed = document.querySelector('#runs input')")
        fake.add_run("calm-otter")
        fake.set_state(run, "COMPLETED")
        await page.focus("#run-name")
        await page.keyboard.press("Enter")
        await until(page, "() => document.querySelectorAll('#runs li').length === 2")
        await page.hover(f'input[value="{run}"]')
        await page.mouse.up()
        await until(page, "(run) => document.querySelector(`input[value='${run}']`).checked", str(run))
        assert f"run={run}" in page.url


async def test_lines_that_wait_to_be_shown_go_with_the_old_choice() -> None:
    async with FakeServer() as fake, serving(fake.api_url) as url, browsing() as context:
        run = fake.add_run("brave-otter")
        page = await context.new_page()
        # Nothing that waits a moment is ever shown by its timer: all of it is still waiting when the choice is made.
        await page.add_init_script(
            "{ const later = setTimeout; window.setTimeout = (work, ms) => later(work, ms === 50 ? 1e6 : ms); }"
        )

        async def answer(route: Route) -> None:
            await route.fulfill(body=b"retry: 9000\n\n" + events(3), content_type="text/event-stream")

        await page.route("**/logs?*", answer)
        await page.goto(url)
        await until_status(page, "Reconnecting…")
        await page.focus("#run-name")
        await page.keyboard.press("Enter")
        await choose(page, run)
        await until(page, "(run) => location.search.includes(run)", str(run))
        assert await page.inner_text("#shown") == "0 lines"


async def test_without_a_choice_the_lines_of_all_runs_appear() -> None:
    async with FakeServer() as fake, serving(fake.api_url) as url, looking_at(url) as page:
        fake.post("of one", flow_run_id=str(fake.add_run()))
        fake.post("of two", flow_run_id=str(fake.add_run()))
        await until_shown(page, "2 lines")


async def test_a_late_line_takes_its_place() -> None:
    async with FakeServer() as fake, serving(fake.api_url) as url, looking_at(url) as page:
        now = datetime.now(timezone.utc)
        for message, seconds in (("first", 0), ("third", 2), ("second", 1), ("second too", 1)):
            fake.post(message, timestamp=(now + timedelta(seconds=seconds)).isoformat())
        await until_shown(page, "4 lines")
        assert await shown(page) == ["first", "second", "second too", "third"]


async def test_tasks_and_subflows_are_named_and_times_are_the_readers_own() -> None:
    async with (
        FakeServer() as fake,
        serving(fake.api_url) as url,
        looking_at(url, timezone_id="America/New_York") as page,
    ):
        run = fake.add_run("brave-otter")
        child = fake.add_run("calm-finch", parent=run)
        task = fake.state.runs.add_task_run(str(run), "extract-0")["id"]
        at = NOON.isoformat()
        fake.store("of the task", flow_run_id=str(run), task_run_id=task, timestamp=at)
        fake.store("of the child", flow_run_id=str(child), timestamp=at)
        await page.fill("#run-name", "otter")
        await choose(page, run)
        await until_shown(page, "2 lines")
        who = "() => [...document.querySelectorAll('.line .who')].map((e) => e.textContent).join()"
        await until(page, f"(wanted) => ({who})() === wanted", "extract-0,calm-finch")
        assert await page.inner_text(".line time >> nth=0") == "07:00:00.000"
        await page.click(".line >> nth=0")
        assert await page.inner_text("#d-time") == "2026-01-01 07:00:00.000 -05:00"
        assert await page.get_attribute("#d-run", "href") == f"{fake.origin}/runs/flow-run/{run}"
        assert await page.get_attribute("#d-task", "href") == f"{fake.origin}/runs/task-run/{task}"


async def test_a_subflow_that_starts_later_joins_without_a_hole() -> None:
    async with FakeServer() as fake, serving(fake.api_url) as url, looking_at(url) as page:
        run = fake.add_run("brave-otter")
        fake.post("before", flow_run_id=str(run))
        await page.fill("#run-name", "otter")
        await choose(page, run)
        await until_shown(page, "1 line")
        child = fake.add_run("calm-finch", parent=run)
        fake.post("of the child, early", flow_run_id=str(child))
        await until_shown(page, "2 lines")
        fake.post("of the parent, later", flow_run_id=str(run))
        fake.post("of the child, later", flow_run_id=str(child))
        await until_shown(page, "4 lines")
        messages = ["before", "of the child, early", "of the parent, later", "of the child, later"]
        assert await all_messages(page) == messages


WRITTEN_OUT = """async ([before, after]) => {
    const { escapeLine } = await import("/logstream.js");
    const { fillText } = await import("/lines.js");
    const element = document.createElement("p");
    const found = [];
    for (let code = 0; code <= 0x10ffff; code += 1) {
        const text = before + String.fromCodePoint(code) + after;
        const written = escapeLine(text);
        fillText(element, text);
        if (element.textContent !== written) throw new Error(`two ways for ${code.toString(16)}`);
        if (written !== text) found.push(code);
    }
    return found;
}"""


@pytest.mark.parametrize(("before", "after"), [("a", "b"), ("\u2764", ""), ("1", "\u20e3"), ("\u1820", "")])
async def test_the_page_writes_out_the_same_characters_as_the_command(before: str, after: str) -> None:
    """Of all there are, alone and where they select how an emoji or a letter is drawn."""
    expected = [
        code
        for code in range(0x110000)
        if escape_line(before + chr(code) + after) != before + chr(code) + after
    ]
    async with FakeServer() as fake, serving(fake.api_url) as url, looking_at(url) as page:
        assert await page.evaluate(WRITTEN_OUT, [before, after]) == expected


EVERYTHING = """() => [...document.querySelectorAll('*')].flatMap((element) => [
    ...[...element.attributes].map((attribute) => attribute.value),
    ...[...element.childNodes].filter((node) => node.nodeType === 3).map((node) => node.data)]).join('\\u0001')"""
"""All text and all attributes of the document, as they are."""


async def test_names_are_written_out_wherever_they_stand() -> None:
    """Of runs, flows, deployments, states and tasks: in the list, on the line, in the details, in tooltips."""
    marks = "\x1b[31m\u202e\u2066\u200b\x85"
    hidden = set("\x1b\u202e\u2066\u200b\x85")
    async with FakeServer() as fake, serving(fake.api_url) as url, looking_at(url) as page:
        run = fake.add_run(f"run{marks}", flow=f"flow{marks}", deployment=f"deployment{marks}")
        fake.set_state(run, "RUNNING", name=f"state{marks}")
        task = fake.state.runs.add_task_run(str(run), f"task{marks}")["id"]
        fake.post("line", flow_run_id=str(run), task_run_id=task, name=f"logger{marks}")
        await choose(page, run)
        await until_shown(page, "1 line")
        written = r"\x1b[31m\u202e\u2066\u200b\x85"
        await until(
            page, "(text) => document.getElementById('lines').textContent.includes(text)", f"task{written}"
        )
        await page.click(".line")
        text = await page.evaluate(EVERYTHING)
        for name in ("run", "flow", "deployment", "state", "task", "logger"):
            assert f"{name}{written}" in text, name
        assert not set(text) & hidden


@pytest.mark.parametrize("message", HOSTILE.values(), ids=HOSTILE.keys())
async def test_a_hostile_message_is_only_text(message: str) -> None:
    async with FakeServer() as fake, serving(fake.api_url) as url, looking_at(url) as page:
        fake.post(message)
        await until_shown(page, "1 line")
        await page.click(".line")
        text = await page.text_content("#d-message")
        assert text is not None
        row = (await shown(page))[0]
        assert not any(ord(c) < 32 and c != "\n" for c in text) and "\n" not in row
        assert not set(text + row) & set("\x1b\x85\u2028\u2029\u202e\u2066\u200b\ufeff\xad")
        if message == HOSTILE["ansi"]:
            assert row == r"\x1b[31mred\x1b[0m \x1b]8;;http://evil.example\x07link"
        if message == HOSTILE["bidi"]:
            assert row == r"abc\u202edef\u2066ghi"
        if message == HOSTILE["line-separators"]:
            assert row == r"one\u2028two\u2029three\x85four"
        if message == HOSTILE["long"]:
            assert len(text) == 100_000
            await page.click("#d-more")
            await until(page, "() => document.getElementById('d-message').textContent.length === 1000000")
        assert await page.evaluate(
            "[window.hacked, document.querySelectorAll('.lines :is(script, img, svg, a)').length]"
        ) == [
            None,
            0,
        ]
        assert await all_messages(page) == [message]
        assert await status(page) == "Live"


async def test_levels_and_texts_choose_lines_and_stay_in_the_address() -> None:
    async with FakeServer() as fake, serving(fake.api_url) as url, looking_at(url) as page:
        for i, level in enumerate((10, 20, 30, 40, 50)):
            fake.post(f"Line {i} (of [it])", level=level)
        await until_shown(page, "5 lines")
        await page.select_option("#level", "30")
        await until_shown(page, "3 of 5 lines")
        await page.fill("#text", "line 4 (OF [")
        await until_shown(page, "1 of 5 lines")
        assert await page.text_content(".line:not([hidden]) mark") == "Line 4 (of ["
        assert "level=30" in page.url and "text=line" in page.url
        fake.post("line 4 (of [it]) again", level=20)
        fake.post("line 4 (of [it]) again", level=40)
        await until_shown(page, "2 of 7 lines")
        await page.reload()
        assert await page.input_value("#text") == "line 4 (OF ["
        await page.fill("#text", "nothing like it")
        await page.wait_for_selector("#empty:not([hidden])")


async def test_every_key_does_what_the_help_says() -> None:
    async with FakeServer() as fake, serving(fake.api_url) as url, looking_at(url) as page:
        fake.post(
            [
                {
                    "message": f"row {i}",
                    "level": 40 if i == 50 else 20,
                    "name": "t",
                    "timestamp": (NOON + timedelta(seconds=i)).isoformat(),
                }
                for i in range(200)
            ]
        )
        await page.select_option("#begin", "since=start")
        await until_shown(page, "200 lines")

        async def chosen() -> str | None:
            await page.evaluate(
                "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
            )
            line = await page.query_selector(".line[aria-selected=true]:not([hidden]) .text")
            return await line.text_content() if line else None

        async def pressed(button: str) -> bool:
            return await page.get_attribute(button, "aria-pressed") == "true"

        await page.focus("#lines")
        await page.keyboard.press("Home")
        assert (await chosen(), await pressed("#follow")) == ("row 0", False)
        for key in "jjjk":
            await page.keyboard.press(key)
        assert await chosen() == "row 2"
        active = await page.get_attribute("#lines", "aria-activedescendant")
        assert await page.text_content(f"#{active} .text") == "row 2"
        await page.keyboard.press("e")
        assert await chosen() == "row 50"
        await page.keyboard.press("Enter")
        assert await page.text_content("#d-message") == "row 50"
        await page.keyboard.press("Escape")
        assert (await chosen(), await page.is_visible("#details")) == (None, False)
        await page.keyboard.press("End")
        assert (await chosen(), await pressed("#follow")) == ("row 199", True)
        await page.keyboard.press("PageUp")
        assert await chosen() not in (None, "row 199")
        await page.keyboard.press("f")
        assert await pressed("#follow")
        await page.keyboard.press("p")
        assert await pressed("#pause")
        await page.keyboard.press("p")
        assert not await pressed("#pause")
        await page.keyboard.press("4")
        await until_shown(page, "1 of 200 lines")
        await page.keyboard.press("0")
        await page.keyboard.press("/")
        await page.keyboard.type("row 19 jfp?")
        assert await page.input_value("#text") == "row 19 jfp?"
        await page.keyboard.press("Escape")
        await page.keyboard.press("?")
        assert await page.is_visible("#help")
        await page.keyboard.press("Escape")
        assert not await page.is_visible("#help")
        await page.keyboard.press("r")
        assert await page.evaluate("document.activeElement.id") == "run-name"


async def test_a_line_closed_before_it_was_laid_out_stays_closed() -> None:
    """Both keys come before the next frame, as on a slow machine."""
    async with FakeServer() as fake, serving(fake.api_url) as url, looking_at(url) as page:
        fake.post([f"row {i}" for i in range(3)])
        await until_shown(page, "3 lines")
        chosen = await page.evaluate(
            """async () => { const lines = document.getElementById('lines');
            for (const key of ['Home', 'Enter', 'Escape'])
                lines.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true }));
            for (let i = 0; i < 3; i += 1) await new Promise(requestAnimationFrame);
            return [document.getElementById('details').hidden,
                document.querySelectorAll('.line[aria-selected=true]').length]; }"""
        )
        assert chosen == [True, 0]


async def test_lines_that_come_right_after_others_went_do_not_end_the_following() -> None:
    """The browser moves the list back by itself when it becomes shorter; only the reader's scrolling back counts."""
    async with FakeServer() as fake, serving(fake.api_url) as url, looking_at(url) as page:
        found = await page.evaluate(
            """async () => { const { LineView } = await import('/lines.js');
            const frame = () => new Promise(requestAnimationFrame);
            const [list, space] = [document.createElement('div'), document.createElement('div')];
            [list.className, space.className] = ['lines', 'space'];
            list.style = 'position: fixed; inset: 0 auto auto 0; width: 600px; height: 200px';
            list.append(space);
            document.body.append(list);
            const view = new LineView(list, space, () => '', {});
            const log = (i) => ({ id: `${i}`, message: `row ${i}`, level: 20, level_name: 'INFO',
                timestamp: '2026-01-01T12:00:00Z', key: `${i}` });
            const rows = Array.from({ length: 1000 }, (_, i) => log(100000 + i));
            view.setRows([...rows]);
            for (let i = 0; i < 5; i += 1) await frame();
            view.take([], rows.slice(0, 200));
            await frame();
            list.scrollTop; // lays it out
            view.take(Array.from({ length: 500 }, (_, i) => log(200000 + i)), []);
            await frame(); await frame(); await frame();
            const kept = [view.following, list.scrollTop + list.clientHeight >= list.scrollHeight - 1];
            list.scrollTop -= 500;
            view.take([log(300000)], []);
            await frame(); await frame();
            list.remove();
            return [...kept, view.following]; }"""
        )
        assert found == [True, True, False]


async def test_paused_lines_wait_and_scrolling_back_stops_following() -> None:
    async with FakeServer() as fake, serving(fake.api_url) as url, looking_at(url) as page:
        fake.post([f"row {i}" for i in range(100)])
        await until_shown(page, "100 lines")
        await page.click("#pause")
        fake.post([f"later {i}" for i in range(50)])
        await until(page, "() => document.getElementById('pause').textContent === 'Go on (50)'")
        assert await page.inner_text("#shown") == "100 lines"
        await page.click("#pause")
        await until_shown(page, "150 lines")
        await page.hover("#lines")
        await page.mouse.wheel(0, -1000)
        await until(page, "() => document.getElementById('follow').ariaPressed === 'false'")
        before = await shown(page)
        fake.post([f"last {i}" for i in range(10)])
        await until_shown(page, "160 lines")
        assert await shown(page) == before
        await page.click("#newer")
        await until(
            page,
            "() => [...document.querySelectorAll('.line .text')].some((e) => e.textContent === 'last 9')",
        )


def events(count: int, start: int = 0) -> bytes:
    """An event stream of so many logs, as the relay writes it."""
    logs = (
        {
            "id": str(UUID(int=i)),
            "name": "prefect.flow_runs",
            "level": 20,
            "level_name": "INFO",
            "message": f"row {i} " + "some words that a log has " * 3,
            "timestamp": (NOON + timedelta(milliseconds=i)).isoformat().replace("+00:00", "Z"),
            "flow_run_id": None,
            "task_run_id": None,
        }
        for i in range(start, start + count)
    )
    return b"".join(b"event: log\ndata: " + orjson.dumps(log) + b"\n\n" for log in logs)


async def test_a_gap_that_nothing_will_fill_stays_told_over_a_reconnection() -> None:
    async with FakeServer() as fake, serving(fake.api_url) as url, browsing() as context:
        page = await context.new_page()
        gap = {"reason": "history", "open": True, "text": "Logs of before noon are not kept."}
        bodies = [b"event: gap\ndata: " + orjson.dumps(gap) + b"\n\n" + events(1), events(1, 1)]

        async def answer(route: Route) -> None:
            body = b"retry: 100\n\n" + (bodies.pop(0) if bodies else b"")
            await route.fulfill(body=body, content_type="text/event-stream")

        await page.route("**/logs?*", answer)
        await page.goto(url)
        await until_shown(page, "2 lines")
        assert "not kept" in await page.inner_text("[data-cause=not-kept]")


async def test_a_hundred_thousand_lines_do_not_stall_the_page() -> None:
    """What the page holds is bounded: the lines kept by the cap, the elements by what is in sight."""
    async with FakeServer() as fake, serving(fake.api_url) as url, browsing() as context:
        page = await context.new_page()
        bodies = [events(25_000, start) for start in range(0, 125_000, 25_000)]

        async def answer(route: Route) -> None:
            body = b"retry: 100\n\n" + (bodies.pop(0) if bodies else b"")
            await route.fulfill(body=body, content_type="text/event-stream")

        await page.route("**/logs?*", answer)
        await page.goto(url)
        script = "() => document.getElementById('kept').textContent.includes('older ones were let go')"
        await until(page, script, timeout=60)
        await until(
            page,
            "() => [...document.querySelectorAll('.line .text')].some((e) => e.textContent.startsWith('row 124999 '))",
            timeout=60,
        )
        kept = int((await page.inner_text("#shown")).split()[0].replace(",", ""))
        assert 98_000 < kept <= 100_000
        assert await page.evaluate("document.querySelectorAll('*').length") < 700
        await page.hover("#lines")
        for _ in range(10):
            await page.mouse.wheel(0, -20_000)
        await page.keyboard.press("Home")
        await page.keyboard.press("End")
        # However many lines are kept, the page holds the few that are in sight: that is what keeps it quick.
        await page.fill("#text", "row 99999")
        await until(
            page, f"() => document.getElementById('shown').textContent === '1 of {kept:,} lines'", timeout=60
        )
        assert await page.evaluate("document.querySelectorAll('*').length") < 700


async def test_a_server_without_streaming_is_said_to_be_read_by_its_list() -> None:
    behaviour = Behaviour(streaming=False, publishing=False)
    async with FakeServer(behaviour) as fake, serving(fake.api_url) as url, looking_at(url) as page:
        fake.post("by the list")
        await until_shown(page, "1 line")
        await page.fill("#run-name", "x")
        await until_banner(page, "rest")


async def test_a_prefect_that_goes_away_is_said_and_nothing_is_lost() -> None:
    async with FakeServer() as fake, serving(fake.api_url) as url, looking_at(url) as page:
        fake.post("before")
        await until_shown(page, "1 line")
        fake.refuse()
        await fake.drop_all()
        await until_banner(page, "gap-upstream")
        fake.store("meanwhile")
        fake.refuse(False)
        fake.post("after")
        await until_shown(page, "3 lines", timeout=60)
        await until(
            page, "() => !document.querySelector('[data-cause=gap-upstream]:not([data-weight=fine])')"
        )
        assert sorted(await all_messages(page)) == ["after", "before", "meanwhile"]


async def test_the_page_goes_on_where_it_was_when_its_own_server_restarts() -> None:
    async with FakeServer() as fake, browsing() as context:
        page = await context.new_page()
        run = fake.add_run("brave-otter")
        fake.post([f"before {i}" for i in range(20)], flow_run_id=str(run))
        port = free_port()
        async with serving(fake.api_url, port=port) as url:
            await page.goto(f"{url}?run={run}")
            await until_shown(page, "20 lines")
        await until_banner(page, "connection")
        fake.post([f"meanwhile {i}" for i in range(20)], flow_run_id=str(run))
        async with serving(fake.api_url, port=port):
            await until_shown(page, "40 lines", timeout=60)
            await until_banner(page, "connection", there=False)
            fake.post("after", flow_run_id=str(run))
            await until_shown(page, "41 lines")
            messages = await all_messages(page)
            await page.close()
        expected = [*(f"before {i}" for i in range(20)), *(f"meanwhile {i}" for i in range(20)), "after"]
        assert messages == expected


async def test_a_browser_that_was_offline_catches_up() -> None:
    async with FakeServer() as fake, serving(fake.api_url) as url, looking_at(url) as page:
        fake.post("before")
        await until_shown(page, "1 line")
        await page.context.set_offline(True)
        await until_status(page, "Offline")
        await until_banner(page, "connection")
        fake.post([f"meanwhile {i}" for i in range(30)])
        assert await page.inner_text("#shown") == "1 line"
        await page.context.set_offline(False)
        await until_shown(page, "31 lines", timeout=60)
        await until_status(page, "Live")
        assert await all_messages(page) == ["before", *(f"meanwhile {i}" for i in range(30))]


async def test_a_stream_that_is_refused_is_asked_for_again_with_its_cursor() -> None:
    """An EventSource gives up on an HTTP error; the cursor then goes into the URL."""
    async with FakeServer() as fake, serving(fake.api_url) as url, browsing() as context:
        page = await context.new_page()
        run = fake.add_run("brave-otter")
        fake.post([f"row {i}" for i in range(5)], flow_run_id=str(run))
        asked: list[str] = []

        async def answer(route: Route) -> None:
            asked.append(route.request.url)
            if len(asked) == 1:
                log = {**fake.logs[0], "level_name": "INFO"}
                body = f"retry: 100\nid: {log['timestamp']}/{log['id']}\nevent: log\n".encode()
                await route.fulfill(
                    body=body + b"data: " + orjson.dumps(log) + b"\n\n", content_type="text/event-stream"
                )
            elif len(asked) < 4:
                await route.fulfill(status=503, body="{}")
            else:
                await route.continue_()

        await page.route("**/logs?*", answer)
        await page.goto(f"{url}?run={run}")
        await until_shown(page, "5 lines", timeout=60)
        assert await all_messages(page) == [f"row {i}" for i in range(5)]
        assert "last_event_id=" in asked[-1] and "last_event_id=" not in asked[0]


async def test_when_all_lines_are_of_one_moment_only_the_oldest_are_let_go() -> None:
    async with FakeServer() as fake, serving(fake.api_url) as url, looking_at(url) as page:
        found = await page.evaluate(
            """async () => { const { LogStore } = await import('/logstream.js');
            const store = new LogStore({ mostLogs: 1000 });
            const log = (i) => ({ id: `${i}`, message: '', timestamp: '2026-01-01T12:00:00Z' });
            for (let i = 0; i < 1005; i += 1) store.add([log(i)]);
            const again = store.add([log(3), log(900), log(2000)]).added.map((one) => one.id);
            return [store.logs.length, store.logs[0].id, again.join()]; }"""
        )
        assert found == [995, "11", "2000"]


async def test_runs_that_have_ended_end_the_stream() -> None:
    async with FakeServer() as fake, serving(fake.api_url) as url, looking_at(url) as page:
        run = fake.add_run("brave-otter")
        fake.post("the last words", flow_run_id=str(run))
        fake.set_state(run, "COMPLETED")
        await page.goto(f"{url}?run={run}")
        await until_shown(page, "1 line")
        await until(
            page, "() => document.getElementById('status').textContent === 'All runs have ended'", timeout=30
        )
        assert await page.inner_text("#runs .chip >> nth=0") == "Completed"


async def test_the_login_lets_in_who_knows_the_token() -> None:
    async with FakeServer() as fake, serving(fake.api_url, token=TOKEN) as url, looking_at(url) as page:
        fake.post("for those who know")
        assert page.url.endswith("/login")
        await page.fill("#token", "x" * 20)
        await page.click("button")
        assert await page.inner_text("[role=alert]") == "This is not the token."
        await page.fill("#token", TOKEN)
        await page.click("button")
        await until_shown(page, "1 line")
        assert await page.evaluate("document.cookie") == ""
        await page.goto(f"{url}?token={TOKEN}&level=30")
        assert page.url == f"{url}?level=30"


CONTRAST = """() => {
    const canvas = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
    const rgba = (color) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data]; };
    const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
        .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const ground = (element) => { for (let e = element; e; e = e.parentElement) {
        const color = rgba(getComputedStyle(e).backgroundColor); if (color[3] === 255) return color; }
        return [255, 255, 255, 255]; };
    const found = [];
    for (const element of document.querySelectorAll('body *')) {
        const words = [...element.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
        if (!words && !element.matches('input, select')) continue;
        if (!element.checkVisibility() || element.closest('.visually-hidden, noscript')) continue;
        const [a, b] = [light(rgba(getComputedStyle(element).color)), light(ground(element))];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        const what = `${element.tagName}.${element.className} ${element.textContent.slice(0, 30)}`;
        if (ratio < 4.5) found.push(`${ratio.toFixed(2)} ${what}`);
    }
    return found;
}"""


async def test_logging_out_ends_the_login_in_all_windows() -> None:
    """The button leads to the form; a window that still read lines is led there as well."""
    async with FakeServer() as fake, serving(fake.api_url, token=TOKEN) as url, looking_at(url) as page:
        await page.fill("#token", TOKEN)
        await page.press("#token", "Enter")
        await until_status(page, "Live")
        other = await page.context.new_page()
        await other.goto(url)
        await until_status(other, "Live")
        await page.click("text=Log out")
        await page.wait_for_url("**/login")
        await other.wait_for_url("**/login", timeout=30_000)
        await page.goto(url)
        assert page.url.endswith("/login")


async def test_without_a_login_there_is_no_button_to_end_it() -> None:
    async with FakeServer() as fake, serving(fake.api_url) as url, looking_at(url) as page:
        await until_status(page, "Live")
        assert not await page.is_visible("text=Log out")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_text_has_enough_contrast_in_both_themes(scheme: Any) -> None:
    other = {"light": "dark", "dark": "light"}[scheme]
    async with (
        FakeServer() as fake,
        serving(fake.api_url) as url,
        looking_at(url, color_scheme=scheme) as page,
    ):
        for state in ("RUNNING", "COMPLETED", "FAILED", "CANCELLED"):
            run = fake.add_run(state=state, flow="nightly", deployment="prod")
            for level in (10, 20, 30, 40, 50):
                fake.post(f"a \x1b word\n at {level}", level=level, flow_run_id=str(run))
        await until_shown(page, "20 lines")
        await page.fill("#text", "word")
        await page.wait_for_selector(".line mark")
        await page.hover("#runs")
        for level in (1, 2, 3, 4, 5):
            await page.click(f".line:not([hidden]) >> nth={level}")
            assert await page.evaluate(CONTRAST) == []
        await page.click("#theme")
        assert await page.evaluate("document.documentElement.dataset.theme") == other
        assert await page.evaluate(CONTRAST) == []
        await page.reload()
        assert await page.evaluate("document.documentElement.dataset.theme") == other
        await page.click("#help-button")
        assert await page.evaluate(CONTRAST) == []


async def test_everything_that_can_be_used_has_a_name_and_a_visible_focus() -> None:
    async with FakeServer() as fake, serving(fake.api_url) as url, looking_at(url) as page:
        fake.add_run("brave-otter")
        fake.post("a line")
        await until_shown(page, "1 line")
        await page.wait_for_selector("#runs li")
        tree = await page.locator("body").aria_snapshot()
        for words in (
            'listbox "Log lines"',
            'navigation "Runs"',
            'toolbar "Log lines"',
            'button "Follow" [pressed]',
        ):
            assert words in tree
        assert 'option "' in tree
        names: list[str] = []
        for _ in range(30):
            await page.keyboard.press("Tab")
            name, outline = await page.evaluate(
                "[document.activeElement.id || document.activeElement.tagName,"
                " getComputedStyle(document.activeElement).outlineStyle]"
            )
            if name == "BODY":
                break
            names.append(name)
            assert outline != "none", name
        assert {"run-name", "run-state", "level", "text", "follow", "pause", "copy", "save", "lines"} <= set(
            names
        )


LONG = "a message that is far longer than one row of any window " * 6
CUT = """() => [...document.querySelectorAll('#lines .line:not([hidden]) .text')]
    .filter((text) => text.scrollWidth > text.clientWidth || text.scrollHeight > text.clientHeight).length"""


async def test_long_lines_are_broken_by_a_switch_that_is_remembered() -> None:
    async with FakeServer() as fake, serving(fake.api_url) as url, looking_at(url) as page:
        run = fake.add_run("brave-otter")
        fake.post([LONG, "short", "\u4e16\u754c" * 100], flow_run_id=str(run))
        await choose(page, run)
        await until_shown(page, "3 lines")
        assert await page.evaluate(CUT) == 2
        await page.click("#wrap")
        await until(page, f"() => ({CUT})() === 0")
        await page.reload()
        await until_shown(page, "3 lines")
        await until(page, f"() => ({CUT})() === 0")
        assert await page.get_attribute("#wrap", "aria-pressed") == "true"
        await page.focus("#lines")
        await page.keyboard.press("w")
        await until(page, f"() => ({CUT})() === 2")


async def test_broken_lines_are_all_there_in_order_and_the_newest_stays_in_sight() -> None:
    async with FakeServer() as fake, serving(fake.api_url) as url, looking_at(url) as page:
        run = fake.add_run("brave-otter")
        expected = [f"{i} {LONG[: 60 * (i % 7)]}".strip() for i in range(300)]
        fake.post(expected, flow_run_id=str(run))
        await choose(page, run)
        await page.click("#wrap")
        await until_shown(page, "300 lines")
        fake.post("the newest", flow_run_id=str(run))
        await until_shown(page, "301 lines")
        await until(page, f"() => ({CUT})() === 0")
        assert (await shown(page))[-1] == "the newest"
        await page.focus("#lines")
        await page.keyboard.press("Home")
        await until(page, "() => document.getElementById('lines').scrollTop === 0")
        for number in (1, 2, 3):
            await page.keyboard.press("j")
            await until(
                page,
                "(id) => document.querySelector('.line[aria-selected=true]')?.dataset.index === id",
                str(number),
            )


async def test_on_a_phone_the_tools_are_one_row_with_a_menu_and_no_line_is_cut() -> None:
    phone = {"viewport": {"width": 390, "height": 800}}
    async with FakeServer() as fake, serving(fake.api_url) as url, looking_at(url, **phone) as page:
        fake.post([LONG, "short"], flow_run_id=str(fake.add_run("brave-otter")))
        await until(page, "() => document.querySelectorAll('#lines .line:not([hidden])').length === 2")
        await until(page, f"() => ({CUT})() === 0")
        tops = await page.evaluate(
            "() => [...new Set([...document.querySelectorAll('.toolbar > *')]"
            ".filter((tool) => tool.checkVisibility() && tool.offsetWidth > 1)"
            ".map((tool) => Math.round(tool.getBoundingClientRect().top)))]"
        )
        assert len(tops) == 1
        assert await page.evaluate("document.documentElement.scrollWidth") == 390
        assert not await page.is_visible("#pause")
        await page.click("#tools-button")
        await page.click("#pause")
        assert await page.get_attribute("#pause", "aria-pressed") == "true"
