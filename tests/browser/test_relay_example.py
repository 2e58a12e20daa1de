"""The example of docs/relay.md in a browser: an EventSource is let in by what it can send, its cookies."""

from __future__ import annotations

import sys
from pathlib import Path

from test_relay_examples import running

from rawlogs.testing import FakeServer

from .site import ONE_LOOP, looking_at

pytestmark = ONE_LOOP

READ = """(run) => new Promise((resolve) => {
    const source = new EventSource(`/logs?flow_run_id=${run}&since=1h`);
    source.addEventListener("log", (event) => { source.close(); resolve(JSON.parse(event.data).message); });
    source.addEventListener("error", () => { source.close(); resolve("refused"); });
})"""


async def test_a_browser_reads_what_its_cookie_lets_it_read(tmp_path: Path) -> None:
    async with FakeServer() as fake:
        run = str(fake.add_run())
        fake.store("stored", flow_run_id=run)
        async with (
            running("starlette", Path(sys.executable), tmp_path, fake.api_url) as url,
            looking_at(f"{url}/any-page") as page,
        ):
            assert await page.evaluate(READ, run) == "refused"
            cookie = {"name": "session", "value": "the-session-of-somebody", "url": url, "httpOnly": True}
            await page.context.add_cookies([cookie])  # type: ignore[list-item]
            assert await page.evaluate(READ, run) == "stored"
