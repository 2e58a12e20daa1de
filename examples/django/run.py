"""Run the example: a database with one user, an embedded server where none is configured, and uvicorn."""

from __future__ import annotations

import asyncio
import os
import random
import socket
from contextlib import AsyncExitStack, suppress
from pathlib import Path

HERE = Path(__file__).parent


def prepare() -> None:
    """Make the database and the user ``demo``."""
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
    from django.contrib.auth import get_user_model

    users = get_user_model()
    if not users.objects.filter(username="demo").exists():
        users.objects.create_user("demo", password="demo")


def configured() -> str | None:
    """The API that Prefect's own settings name; None where there is none."""
    from rawlogs import ConfigError
    from rawlogs.config.settings import resolve

    try:
        return resolve().api_url
    except ConfigError:
        return None


async def produce(server: object) -> None:
    """Two runs of an embedded server that log for ever."""
    from rawlogs.testing import FakeServer

    assert isinstance(server, FakeServer)
    runs = [server.add_run(name, flow="etl", state="RUNNING") for name in ("brisk-otter", "calm-lynx")]
    rng = random.Random(1)
    number = 0
    while True:
        for run in runs:
            number += 1
            level = rng.choice([10, 20, 20, 20, 30, 40])
            server.post(
                [
                    {
                        "message": f"step {number}",
                        "level": level,
                        "flow_run_id": str(run),
                        "name": "prefect.flow_runs",
                    }
                ]
            )
        await asyncio.sleep(0.5)


def listen(port: int) -> socket.socket:
    """Listen on that port of loopback, or on a free one. Who comes before the page is served waits."""
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError:
        return socket.create_server(("127.0.0.1", 0))


async def main() -> None:
    import uvicorn

    async with AsyncExitStack() as stack:
        url = configured()
        if url is None:
            from rawlogs.testing import FakeServer

            server = await stack.enter_async_context(FakeServer())
            url = os.environ["PREFECT_API_URL"] = server.api_url
            producing = asyncio.create_task(produce(server))
            stack.callback(producing.cancel)
            print("No PREFECT_API_URL is set: logs come from an embedded fake server.")
        listening = stack.enter_context(listen(int(os.environ.get("PORT", "8000"))))
        port = listening.getsockname()[1]
        print(
            f"Logs of {url}\nOpen http://127.0.0.1:{port}/ and log in as demo, password demo. Ctrl-C ends.",
            flush=True,
        )
        config = uvicorn.Config("livelogs.asgi:application", log_level="warning")
        await uvicorn.Server(config).serve(sockets=[listening])


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "livelogs.settings")
    prepare()
    with suppress(KeyboardInterrupt):
        asyncio.run(main())
