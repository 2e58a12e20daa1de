"""Who somebody is by now: Django's session and user read anew, for a right that is asked for again.

Both keep what they read for as long as the request or the connection lasts, which for a stream is hours: a logout, a
changed password, a user who was made inactive would not be noticed.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import partial
from typing import Any

from django.core.handlers.asgi import ASGIRequest  # type: ignore[import-untyped,unused-ignore]
from django.utils.functional import SimpleLazyObject  # type: ignore[import-untyped,unused-ignore]


def fresh_request(request: ASGIRequest) -> ASGIRequest:
    """Return a copy whose session, and user where that is the session's, are read when they are asked for."""
    fresh = copy.copy(request)
    session = getattr(request, "session", None)
    if session is None:
        return fresh
    fresh.session = _again(session)
    if hasattr(request, "user") and _has_user(session):
        # Only here: importing it needs the applications to be ready.
        from django.contrib.auth import middleware  # type: ignore[import-untyped,unused-ignore]

        for kept in ("_cached_user", "_acached_user"):
            fresh.__dict__.pop(kept, None)
        fresh.user = SimpleLazyObject(lambda: middleware.get_user(fresh))
        if hasattr(middleware, "auser"):  # from Django 5.0 on
            fresh.auser = partial(middleware.auser, fresh)
    return fresh


async def fresh_scope(scope: Mapping[str, Any]) -> dict[str, Any]:
    """Return a scope whose session, and user where that is the session's, were read now."""
    fresh = dict(scope)
    session = scope.get("session")
    if session is None:
        return fresh
    fresh["session"] = _again(session)
    if "user" in scope and _has_user(session):
        from channels.auth import get_user  # type: ignore[import-untyped,unused-ignore]

        fresh["user"] = await get_user(fresh)
    return fresh


def _again(session: Any) -> Any:
    """Return the same session, of which nothing was read yet. (That of a scope is inside a lazy object.)"""
    return session.__class__(session.session_key)


def _has_user(session: Any) -> bool:
    """Return whether the user was read from this session; somebody's own middleware may know users in another way.

    Only what the session has read already: reading it here would ask the database from within the event loop.
    """
    return "_auth_user_id" in (getattr(session, "_session_cache", None) or {})
