"""Django's settings for the tests of one process: sessions without a database, and users in a dict."""

from __future__ import annotations

from typing import Any

import django
from django.conf import settings

USERS: dict[int, Any] = {}


class Backend:
    """The authentication backend."""

    def get_user(self, user_id: int) -> Any:
        """The user of a session; None where there is none any more."""
        return USERS.get(int(user_id))

    async def aget_user(self, user_id: int) -> Any:
        """The same, for ``request.auser``."""
        return self.get_user(user_id)


def configure() -> None:
    """Once a process, whichever file of tests comes first."""
    if not settings.configured:
        settings.configure(
            DEBUG=False,
            ALLOWED_HOSTS=["*"],
            SECRET_KEY="only for tests",
            USE_TZ=True,
            INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"],
            SESSION_ENGINE="django.contrib.sessions.backends.cache",
            AUTHENTICATION_BACKENDS=[f"{__name__}.Backend"],
        )
        django.setup()
