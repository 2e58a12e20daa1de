"""Settings: arguments before Prefect's own sources, credentials sent where they belong and shown nowhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from rawlogs.config.settings import Settings, resolve
from rawlogs.config.urls import parse
from rawlogs.errors import ConfigError

URL = "http://h:4200/api"
CLOUD = "https://api.prefect.cloud/api/accounts/A/workspaces/W"
PRIVATE = CLOUD.replace("api.prefect", "api.private.prefect")
KEY = "pnu_S3cr3tMark0123456789"
AUTH = "admin:S3cr3tMark"
MARK = "S3cr3tMark"


def settle(
    cwd: Path, environ: dict[str, str] | None = None, files: dict[str, str] | None = None, **arguments: Any
) -> Settings:
    """Resolve in ``cwd``, whose ``home`` is the home, after writing ``files`` there."""
    for name, text in (files or {}).items():
        path = cwd / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    home = {"HOME": str(cwd / "home"), "USERPROFILE": str(cwd / "home")}
    return resolve(environ=home | (environ or {}), cwd=cwd, **arguments)


PROFILES = f"""
active = "prod"
[profiles.prod]
PREFECT_API_URL = "{CLOUD}"
PREFECT_API_KEY = "{KEY}"
"""


# --- precedence ---


def test_a_profile_alone_is_enough(tmp_path: Path) -> None:
    settings = settle(tmp_path, files={"home/.prefect/profiles.toml": PROFILES})
    assert (settings.api_url, settings.api_key, settings.profile) == (CLOUD, KEY, "prod")
    assert settings.is_cloud
    assert settings.notes == ()
    assert settings.origins == {
        "PREFECT_API_URL": "profile prod",
        "PREFECT_API_KEY": "profile prod",
        "PREFECT_API_AUTH_STRING": "default",
        "PREFECT_API_SSL_CERT_FILE": "default",
        "PREFECT_API_TLS_INSECURE_SKIP_VERIFY": "default",
        "PREFECT_CLIENT_CUSTOM_HEADERS": "default",
        "PREFECT_CLOUD_API_URL": "default",
        "PREFECT_PROFILE": "profiles.toml",
    }


def test_each_place_wins_over_those_after_it(tmp_path: Path) -> None:
    files = {
        "home/.prefect/profiles.toml": "active='p'\n[profiles.p]\nPREFECT_API_URL='http://profile/api'",
        "pyproject.toml": "[tool.prefect.api]\nurl='http://pyproject/api'",
        "prefect.toml": "[api]\nurl='http://prefect/api'",
        ".env": "PREFECT_API_URL=http://dotenv/api",
    }
    found = []
    for name, text in files.items():
        settings = settle(tmp_path, files={name: text})
        found.append((settings.address.endpoint[1], settings.origins["PREFECT_API_URL"]))
    environ = {"PREFECT_API_URL": "http://environment/api"}
    for arguments in ({}, {"api_url": "http://argument/api"}):
        settings = settle(tmp_path, environ, **arguments)
        found.append((settings.address.endpoint[1], settings.origins["PREFECT_API_URL"]))
    assert found == [
        ("profile", "profile p"),
        ("pyproject", "pyproject.toml"),
        ("prefect", "prefect.toml"),
        ("dotenv", ".env"),
        ("environment", "environment"),
        ("argument", "argument"),
    ]


class Named:
    """A path as another library has it."""

    def __init__(self, path: str | bytes) -> None:
        self._path = path

    def __fspath__(self) -> Any:
        return self._path


@pytest.mark.parametrize(
    "given", ["ca.pem", Path("ca.pem"), Named("ca.pem")], ids=lambda given: type(given).__name__
)
def test_a_file_is_named_by_a_text_or_a_path(tmp_path: Path, given: Any) -> None:
    assert settle(tmp_path, {}, api_url=URL, ssl_cert_file=given).ssl_cert_file == "ca.pem"


@pytest.mark.parametrize(
    "given", [b"ca.pem", Named(b"ca.pem"), 7], ids=["bytes", "a path of bytes", "a number"]
)
def test_a_file_that_is_named_by_neither_is_told(tmp_path: Path, given: Any) -> None:
    with pytest.raises(ConfigError, match=r"PREFECT_API_SSL_CERT_FILE \(argument\) is not a string"):
        settle(tmp_path, {}, api_url=URL, ssl_cert_file=given)


def test_every_argument_wins(tmp_path: Path) -> None:
    environ = {
        "PREFECT_API_URL": "http://other/api",
        "PREFECT_API_KEY": "other",
        "PREFECT_API_AUTH_STRING": "other",
        "PREFECT_API_SSL_CERT_FILE": "other",
        "PREFECT_API_TLS_INSECURE_SKIP_VERIFY": "true",
        "PREFECT_CLIENT_CUSTOM_HEADERS": '{"X-A": "other", "X-B": "kept"}',
    }
    settings = settle(
        tmp_path,
        environ,
        api_url=URL,
        api_key=KEY,
        auth_string=AUTH,
        ssl_cert_file="ca.pem",
        insecure=False,
        headers={"X-A": "mine"},
    )
    assert (settings.api_url, settings.api_key, settings.auth_string) == (URL, KEY, AUTH)
    assert (settings.ssl_cert_file, settings.insecure) == ("ca.pem", False)
    assert settings.headers == {"X-A": "mine", "X-B": "kept"}
    assert settings.origins["PREFECT_CLIENT_CUSTOM_HEADERS"] == "argument + environment"


def test_the_environment_of_the_process_and_its_directory_are_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    Path(".env").write_text(f"PREFECT_API_URL={URL}")
    monkeypatch.setenv("PREFECT_CLOUD_API_URL", "http://cloud")
    settings = resolve()
    assert (settings.api_url, settings.cloud_api_url) == (URL, "http://cloud")


def test_an_empty_value_hides_weaker_places(tmp_path: Path) -> None:
    files = {"home/.prefect/profiles.toml": PROFILES}
    with pytest.raises(ConfigError, match=r"^PREFECT_API_URL \(environment\) is set, but empty"):
        settle(tmp_path, {"PREFECT_API_URL": ""}, files)
    with pytest.raises(ConfigError) as caught:
        settle(tmp_path, {"PREFECT_API_KEY": ""}, files)
    assert "PREFECT_API_KEY is set, but empty (environment)." in (caught.value.hint or "")


def test_the_environment_wins_over_a_profile_that_was_asked_for_and_a_note_says_so(tmp_path: Path) -> None:
    files = {"home/.prefect/profiles.toml": PROFILES}
    settings = settle(
        tmp_path, {"PREFECT_API_URL": URL, "PREFECT_API_AUTH_STRING": AUTH}, files, profile="prod"
    )
    assert settings.api_url == URL
    assert settings.notes == ("the PREFECT_API_URL of environment wins over that of profile prod",)
    assert settle(tmp_path, files=files, profile="prod").notes == ()


def test_what_a_source_has_to_tell_becomes_a_note(tmp_path: Path) -> None:
    settings = settle(tmp_path, {"PREFECT_API_URL": URL, "PREFECT_PROFILE": "nope"})
    assert len(settings.notes) == 1
    assert "the profile 'nope' (environment) is not in" in settings.notes[0]


# --- the URL ---


def test_without_a_url_the_error_names_the_setting_and_the_file_looked_at(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        settle(tmp_path)
    assert caught.value.setting == "PREFECT_API_URL"
    assert str(tmp_path / "home" / ".prefect" / "profiles.toml") in caught.value.text
    assert "Set PREFECT_API_URL, for example to http://127.0.0.1:4200/api" in (caught.value.hint or "")


def test_a_page_of_the_ui_is_a_url_too(tmp_path: Path) -> None:
    run = UUID("60802438-10f0-48d7-b87a-390fcef3654e")
    page = f"https://app.prefect.cloud/account/A/workspace/W/runs/flow-run/{run}"
    settings = settle(tmp_path, api_url=page, api_key=KEY)
    assert (settings.api_url, settings.address.run_id) == (CLOUD, run)
    assert settings.notes == ()


def test_a_configured_url_that_was_read_otherwise_is_a_note(tmp_path: Path) -> None:
    settings = settle(tmp_path, {"PREFECT_API_URL": "ws://h/api/"})
    assert settings.notes == ("PREFECT_API_URL (environment): ws:// was read as http://",)


def test_a_bad_url_names_where_it_came_from(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^PREFECT_API_URL \(\.env\) leads to the server's root") as caught:
        settle(tmp_path, files={".env": "PREFECT_API_URL=http://h:4200"})
    assert caught.value.setting == "PREFECT_API_URL"


# --- which credentials go where ---


@pytest.mark.parametrize(
    ("url", "key", "auth", "token", "authorization"),
    [
        (CLOUD, KEY, None, KEY, f"Bearer {KEY}"),
        (CLOUD, None, "a:b", "a:b", "Basic YTpi"),
        (CLOUD, KEY, "a:b", KEY, "Basic YTpi"),
        (PRIVATE, KEY, None, KEY, f"Bearer {KEY}"),
        (PRIVATE, KEY, "a:b", KEY, "Basic YTpi"),
        (URL, None, None, None, None),
        (URL, None, "a:b", "a:b", "Basic YTpi"),
        (URL, KEY, "a:b", "a:b", "Basic YTpi"),
        (URL, KEY, None, KEY, f"Bearer {KEY}"),
        (URL, None, "ä:b", "ä:b", "Basic w6Q6Yg=="),
    ],
)
def test_credentials_go_where_prefect_sends_them(
    tmp_path: Path, url: str, key: str | None, auth: str | None, token: str | None, authorization: str | None
) -> None:
    named = {"PREFECT_API_URL": url, "PREFECT_API_KEY": key, "PREFECT_API_AUTH_STRING": auth}
    settings = settle(tmp_path, {name: value for name, value in named.items() if value is not None})
    assert (settings.websocket_token, settings.authorization) == (token, authorization)


@pytest.mark.parametrize("url", [CLOUD, URL])
def test_a_credential_given_as_an_argument_is_taken_before_one_that_was_not(tmp_path: Path, url: str) -> None:
    environ = {"PREFECT_API_URL": url, "PREFECT_API_KEY": "other", "PREFECT_API_AUTH_STRING": "a:other"}
    settings = settle(tmp_path, environ, api_key=KEY)
    assert (settings.websocket_token, settings.authorization) == (KEY, f"Bearer {KEY}")
    settings = settle(tmp_path, environ, auth_string="a:b")
    assert (settings.websocket_token, settings.authorization) == ("a:b", "Basic YTpi")


@pytest.mark.parametrize(
    ("url", "cloud_api_url", "cloud"),
    [
        (CLOUD, None, True),
        (PRIVATE, None, True),
        ("https://api.stg.prefect.dev/api/accounts/a/workspaces/b", None, True),
        ("https://api.prefect.local/api", None, False),
        ("https://api.prefect.evil/api/accounts/a/workspaces/b", None, False),
        (URL, None, False),
        (URL, "http://h:4200/api", True),
        (URL, "HTTP://H:4200/", True),
        (URL, "http://h:4200/ap", False),
        (URL, "", False),
        (CLOUD, "https://elsewhere/api", True),
    ],
)
def test_cloud_is_known_by_the_setting_or_by_host_and_path(
    tmp_path: Path, url: str, cloud_api_url: str | None, cloud: bool
) -> None:
    environ = {"PREFECT_API_URL": url, "PREFECT_API_KEY": KEY}
    if cloud_api_url is not None:
        environ["PREFECT_CLOUD_API_URL"] = cloud_api_url
    assert settle(tmp_path, environ).is_cloud is cloud


@pytest.mark.parametrize("url", [CLOUD, PRIVATE])
def test_cloud_without_a_key_is_refused_before_any_connection(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigError, match="Prefect Cloud's, but no API key is set") as caught:
        settle(tmp_path, {"PREFECT_API_URL": url})
    assert caught.value.setting == "PREFECT_API_KEY"
    assert "profiles.toml" in (caught.value.hint or "")


def test_a_key_for_a_self_hosted_server_is_sent_with_a_note(tmp_path: Path) -> None:
    settings = settle(tmp_path, {"PREFECT_API_URL": URL, "PREFECT_API_KEY": KEY})
    assert settings.notes == (
        "the API key (environment) is sent to http://h:4200, which is not Prefect Cloud; "
        "a self-hosted server takes PREFECT_API_AUTH_STRING",
    )
    settings = settle(
        tmp_path, {"PREFECT_API_URL": URL, "PREFECT_API_KEY": KEY, "PREFECT_API_AUTH_STRING": AUTH}
    )
    assert settings.notes == ()


EVIL = "https://api.prefect.evil/api/accounts/A/workspaces/W"
NAMES = {
    ".env": "PREFECT_{0}={1}\n",
    "prefect.toml": "[api]\n{2} = {3}\n",
    "pyproject.toml": "[tool.prefect.api]\n{2} = {3}\n",
}


def in_file(name: str, setting: str, value: str) -> dict[str, str]:
    """A file of the working directory with one setting."""
    quoted = value if value == "true" else f"'{value}'"
    key = {"API_URL": "url", "API_TLS_INSECURE_SKIP_VERIFY": "tls_insecure_skip_verify"}.get(
        setting, "ssl_cert_file"
    )
    return {name: NAMES[name].format(setting, value, key, quoted)}


PROFILE_KEY = {"home/.prefect/profiles.toml": f'active = "p"\n[profiles.p]\nPREFECT_API_KEY = "{KEY}"\n'}
OWN: dict[str, tuple[dict[str, str], dict[str, str], str]] = {
    "a key of the environment": ({"PREFECT_API_KEY": KEY}, {}, "PREFECT_API_KEY (environment)"),
    "a key of a profile": ({}, PROFILE_KEY, "PREFECT_API_KEY (profile p)"),
    "an auth string": ({"PREFECT_API_AUTH_STRING": AUTH}, {}, "PREFECT_API_AUTH_STRING (environment)"),
    "a header": (
        {"PREFECT_CLIENT_CUSTOM_HEADERS": '{"CF-Access-Client-Secret": "x"}'},
        {},
        "PREFECT_CLIENT_CUSTOM_HEADERS (environment)",
    ),
    "two of them": (
        {"PREFECT_API_KEY": KEY, "PREFECT_API_AUTH_STRING": AUTH},
        {},
        "PREFECT_API_KEY (environment) and PREFECT_API_AUTH_STRING (environment)",
    ),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("own", OWN)
def test_credentials_that_a_file_of_the_folder_sends_elsewhere_are_a_note(
    tmp_path: Path, name: str, own: str
) -> None:
    """Once, with the place of both; also where the file makes that host Prefect Cloud by its own word."""
    environ, files, carried = OWN[own]
    settings = settle(tmp_path, environ, files | in_file(name, "API_URL", EVIL))
    assert settings.notes == (
        f"https://api.prefect.evil:443, which PREFECT_API_URL ({name}) of the working directory names, gets {carried}",
    )
    assert not settings.is_cloud
    with_cloud = files | in_file(name, "API_URL", EVIL)
    with_cloud[".env"] = with_cloud.get(".env", "") + f"PREFECT_CLOUD_API_URL={EVIL}\n"
    settings = settle(tmp_path, environ, with_cloud)
    assert not settings.is_cloud
    assert sum("gets PREFECT" in note for note in settings.notes) == 1


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("setting", "value"),
    [("API_TLS_INSECURE_SKIP_VERIFY", "true"), ("API_SSL_CERT_FILE", "ca.pem")],
)
def test_a_folder_that_decides_about_certificates_is_a_note(
    tmp_path: Path, name: str, setting: str, value: str
) -> None:
    """Whoever is in between could read the key, Prefect Cloud's too."""
    environ = {"PREFECT_API_URL": CLOUD, "PREFECT_API_KEY": KEY}
    settings = settle(tmp_path, environ, in_file(name, setting, value))
    assert settings.notes == (
        f"PREFECT_{setting} ({name}) of the working directory decides which certificates are accepted where "
        "PREFECT_API_KEY (environment) is sent",
    )
    assert settle(tmp_path, environ | {"PREFECT_API_URL": URL, "PREFECT_API_AUTH_STRING": AUTH}).notes == ()


@pytest.mark.parametrize(
    ("environ", "files", "arguments"),
    [
        pytest.param(
            {}, {".env": f"PREFECT_API_URL={URL}\nPREFECT_API_AUTH_STRING={AUTH}\n"}, {}, id="all of it there"
        ),
        pytest.param({"PREFECT_API_URL": URL, "PREFECT_API_AUTH_STRING": AUTH}, {}, {}, id="nothing there"),
        pytest.param({}, {".env": f"PREFECT_API_URL={URL}"}, {"auth_string": AUTH}, id="an argument"),
        pytest.param(
            {"PREFECT_API_KEY": KEY}, {".env": f"PREFECT_API_URL={CLOUD}"}, {}, id="Prefect's own host"
        ),
        pytest.param({}, {".env": f"PREFECT_API_URL={URL}"}, {}, id="no credentials"),
        pytest.param(
            {"PREFECT_API_URL": URL, "PREFECT_API_AUTH_STRING": AUTH},
            {".env": "PREFECT_API_TLS_INSECURE_SKIP_VERIFY=1"},
            {},
            id="no TLS to switch off",
        ),
    ],
)
def test_who_has_written_both_is_not_warned(
    tmp_path: Path, environ: dict[str, str], files: dict[str, str], arguments: dict[str, str]
) -> None:
    assert settle(tmp_path, environ, files, **arguments).notes == ()


def test_a_profile_that_the_folder_brings_along_is_not_ones_own(tmp_path: Path) -> None:
    """Neither its URL nor what it says about certificates; the key of the environment is."""
    files = {
        ".env": "PREFECT_PROFILES_PATH=own.toml",
        "own.toml": f"active='p'\n[profiles.p]\nPREFECT_API_URL='{EVIL}'\nPREFECT_API_TLS_INSECURE_SKIP_VERIFY='1'",
    }
    settings = settle(tmp_path, {"PREFECT_API_KEY": KEY}, files)
    assert [note.split(" ")[0] for note in settings.notes] == [
        "https://api.prefect.evil:443,",
        "PREFECT_API_TLS_INSECURE_SKIP_VERIFY",
    ]
    assert all("(profile p, named by .env)" in note for note in settings.notes)


def test_an_auth_string_that_takes_the_keys_place_on_cloud_is_a_note(tmp_path: Path) -> None:
    environ = {"PREFECT_API_URL": CLOUD, "PREFECT_API_KEY": KEY, "PREFECT_API_AUTH_STRING": AUTH}
    (note,) = settle(tmp_path, environ).notes
    assert note.startswith("REST requests to Prefect Cloud carry PREFECT_API_AUTH_STRING (environment)")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (f"{KEY}\n", KEY),
        (f" {KEY}\r\n", KEY),
        (f'"{KEY}"', KEY),
        (f"' {KEY} '\n", KEY),
        (" \n", None),
    ],
)
def test_white_space_and_quotes_around_a_key_are_left_out_with_a_note(
    tmp_path: Path, text: str, key: str | None
) -> None:
    settings = settle(
        tmp_path, {"PREFECT_API_URL": URL, "PREFECT_API_KEY": text, "PREFECT_API_AUTH_STRING": "a:b"}
    )
    assert settings.api_key == key
    assert settings.notes == ("PREFECT_API_KEY (environment): white space or quotes around it were left out",)


@pytest.mark.parametrize(
    ("text", "auth", "note"),
    [
        ("admin:pass\r\n", "admin:pass", "line breaks around it were left out"),
        ("admin: pass ", "admin: pass ", None),
        ('"admin:pass"', '"admin:pass"', None),
        ("admin:pässword", "admin:pässword", "not plain ASCII, which no server from 3.6.22 on can accept"),
        ("", None, None),
    ],
)
def test_an_auth_string_is_kept_but_for_line_breaks_around_it(
    tmp_path: Path, text: str, auth: str | None, note: str | None
) -> None:
    settings = settle(tmp_path, {"PREFECT_API_URL": URL, "PREFECT_API_AUTH_STRING": text})
    assert settings.auth_string == auth
    assert len(settings.notes) == (note is not None)
    assert (note or "") in "".join(settings.notes)


@pytest.mark.parametrize(
    ("environ", "arguments", "auth", "note"),
    [
        ({"PREFECT_API_URL": "http://u:p@h/api"}, {}, "u:p", "are used"),
        ({"PREFECT_API_URL": "http://u:p@h/api", "PREFECT_API_AUTH_STRING": ""}, {}, "u:p", "are used"),
        (
            {"PREFECT_API_URL": "http://u:p@h/api", "PREFECT_API_AUTH_STRING": "a:b"},
            {},
            "a:b",
            "are not used",
        ),
        ({"PREFECT_API_AUTH_STRING": "a:b"}, {"api_url": "http://u:p@h/api"}, "u:p", "are used"),
        ({}, {"api_url": "http://u:p@h/api", "auth_string": "a:b"}, "a:b", "are not used"),
    ],
)
def test_credentials_inside_the_url_stand_in_for_the_auth_string(
    tmp_path: Path, environ: dict[str, str], arguments: dict[str, str], auth: str, note: str
) -> None:
    settings = settle(tmp_path, environ, **arguments)
    assert settings.auth_string == auth
    assert settings.websocket_token == auth
    assert [text for text in settings.notes if f"the credentials inside the API URL {note}" in text]


# --- the rest ---


@pytest.mark.parametrize(
    ("value", "insecure"),
    [("true", True), ("ON", True), ("y", True), ("1", True), ("False", False), ("off", False), ("0", False)],
)
def test_booleans_are_those_of_prefect(tmp_path: Path, value: str, insecure: bool) -> None:
    environ = {"PREFECT_API_URL": URL, "PREFECT_API_TLS_INSECURE_SKIP_VERIFY": value}
    assert settle(tmp_path, environ).insecure is insecure


@pytest.mark.parametrize("value", ["", "maybe", " true", "2", "null"])
def test_other_words_are_no_booleans(tmp_path: Path, value: str) -> None:
    with pytest.raises(ConfigError, match=r"INSECURE_SKIP_VERIFY \(environment\) is neither true nor false"):
        settle(tmp_path, {"PREFECT_API_URL": URL, "PREFECT_API_TLS_INSECURE_SKIP_VERIFY": value})


@pytest.mark.parametrize(
    ("toml", "insecure"),
    [("true", True), ("1", True), ("1.0", True), ("false", False), ("0", False), ("'no'", False)],
)
def test_booleans_in_toml_may_be_of_any_type(tmp_path: Path, toml: str, insecure: bool) -> None:
    files = {"prefect.toml": f"[api]\nurl='{URL}'\ntls_insecure_skip_verify={toml}"}
    assert settle(tmp_path, files=files).insecure is insecure


@pytest.mark.parametrize("key", ["url", "key", "auth_string", "ssl_cert_file"])
def test_a_text_in_toml_must_be_a_string(tmp_path: Path, key: str) -> None:
    with pytest.raises(ConfigError, match=r"\(prefect\.toml\) is not a string"):
        settle(
            tmp_path,
            files={
                "prefect.toml": f"[api]\n{key} = 7",
                "pyproject.toml": f"[tool.prefect.api]\nurl = '{URL}'",
            },
        )


@pytest.mark.parametrize(
    ("environ", "path", "origin"),
    [
        ({}, None, "default"),
        ({"SSL_CERT_FILE": "s.pem"}, "s.pem", "environment"),
        ({"SSL_CERT_FILE": "s.pem", "PREFECT_API_SSL_CERT_FILE": "p.pem"}, "p.pem", "environment"),
        ({"SSL_CERT_FILE": "s.pem", "PREFECT_API_SSL_CERT_FILE": ""}, None, "environment"),
        ({"ssl_cert_file": "s.pem"}, None, "default"),
    ],
)
def test_ssl_cert_file_stands_in_for_prefects_own(
    tmp_path: Path, environ: dict[str, str], path: str | None, origin: str
) -> None:
    settings = settle(tmp_path, {"PREFECT_API_URL": URL} | environ)
    assert (settings.ssl_cert_file, settings.origins["PREFECT_API_SSL_CERT_FILE"]) == (path, origin)


def test_plain_http_has_no_ssl_context() -> None:
    assert Settings(parse(URL), ssl_cert_file="/does/not/exist").ssl_context() is None


def test_https_has_an_ssl_context_made_of_the_settings() -> None:
    context = Settings(parse(CLOUD), insecure=True).ssl_context()
    assert context is not None
    assert not context.check_hostname
    with pytest.raises(ConfigError, match=r"The CA file /does/not/exist \(\.env\) cannot be used"):
        Settings(
            parse(CLOUD), ssl_cert_file="/does/not/exist", origins={"PREFECT_API_SSL_CERT_FILE": ".env"}
        ).ssl_context()


def test_the_proxy_is_decided_by_the_api_url(tmp_path: Path) -> None:
    environ = {"HTTPS_PROXY": "http://proxy:1", "HTTP_PROXY": "http://proxy:2", "NO_PROXY": "local"}
    settings = settle(tmp_path, environ, api_url="ws://h:4200/api")
    assert (settings.proxy, settings.proxy_origin) == ("http://proxy:2", "HTTP_PROXY")
    settings = settle(tmp_path, environ, api_url="wss://h/api")
    assert (settings.proxy, settings.proxy_origin) == ("http://proxy:1", "HTTPS_PROXY")
    settings = settle(tmp_path, environ, api_url="http://h.local/api")
    assert (settings.proxy, settings.proxy_origin) == (None, None)


def test_a_socks_proxy_without_its_packages_is_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rawlogs.config.network.find_spec", lambda name: None)
    settings = settle(tmp_path, {"ALL_PROXY": "socks5://proxy:1"}, api_url=URL)
    assert settings.proxy == "socks5://proxy:1"
    assert settings.notes == (
        "the proxy of ALL_PROXY is a SOCKS proxy, which cannot be used without python-socks and socksio",
    )


def test_protected_headers_are_left_out_with_a_note(tmp_path: Path) -> None:
    settings = settle(tmp_path, api_url=URL, headers={"Host": "x", "X-A": "1"})
    assert settings.headers == {"X-A": "1"}
    assert settings.notes == ("the custom header Host (argument) was left out: it is not for users to set",)


# --- secrets ---


@pytest.mark.parametrize(
    ("secret", "shown"),
    [
        (None, "not set"),
        ("", "not set"),
        ("pnu_0123456789abcdef0123456789abcdef", "pnu_… (36 characters, sha256 57623ea7)"),
        ("admin:pass", "… (10 characters)"),
    ],
)
def test_a_fingerprint_tells_secrets_apart_and_does_not_tell_them(secret: str | None, shown: str) -> None:
    assert Settings.fingerprint(secret) == shown


def test_the_repr_shows_all_but_secrets(tmp_path: Path) -> None:
    environ = {"HTTP_PROXY": f"http://u:{MARK}@proxy:1", "PREFECT_API_KEY": KEY}
    settings = settle(tmp_path, environ, api_url=f"http://u:{MARK}@h:4200/api", headers={"X-A": MARK})
    assert repr(settings) == (
        "<Settings http://h:4200/api profile=None api_key='pnu_… (24 characters, sha256 541706b3)' "
        "auth_string='… (12 characters)' headers=['X-A'] proxy=http://***@proxy:1 insecure=False>"
    )


def test_secrets_are_all_listed_the_longest_first(tmp_path: Path) -> None:
    environ = {"HTTP_PROXY": "http://u:proxy%40word@proxy:1", "PREFECT_API_KEY": KEY}
    settings = settle(
        tmp_path,
        environ,
        api_url="http://u:urlword@h:4200/api",
        auth_string="admin:password",
        headers={"X-A": "header value", "X-B": "on"},
    )
    secrets = settings.secrets()
    assert set(secrets) == {
        KEY,
        "admin:password",
        "password",
        "YWRtaW46cGFzc3dvcmQ=",
        "u:urlword",
        "urlword",
        "dTp1cmx3b3Jk",
        "header value",
        "u:proxy%40word",
        "proxy@word",
        "u:proxy@word",
    }
    assert [len(text) for text in secrets] == sorted(map(len, secrets), reverse=True)
    assert Settings(parse(URL)).secrets() == ()


def test_a_user_whom_every_conversation_names_is_no_secret(tmp_path: Path) -> None:
    """To hide ``prefect`` would tear the names of all loggers."""
    secrets = settle(tmp_path, api_url=URL, auth_string="prefect:S3cr3tMark").secrets()
    assert "prefect" not in secrets
    assert {"prefect:S3cr3tMark", "S3cr3tMark"} <= set(secrets)
    assert "operator" in settle(tmp_path, api_url=URL, auth_string="operator:S3cr3tMark").secrets()


@pytest.mark.parametrize(
    ("environ", "files"),
    [
        ({"PREFECT_API_KEY": f"{MARK}\n{MARK}"}, {}),
        ({"PREFECT_API_KEY": f"{MARK} {MARK}"}, {}),
        ({"PREFECT_API_KEY": f"{MARK}é"}, {}),
        ({"PREFECT_API_KEY": f"{MARK}\udc80"}, {}),
        ({"PREFECT_API_AUTH_STRING": f"a:{MARK}\nx"}, {}),
        ({"PREFECT_API_AUTH_STRING": f"a:{MARK}\udc80"}, {}),
        ({"PREFECT_API_URL": f"http://a:{MARK}%0a@h/api"}, {}),
        ({"PREFECT_API_URL": f"http://a:{MARK}@h"}, {}),
        ({"PREFECT_API_URL": f"http://a:{MARK}/@h/api"}, {}),
        ({"PREFECT_API_URL": f"a:{MARK}@h:x"}, {}),
        ({"PREFECT_API_URL": f"{URL}?token={MARK}"}, {}),
        ({"PREFECT_API_URL": f"pnu_{MARK}"}, {}),
        ({"PREFECT_API_URL": f"http://a:{MARK}\udc80@h/api"}, {}),
        ({"PREFECT_API_URL": f"http://a:{MARK}\u2100@h/api/../x"}, {}),
        ({"PREFECT_API_TLS_INSECURE_SKIP_VERIFY": MARK}, {}),
        ({"PREFECT_CLIENT_CUSTOM_HEADERS": f'{{"X": "{MARK}"'}, {}),
        ({"PREFECT_CLIENT_CUSTOM_HEADERS": f'{{"X": "{MARK}\\n1"}}'}, {}),
        ({"HTTP_PROXY": f"http://a:{MARK}@"}, {}),
        ({}, {".env": f"PREFECT_API_KEY='{MARK} x'"}),
        ({}, {"prefect.toml": f"[api]\nkey = {MARK}"}),
        ({}, {"prefect.toml": f"[api]\nkey = ['{MARK}']"}),
        ({}, {"home/.prefect/profiles.toml": f"active='p'\n[profiles.p]\nPREFECT_API_KEY=['{MARK}']"}),
        (
            {},
            {
                "home/.prefect/profiles.toml": "active='p'\n[profiles.p.PREFECT_CLIENT_CUSTOM_HEADERS]\n"
                f"X='{MARK}'"
            },
        ),
    ],
)
def test_no_error_shows_a_secret(tmp_path: Path, environ: dict[str, str], files: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as caught:
        settle(tmp_path, {"PREFECT_API_URL": URL} | environ, files)
    assert MARK not in f"{caught.value} {caught.value!r} {caught.value.__context__!r}"


def test_no_note_and_no_repr_shows_a_secret(tmp_path: Path) -> None:
    environ = {
        "PREFECT_API_URL": f"ws://a:{MARK}é@h:4200/api/logs/out",
        "PREFECT_API_KEY": f' "{MARK}"\n',
        "PREFECT_CLIENT_CUSTOM_HEADERS": f'{{"Host": "{MARK}", "X-A": "{MARK}"}}',
        "HTTP_PROXY": f"socks5://{MARK}:{MARK}@proxy",
        "PREFECT_PROFILE": "nope",
    }
    settings = settle(tmp_path, environ, {".env": f"A='{MARK}"})
    assert len(settings.notes) >= 6
    assert MARK not in f"{settings!r} {settings} {settings.notes} {settings.origins} {settings.address!r}"


def test_importing_settings_loads_nothing_heavy() -> None:
    heavy = "ssl, certifi, httpx, websockets, pydantic, click, orjson, asyncio, urllib.request, tomllib"
    script = (
        f"import sys, rawlogs.config.settings; print([m for m in {heavy.split(', ')} if m in sys.modules])"
    )
    # Where coverage measures this process, it would load modules of its own.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    ran = subprocess.run(
        [sys.executable, "-c", script], env=environ, capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("file", "text", "sentence"),
    [
        (
            "prefect.toml",
            "# mine\nPREFECT_API_URL = 'http://h/api'\n",
            "prefect.toml, line 2: PREFECT_API_URL is not read",
        ),
        (
            "prefect.toml",
            "api_url = 'http://h/api'\n[api]\n",
            "prefect.toml, line 1: api_url is not read there",
        ),
        (
            ".env",
            "A=1\n\nexport PREFECT_HOME=/srv\n",
            ".env, line 3: PREFECT_HOME is read from the environment only",
        ),
    ],
)
def test_a_line_that_prefect_does_not_read_is_pointed_at_where_no_url_is_set(
    tmp_path: Path, file: str, text: str, sentence: str
) -> None:
    (tmp_path / file).write_text(text)
    with pytest.raises(ConfigError, match="No API URL is set") as caught:
        resolve(environ={"PREFECT_HOME": str(tmp_path / "none")}, cwd=tmp_path)
    assert sentence in (caught.value.hint or "")
    assert caught.value.missing


def test_a_setting_of_another_table_is_not_pointed_at(tmp_path: Path) -> None:
    (tmp_path / "prefect.toml").write_text("[server]\nurl = 'http://h/api'\n")
    with pytest.raises(ConfigError) as caught:
        resolve(environ={"PREFECT_HOME": str(tmp_path / "none")}, cwd=tmp_path)
    assert (caught.value.hint or "").startswith("Set PREFECT_API_URL")
