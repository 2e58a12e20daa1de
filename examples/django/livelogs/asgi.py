"""HTTP to Django, WebSockets to the consumer, which only pages of this site may open, and only who is logged in."""

import os

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application
from django.urls import path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "livelogs.settings")
django_application = get_asgi_application()

from livelogs.consumers import LogsConsumer  # noqa: E402  (Django must be set up first)

application = ProtocolTypeRouter(
    {
        "http": ASGIStaticFilesHandler(django_application),
        "websocket": AllowedHostsOriginValidator(
            AuthMiddlewareStack(URLRouter([path("logs", LogsConsumer.as_asgi())]))
        ),
    }
)
