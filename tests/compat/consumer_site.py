"""A site with the consumer behind one page, by uvicorn: prints its URL, and serves until it is terminated."""

import asyncio
import socket

import django
import uvicorn
from django.conf import settings

PAGE = b"""<!DOCTYPE html><title>logs</title><ol id="lines"></ol><script>
const socket = new WebSocket(`ws://${location.host}/logs${location.search}`);
socket.onmessage = (event) => {
  const log = JSON.parse(event.data), line = document.createElement("li");
  line.textContent = log.error ?? `[${log.level}] ${log.message}`;
  document.getElementById("lines").append(line);
};
</script>"""


async def page(scope, receive, send):
    headers = [(b"content-type", b"text/html; charset=utf-8")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": PAGE})


async def main():
    settings.configure(SECRET_KEY="only for tests")
    django.setup()
    from log_consumer import LogConsumer  # wants Django's settings

    consumer = LogConsumer.as_asgi()

    async def site(scope, receive, send):
        await (consumer if scope["type"] == "websocket" else page)(scope, receive, send)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        print(f"http://127.0.0.1:{listening.getsockname()[1]}/", flush=True)
        config = uvicorn.Config(site, lifespan="off", log_level="warning")
        await uvicorn.Server(config).serve(sockets=[listening])


asyncio.run(main())
