"""URLs: what is accepted, what is normalised, and what is refused with which suggestion."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawlogs.config.urls import Address, parse, same_origin, shown
from rawlogs.errors import ConfigError

RUN = UUID("60802438-10f0-48d7-b87a-390fcef3654e")
CLOUD = "https://api.prefect.cloud/api/accounts/A-1/workspaces/W-2"
APP = "https://app.prefect.cloud/account/A-1/workspace/W-2"


@pytest.mark.parametrize(
    ("text", "api_url"),
    [
        ("http://127.0.0.1:4200/api", "http://127.0.0.1:4200/api"),
        ("http://127.0.0.1:4200/api/", "http://127.0.0.1:4200/api"),
        ("http://127.0.0.1:4200/api///", "http://127.0.0.1:4200/api"),
        ("https://prefect.example.com/api", "https://prefect.example.com/api"),
        ("HTTPS://Prefect.Example.COM/api", "https://prefect.example.com/api"),
        ("https://h:443/api", "https://h:443/api"),
        ("http://h:/api", "http://h/api"),
        ("http://h:04200/api", "http://h:4200/api"),
        ("http://prefect_server:4200/api", "http://prefect_server:4200/api"),
        ("http://host./api", "http://host./api"),
        ("http://[::1]:4200/api", "http://[::1]:4200/api"),
        ("http://[0:0::1]/api", "http://[::1]/api"),
        ("http://bücher.example/api", "http://xn--bcher-kva.example/api"),
        ("http://h/team/a%20b/api", "http://h/team/a%20b/api"),
        ("http://h/prefect", "http://h/prefect"),
        ("https://h/flows/api", "https://h/flows/api"),
        ("https://api.prefect.local/api", "https://api.prefect.local/api"),
        ("https://app.prefect.local/api", "https://app.prefect.local/api"),
        (CLOUD, CLOUD),
        (CLOUD + "/", CLOUD),
    ],
)
def test_an_api_url_is_kept_but_for_case_and_trailing_slashes(text: str, api_url: str) -> None:
    assert parse(text) == Address(api_url)


@pytest.mark.parametrize(
    ("text", "api_url", "changes"),
    [
        ("ws://h:4200/api", "http://h:4200/api", ("ws:// was read as http://",)),
        ("WSS://h/api/", "https://h/api", ("wss:// was read as https://",)),
        ("http://h/api/logs/out", "http://h/api", ("/logs/out was left out",)),
        (
            "wss://h/api/events/out/",
            "https://h/api",
            ("wss:// was read as https://", "/events/out was left out"),
        ),
        ("http://h:4200//api", "http://h:4200/api", ("doubled slashes were made one",)),
        (" http://h/api\n", "http://h/api", ("white space around the URL was left out",)),
    ],
)
def test_what_is_read_otherwise_than_written_is_told(
    text: str, api_url: str, changes: tuple[str, ...]
) -> None:
    assert parse(text) == Address(api_url, changes=changes)


@pytest.mark.parametrize(
    ("text", "api_url", "kind", "run_id"),
    [
        (f"{APP}/runs/flow-run/{RUN}", CLOUD, "flow-run", RUN),
        (f"{APP}/flow-runs/flow-run/{RUN}", CLOUD, "flow-run", RUN),
        (f"{APP}/runs/task-run/{RUN}", CLOUD, "task-run", RUN),
        (f"{APP}/runs/flow-run/{RUN}?tab=Logs&entity_id=a@b#logs", CLOUD, "flow-run", RUN),
        (f"{APP}/runs/flow-run/{str(RUN).upper()}/", CLOUD, "flow-run", RUN),
        (f"{APP}/dashboard", CLOUD, None, None),
        (APP, CLOUD, None, None),
        (APP.replace("https", "http"), CLOUD, None, None),
        (APP.replace("app.", "app.private."), CLOUD.replace("api.", "api.private."), None, None),
        (CLOUD.replace("api.prefect", "app.prefect"), CLOUD, None, None),
        (f"http://h:4200/runs/flow-run/{RUN}", "http://h:4200/api", "flow-run", RUN),
        (f"http://h:4200/flow-runs/flow-run/{RUN}", "http://h:4200/api", "flow-run", RUN),
        (f"http://h:4200/runs/task-run/{RUN}?tab=logs", "http://h:4200/api", "task-run", RUN),
        (f"http://h:4200/v2/runs/flow-run/{RUN}", "http://h:4200/api", "flow-run", RUN),
        (f"https://h/prefect/runs/flow-run/{RUN}", "https://h/prefect/api", "flow-run", RUN),
        (f"https://h/prefect/v2/runs/flow-run/{RUN}", "https://h/prefect/api", "flow-run", RUN),
        (f"http://h/api/runs/flow-run/{RUN}", "http://h/api", "flow-run", RUN),
        ("http://h:4200/dashboard", "http://h:4200/api", None, None),
        ("http://h:4200/runs?state=failed", "http://h:4200/api", None, None),
        (f"http://h:4200/v2/deployments/deployment/{RUN}", "http://h:4200/api", None, None),
    ],
)
def test_a_page_of_the_ui_becomes_the_api_it_shows(
    text: str, api_url: str, kind: str | None, run_id: UUID | None
) -> None:
    address = parse(text)
    assert (address.api_url, address.run_kind, address.run_id) == (api_url, kind, run_id)
    assert address.changes == ("the page of the UI was read as the API it shows",)


@pytest.mark.parametrize(
    ("text", "problem", "fix"),
    [
        ("localhost:4200", "does not begin with http", "http://localhost:4200/api"),
        ("localhost:4200/api", "does not begin with http", "http://localhost:4200/api"),
        ("//h/api", "does not begin with http", "http://h/api"),
        ("http:/h/api", "does not begin with http", "http://h/api"),
        ("https:h/api", "does not begin with http", "https://h/api"),
        (f"app.prefect.cloud{APP[25:]}", "does not begin with http", CLOUD),
        ("htp://h/api", "scheme other than http", "http://h/api"),
        ("postgresql://u:secret@h:5432/prefect", "scheme other than http", "http://h:5432/prefect"),
        ("ftps://h/api", "scheme other than http", "https://h/api"),
        ("http://h:4200", "leads to the server's root", "http://h:4200/api"),
        ("http://h:4200/", "leads to the server's root", "http://h:4200/api"),
        ("http://h:4200/logs/out", "leads to the server's root", "http://h:4200/api"),
        ("http://[::1]:4200", "leads to the server's root", "http://[::1]:4200/api"),
        ("http://h/api?token=secret", "has a query string", "http://h/api"),
        ("http://h/api?", "has a query string", "http://h/api"),
        ("http://h/api#x", "has a fragment", "http://h/api"),
        ("http://::1/api", "IPv6 address without brackets", "http://[::1]/api"),
        ("http://ho st/api", "has a space", "http://host/api"),
        ("http://h/a\u200bpi", "has a space", "http://h/api"),
        ("http://h\n/api", "has a space", "http://h/api"),
        ('"http://h/api"', "stands in quotes", "http://h/api"),
        ("' \" http://h:4200 \" '", "stands in quotes", "http://h:4200/api"),
        ("http:\\\\h:4200\\api", "has a backslash", "http://h:4200/api"),
        ("http://h/api/flow_runs/1", "one thing of the API", "http://h/api"),
        ("http://h/api/admin/settings", "one thing of the API", "http://h/api"),
        (CLOUD.replace("https", "http"), "not how a workspace", CLOUD),
        (CLOUD.replace("/api/", "/"), "not how a workspace", CLOUD),
        (f"{CLOUD}/flow_runs/filter", "not how a workspace", CLOUD),
        (f"https://api.prefect.cloud{APP[25:]}/runs/flow-run/{RUN}", "not how a workspace", CLOUD),
    ],
)
def test_a_wrong_url_is_refused_with_the_one_that_was_meant(text: str, problem: str, fix: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert problem in caught.value.text
    assert caught.value.hint == f"Did you mean {fix} ?"
    assert caught.value.setting == "PREFECT_API_URL"
    assert parse(fix).api_url == fix


@pytest.mark.parametrize(
    ("text", "problem", "hint"),
    [
        ("", "is empty", "for example http://127.0.0.1:4200/api"),
        ("  \n", "is empty", "for example"),
        ("pnu_secret", "holds an API key", "PREFECT_API_KEY"),
        ("http://" + "h" * 3000, "longer than any URL", None),
        ("http://", "names no host", "http://127.0.0.1"),
        ("http:///api", "names no host", "http://127.0.0.1"),
        ("http://:4200/api", "names no host", "http://127.0.0.1"),
        ("http://h:99999/api", "has a port", ":4200"),
        ("http://h:0/api", "has a port", ":4200"),
        ("http://h:42OO/api", "has a port", ":4200"),
        ("http://h:-1/api", "has a port", ":4200"),
        ("http://h:٤٢/api", "has a port", ":4200"),
        ("http://u:p/w@h/api", "has a port", "%2F"),
        ("http://u:1/w@h/api", "has an @ after its host", "%2F"),
        ("http://u:1#w@h/api", "has an @ after its host", "%2F"),
        ("http://u:1?w@h/api", "has an @ after its host", "%2F"),
        ("http://[::1/api", "IPv6 address that is not one", "http://[::1]"),
        ("http://[nonsense]/api", "IPv6 address that is not one", "http://[::1]"),
        ("http://[::1]4200/api", "IPv6 address that is not one", "http://[::1]"),
        ("http://a..b/api", "host name that cannot exist", None),
        ("http://${HOST}/api", "host name that cannot exist", None),
        ("http://-h/api", "host name that cannot exist", None),
        (f"http://{'x' * 64}/api", "host name that cannot exist", None),
        (f"http://{'ü' * 64}/api", "host name that cannot exist", None),
        ("http://h/{base}/api", "has a path with characters", None),
        ("http://h/a%zz/api", "has a path with characters", None),
        ("http://h/x/../api", "has a path with characters", None),
        ("http://h/./runs", "has a path with characters", None),
        ("https://api.prefect.cloud/api", "names no workspace", "accounts/ACCOUNT-ID/workspaces"),
        ("https://api.prefect.cloud", "names no workspace", "accounts/ACCOUNT-ID/workspaces"),
        ("https://api.stg.prefect.dev/api", "names no workspace", "https://api.stg.prefect.dev/api/acc"),
        ("https://app.prefect.cloud/", "shows no workspace", "copy the URL"),
        (f"http://h:4200/runs/flow-run/{str(RUN)[:-1]}", "id is not whole", None),
        (f"https://proxy.example.com{APP[25:]}/runs/flow-run/{RUN}", "on an unknown host", "own URL"),
    ],
)
def test_a_url_that_cannot_be_guessed_is_refused_with_the_reason(
    text: str, problem: str, hint: str | None
) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert problem in caught.value.text
    assert (hint is None) == (caught.value.hint is None)
    assert (hint or "") in (caught.value.hint or "")


def test_a_refusal_names_the_setting_and_its_origin() -> None:
    with pytest.raises(ConfigError, match=r"^PREFECT_API_URL \(profile prod\) is empty: ''"):
        parse("", origin="profile prod")
    with pytest.raises(ConfigError) as caught:
        parse("h", setting="--url")
    assert (
        str(caught.value) == "--url does not begin with http:// or https://: 'h'\nDid you mean http://h/api ?"
    )


@pytest.mark.parametrize(
    ("text", "userinfo"),
    [
        ("http://admin:pass@h:4200/api", "admin:pass"),
        ("http://admin:p%40s%2Fs@h/api", "admin:p@s/s"),
        ("http://admin:p@ss@h/api", "admin:p@ss"),
        ("http://admin:a:b@h/api", "admin:a:b"),
        ("http://admin@h/api", "admin:"),
        ("http://:pass@h/api", ":pass"),
        ("http://@h/api", None),
        ("http://:@h/api", None),
        (f"http://admin:pass@h/runs/flow-run/{RUN}", "admin:pass"),
    ],
)
def test_credentials_are_taken_out_of_the_url(text: str, userinfo: str | None) -> None:
    address = parse(text)
    assert address.userinfo == userinfo
    assert "@" not in address.api_url
    assert "pass" not in repr(address)


def test_the_sockets_stand_beside_the_api() -> None:
    assert parse("http://h:4200/api/").logs_url == "ws://h:4200/api/logs/out"
    assert parse("https://h/base/api").logs_url == "wss://h/base/api/logs/out"
    assert parse(CLOUD).events_url == f"wss{CLOUD[5:]}/events/out"


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("http://h/api", "http://h:80"),
        ("https://h/api", "https://h:443"),
        ("wss://H:8443/api", "https://h:8443"),
        ("http://[::1]:4200/api", "http://[::1]:4200"),
    ],
)
def test_the_origin_always_has_its_port(text: str, origin: str) -> None:
    assert parse(text).origin == origin


@pytest.mark.parametrize(
    ("text", "cloud"),
    [
        (CLOUD, True),
        (CLOUD.replace("api.prefect", "api.private.prefect"), True),
        ("https://api.stg.prefect.dev/api/accounts/a/workspaces/b", True),
        ("https://api.prefect.local/api", False),
        ("https://api.prefect.evil/api/accounts/a/workspaces/b", False),
        ("https://api.prefect.cloud.evil.com/api/accounts/a/workspaces/b", False),
        ("https://api.evilprefect.cloud/api", False),
        (CLOUD.replace("https", "http").replace("prefect.cloud", "prefect.local"), False),
        ("http://api.prefect.local/api", False),
        ("https://api.prefect.example.com/api", False),
        ("https://api.prefect:4200/api", False),
        ("https://apixprefectxcloud/api", False),
        ("https://prefect.example.com/api", False),
    ],
)
def test_cloud_hosts_are_prefects_own(text: str, cloud: bool) -> None:
    assert parse(text).is_cloud_host is cloud


def test_only_a_workspaces_url_names_a_workspace() -> None:
    assert parse(CLOUD).names_workspace
    assert not parse("https://api.prefect.local/api").names_workspace


@pytest.mark.parametrize(
    ("text", "page"),
    [
        ("http://h:4200/api", f"http://h:4200/runs/flow-run/{RUN}"),
        ("http://h/base/api", f"http://h/base/runs/flow-run/{RUN}"),
        (CLOUD, f"{APP}/runs/flow-run/{RUN}"),
        ("https://api.prefect.local/api", f"https://api.prefect.local/runs/flow-run/{RUN}"),
        ("http://h/prefect", None),
    ],
)
def test_a_run_has_a_page_where_the_ui_can_be_told_from_the_api(text: str, page: str | None) -> None:
    assert parse(text).flow_run_page(RUN) == page


@pytest.mark.parametrize("text", ["http://h:4200/api", "http://h/base/api", CLOUD])
def test_a_runs_page_leads_back_to_its_api_and_run(text: str) -> None:
    page = parse(text).flow_run_page(RUN)
    assert page is not None
    assert (parse(page).api_url, parse(page).run_id) == (text, RUN)


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("http://h/x", "http://h:80/y?z", True),
        ("ws://h/x", "http://h", True),
        ("WSS://H", "https://h:443/", True),
        ("http://u:p@h/", "http://h/", True),
        ("http://[::1]/", "http://[0::1]:80/", True),
        ("http://h", "https://h", False),
        ("http://h", "http://h:8080", False),
        ("http://h", "http://h.evil", False),
        ("http://h", "http://h@evil", False),
        ("http://h", "http://evil\\@h", False),
        ("http://h", "http://h\n", False),
        ("http://h", "/relative", False),
        ("http://h", "ftp://h", False),
        ("http://h", "http://h:x", False),
        ("", "", False),
    ],
)
def test_origins_are_compared_by_scheme_host_and_port(a: str, b: str, same: bool) -> None:
    assert same_origin(a, b) is same
    assert same_origin(b, a) is same


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://h/api", "http://h/api"),
        ("http://u:secret@h/api", "http://***@h/api"),
        ("http://u:se/cr?e#t@h/api", "http://***@h/api"),
        ("u:secret@h/api", "***@h/api"),
        ("http://u:secret", "http://u:***"),
        ("http://h/api?token=secret", "http://h/api?***"),
        ("http://h/api#secret", "http://h/api#***"),
        ("pnu_secret", "***"),
        ("https://h/api/pnb_secret/x", "https://h/api/***/x"),
        ("http://[::1]:4200/api", "http://[::1]:4200/api"),
        ("pnu_secret://h", "***:***//h"),
        ("http://" + "h" * 300, "http://" + "h" * 193 + "…"),
    ],
)
def test_a_shown_url_has_no_secret_in_it(text: str, expected: str) -> None:
    assert shown(text) == expected


MARK = "S3cr3tMark"
PARTS = st.sampled_from(
    ["http", "https", "ws", "://", ":", "/", "//", "@", "?", "#", "[", "]", "\\", " ", "\n", ".", "..", "%",
     "%2F", "h", "localhost", "4200", "api", "prefect.cloud", "app.prefect.cloud", "accounts", "workspaces",
     "runs", "flow-run", str(RUN), "logs/out", "v2", "'", '"', "ü", "\u200b", "\ud800", "{", "-", "_"]
)  # fmt: skip


@given(st.lists(PARTS, max_size=16).map("".join))
def test_any_text_is_read_into_a_clean_url_or_refused(text: str) -> None:
    try:
        address = parse(text)
    except ConfigError as error:
        assert error.__context__ is None
        if error.hint and error.hint.startswith("Did you mean"):
            fix = error.hint.split()[3]
            assert parse(fix).api_url == fix
        return
    assert parse(address.api_url) == Address(address.api_url)
    assert address.api_url.startswith(("http://", "https://"))
    assert "//" not in address.api_url.partition("://")[2]
    assert not address.api_url.endswith("/")
    assert address.api_url.isascii()
    assert same_origin(address.logs_url, address.origin)


@given(st.lists(PARTS, max_size=6).map("".join), st.lists(PARTS, max_size=6).map("".join), st.booleans())
def test_what_stands_before_the_last_at_sign_is_never_shown(before: str, after: str, scheme: bool) -> None:
    text = f"{'http://' if scheme else ''}{before}:{MARK}@h{after.replace('@', '')}"
    try:
        address = parse(text)
    except ConfigError as error:
        assert MARK not in f"{error} {error!r} {error.__context__!r}"
    else:
        assert MARK not in f"{address} {address.logs_url} {address.origin} {address.changes}"
