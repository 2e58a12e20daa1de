"""The pages. The runs are asked from Prefect's REST API here, so that its key stays here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import UUID

from asgiref.sync import async_to_sync
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from rawlogs import HistoryError, RawlogsError
from rawlogs.config.settings import resolve
from rawlogs.contrib.django.hub import hub_options
from rawlogs.rest.client import RestClient
from rawlogs.rest.flow_runs import FlowRun, Runs

T = TypeVar("T")
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


@async_to_sync
async def ask(question: Callable[[RestClient], Awaitable[T]]) -> T:
    """One question to the API that Django's settings, or Prefect's own sources, name."""
    async with RestClient(resolve(**hub_options()), retries=1, timeout=10.0) as rest:
        return await question(rest)


@login_required
def runs(request: HttpRequest) -> HttpResponse:
    """The fifty newest runs; ``?deployment=``: of deployments whose name contains that."""
    deployment = request.GET.get("deployment", "").strip()
    body: dict[str, object] = {"sort": "START_TIME_DESC", "limit": 50}
    if deployment:
        body["deployments"] = {"name": {"like_": deployment}}
    page: dict[str, object] = {"deployment": deployment}
    try:
        rows = ask(lambda rest: rest.post("/flow_runs/filter", body))
    except RawlogsError as error:
        return render(request, "livelogs/runs.html", {**page, "problem": error.text}, status=503)
    return render(request, "livelogs/runs.html", {**page, "runs": [FlowRun.from_wire(row) for row in rows]})


@login_required
def run(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """One run and its logs; ``?level=``: from that level on."""
    try:
        found = ask(lambda rest: Runs(rest).read(run_id))
    except HistoryError as error:
        if error.status == 404:
            raise Http404 from None
        return render(request, "livelogs/runs.html", {"problem": error.text}, status=503)
    level = request.GET.get("level", "")
    return render(
        request,
        "livelogs/run.html",
        {"run": found, "levels": LEVELS, "level": level if level in LEVELS else ""},
    )
