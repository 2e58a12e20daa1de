"""Prefect itself and rawlogs read the same files and variables, and come to the same settings.

One process imports Prefect once; each case is a fork of it, in a directory of its own.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import certifi
import pytest

from rawlogs.config import dotenv
from rawlogs.config.settings import resolve
from rawlogs.errors import ConfigError

from . import prefect_env

pytestmark = pytest.mark.real

VERSION = prefect_env.DEFAULT_VERSIONS[0]

DRIVER = r"""
import contextlib, io, json, os, sys, traceback

job = json.load(sys.stdin)


def plain(secret):
    return None if secret is None else secret.get_secret_value()


def settings_of():
    import prefect.context

    prefect.context.GLOBAL_SETTINGS_CONTEXT = None  # or the profiles of the first import would be looked at
    told = io.StringIO()
    with contextlib.redirect_stderr(told):
        context = prefect.context.root_settings_context()
    settings = context.settings
    found = {
        "url": settings.api.url,
        "key": plain(settings.api.key),
        "auth_string": plain(settings.api.auth_string),
        "ssl_cert_file": settings.api.ssl_cert_file,
        "insecure": settings.api.tls_insecure_skip_verify,
        "headers": settings.client.custom_headers,
        "cloud_api_url": settings.cloud.api_url,
        "unknown_profile": "not found" in told.getvalue(),
    }
    if found["url"]:
        from prefect.client.orchestration import get_client
        from prefect.logging.clients import get_logs_subscriber

        prefect.context.GLOBAL_SETTINGS_CONTEXT = context
        subscriber = get_logs_subscriber()
        found["token"] = subscriber._api_key or subscriber._auth_token
        found["authorization"] = get_client(sync_client=True)._client.headers.get("Authorization")
    return found


def answer(case):
    os.chdir(case["cwd"])
    os.environ.clear()
    os.environ.update(case["environ"])
    try:
        return settings_of()
    except BaseException as error:
        return {"error": f"{type(error).__name__}: {error}"}


def forked(case):
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.close(reader)
        sys.stdout = sys.stderr = io.StringIO()
        with open(writer, "w") as out:
            json.dump(answer(case), out)
        os._exit(0)
    os.close(writer)
    with open(reader) as out:
        text = out.read()
    os.wait()
    return json.loads(text)


# What Prefect imports, but nothing of its own.
import cachetools, dotenv, httpx, pydantic, pydantic_settings, toml

answers = {}
for case in job["cases"]:
    if case["fresh"]:
        answers[case["name"]] = forked(case)
import prefect.client.orchestration, prefect.logging.clients

for case in job["cases"]:
    if not case["fresh"]:
        answers[case["name"]] = forked(case)

os.environ.clear()
os.environ.update(job["dotenv_environ"])
texts = [dotenv.dotenv_values(stream=io.StringIO(text, newline="")) for text in job["dotenv_texts"]]
json.dump({"answers": answers, "dotenv": texts}, sys.stdout)
"""


@dataclass(frozen=True)
class Case:
    """``files`` stand below the working directory, whose ``home`` is the home directory."""

    name: str
    files: Mapping[str, str] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict)

    @property
    def fresh(self) -> bool:
        """Whether it depends on what Prefect reads while it is imported."""
        return "SSL_CERT_FILE" in self.environ or any(name.startswith("home/") for name in self.files)


URL = "http://one:4200/api"
CLOUD = "https://api.prefect.cloud/api/accounts/A/workspaces/W"
HOME = "home/.prefect/profiles.toml"
HEADERS = "PREFECT_CLIENT_CUSTOM_HEADERS"
INSECURE = "PREFECT_API_TLS_INSECURE_SKIP_VERIFY"
CERT = "PREFECT_API_SSL_CERT_FILE"
CERTIFICATES = (
    "ca.pem",
    "s.pem",
    "p.pem",
)  # every case has these; Prefect's client opens the one that is set
PATH = {"PREFECT_PROFILES_PATH": "p.toml"}


def profile(active: str | None, /, **profiles: Mapping[str, str] | str) -> str:
    """The text of a profiles.toml."""
    lines = [] if active is None else [f'active = "{active}"']
    for name, values in profiles.items():
        lines.append(f"[profiles.{name}]")
        if isinstance(values, str):
            lines.append(values)
        else:
            lines += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    return "\n".join(lines)


def in_place(place: str, name: str, value: str) -> Case:
    """One setting, as text, in one place, beside a URL in the environment."""
    environ, files = {"PREFECT_API_URL": URL}, {}
    table, key = {
        INSECURE: ("api", "tls_insecure_skip_verify"),
        HEADERS: ("client", "custom_headers"),
        CERT: ("api", "ssl_cert_file"),
    }[name]
    quoted = json.dumps(value)
    if place == "environment":
        environ[name] = value
    elif place == ".env":
        files[".env"] = f"{name}={quoted}"
    elif place == "prefect.toml":
        files["prefect.toml"] = f"[{table}]\n{key} = {quoted}"
    elif place == "pyproject.toml":
        files["pyproject.toml"] = f"[tool.prefect.{table}]\n{key} = {quoted}"
    else:
        environ |= PATH
        files["p.toml"] = profile("p", p={name: value})
    return Case(f"{name} in {place}: {value!r}", files, environ)


PLACES = ("environment", ".env", "prefect.toml", "pyproject.toml", "profile")
ALL = {
    "p.toml": profile("p", p={"PREFECT_API_URL": "http://profile/api", "PREFECT_API_KEY": "profile"}),
    "pyproject.toml": "[tool.prefect.api]\nurl = 'http://pyproject/api'\nkey = 'pyproject'",
    "prefect.toml": "[api]\nurl = 'http://prefect/api'\nkey = 'prefect'",
    ".env": "PREFECT_API_URL=http://dotenv/api\nPREFECT_API_KEY=dotenv",
}
TWO = profile("a", a={"PREFECT_API_URL": "http://a/api"}, b={"PREFECT_API_URL": "http://b/api"})
MERGED = {
    ".env": f"""{HEADERS}='{{"X-A": "dotenv", "X-B": "dotenv"}}'""",
    "prefect.toml": "[client]\ncustom_headers = { X-B = 'prefect', X-C = 'prefect' }",
    "pyproject.toml": "[tool.prefect.client.custom_headers]\nX-C = 'pyproject'\nX-D = 'pyproject'",
    "p.toml": profile("p", p={HEADERS: '{"X-D": "profile", "X-E": "profile"}'}),
}

CASES = [
    # which place wins
    Case("nothing at all"),
    Case("the environment wins", ALL, {**PATH, "PREFECT_API_URL": URL, "PREFECT_API_KEY": "environment"}),
    Case(".env is next", ALL, PATH),
    Case("prefect.toml is next", {k: v for k, v in ALL.items() if k != ".env"}, PATH),
    Case("pyproject.toml is next", {k: ALL[k] for k in ("p.toml", "pyproject.toml")}, PATH),
    Case("the profile is last", {"p.toml": ALL["p.toml"]}, PATH),
    Case("each setting for itself", {**ALL, ".env": "PREFECT_API_KEY=dotenv"},
         {**PATH, "PREFECT_API_URL": URL}),
    Case("environment in lower case", {}, {"prefect_api_url": URL}),
    Case("environment in mixed case", {}, {"Prefect_Api_Url": URL}),
    Case("environment in two cases", {}, {"PREFECT_API_URL": "http://upper/api", "prefect_api_url": URL}),
    Case(".env in lower case", {".env": f"prefect_api_url={URL}"}),
    Case(".env twice", {".env": f"PREFECT_API_URL=http://first/api\nPREFECT_API_URL={URL}"}),
    Case(".env twice in two cases", {".env": f"PREFECT_API_URL=http://first/api\nprefect_api_url={URL}"}),
    Case("empty URL in the environment", ALL, {**PATH, "PREFECT_API_URL": ""}),
    Case("empty URL in .env", {**ALL, ".env": "PREFECT_API_URL="}, PATH),
    Case("empty URL in prefect.toml", {**ALL, ".env": "", "prefect.toml": "api.url=''"}, PATH),
    Case("empty key in the environment", ALL, {**PATH, "PREFECT_API_KEY": ""}),
    Case("name without a value in .env", {**ALL, ".env": "PREFECT_API_URL"}, PATH),
    Case("empty URL in the profile", {"p.toml": profile("p", p={"PREFECT_API_URL": ""})}, PATH),
    # .env
    Case("export and quotes", {".env": f"export PREFECT_API_URL='{URL}' # x\nexport PREFECT_API_KEY=\"k\""}),
    Case("a comment in .env", {".env": f"PREFECT_API_URL={URL} # mine\nPREFECT_API_KEY=k#ey"}),
    Case("a variable in .env", {".env": "PREFECT_API_URL=http://${WHERE}/api"}, {"WHERE": "one"}),
    Case("a variable of .env itself", {".env": "W=one\nPREFECT_API_URL=http://${W}/${V:-api}"}),
    Case("a bad line in .env", {".env": f"=x\nPREFECT_API_URL={URL}\n'"}),
    Case("a mark at the start of .env", {".env": f"\ufeffPREFECT_API_URL={URL}"}),
    Case("line ends of Windows in .env", {".env": f"PREFECT_API_URL={URL}\r\nPREFECT_API_KEY=k\r\n"}),
    # TOML
    Case("dotted keys", {"prefect.toml": f"api.url = '{URL}'\napi.auth_string = 'a:b'"}),
    Case("upper case in TOML", {"prefect.toml": f"[API]\nURL='{URL}'\n[api]\nPREFECT_API_URL='{URL}'"}),
    Case("a number for a URL", {"prefect.toml": "[api]\nurl = 7"}),
    Case("a table for a URL", {"prefect.toml": "[api.url]\nx = 7"}),
    Case("a list for a key", {"prefect.toml": f"[api]\nurl='{URL}'\nkey = ['k']"}),
    Case("a hidden number", {"prefect.toml": "[api]\nurl = 7"}, {"PREFECT_API_URL": URL}),
    Case("a value for a table", {"prefect.toml": "api = 1"}, {"PREFECT_API_URL": URL}),
    Case("a value for [tool.prefect]", {"pyproject.toml": "tool.prefect = 1"}, {"PREFECT_API_URL": URL}),
    Case("broken prefect.toml", {"prefect.toml": "[api"}, {"PREFECT_API_URL": URL}),
    Case("broken pyproject.toml", {"pyproject.toml": "x ="}, {"PREFECT_API_URL": URL}),
    Case("a mark at the start of TOML", {"prefect.toml": f"\ufeffapi.url='{URL}'"}),
    Case("pyproject.toml of others", {"pyproject.toml": "[tool.other]\nx = 1"}, {"PREFECT_API_URL": URL}),
    # which profiles.toml
    Case("the default file", {HOME: TWO}),
    Case("PREFECT_HOME", {"ph/profiles.toml": TWO}, {"PREFECT_HOME": "ph"}),
    Case("PREFECT_HOME over the default file", {HOME: profile("a", a={"PREFECT_API_URL": URL}), "ph/x": ""},
         {"PREFECT_HOME": "ph"}),
    Case("empty PREFECT_HOME", {HOME: TWO}, {"PREFECT_HOME": ""}),
    Case("PREFECT_HOME in .env", {HOME: TWO, "ph/profiles.toml": "", ".env": "PREFECT_HOME=ph"}),
    Case("path over PREFECT_HOME", {"ph/profiles.toml": "", "p.toml": TWO}, {**PATH, "PREFECT_HOME": "ph"}),
    Case("path in .env", {".env": "PREFECT_PROFILES_PATH=p.toml", "p.toml": TWO}),
    Case("path in .env in lower case", {".env": "prefect_profiles_path=p.toml", "p.toml": TWO}),
    Case("path in prefect.toml", {"prefect.toml": "profiles_path='p.toml'", "p.toml": TWO}),
    Case("path in pyproject.toml", {"pyproject.toml": "tool.prefect.profiles_path='p.toml'", "p.toml": TWO}),
    Case("a number for the path", {"prefect.toml": "profiles_path=7"}, {"PREFECT_API_URL": URL}),
    Case("path with a tilde", {HOME: TWO}, {"PREFECT_PROFILES_PATH": "~/.prefect/profiles.toml"}),
    Case("path to nothing", {HOME: TWO}, {"PREFECT_PROFILES_PATH": "none.toml"}),
    # which profile
    Case("PREFECT_PROFILE", {"p.toml": TWO}, {**PATH, "PREFECT_PROFILE": "b"}),
    Case("empty PREFECT_PROFILE", {HOME: TWO}, {"PREFECT_PROFILE": ""}),
    Case("PREFECT_PROFILE in lower case", {"p.toml": TWO}, {**PATH, "prefect_profile": "b"}),
    Case("PREFECT_PROFILE in .env", {"p.toml": TWO, ".env": "PREFECT_PROFILE=b"}, PATH),
    Case("unknown PREFECT_PROFILE", {"p.toml": TWO}, {**PATH, "PREFECT_PROFILE": "c"}),
    Case("unknown active profile", {"p.toml": TWO.replace('"a"', '"c"')}, PATH),
    Case("unknown profile, URL elsewhere", {"p.toml": TWO},
         {**PATH, "PREFECT_PROFILE": "c", "PREFECT_API_URL": URL}),
    Case("no active profile", {"p.toml": profile(None, a={"PREFECT_API_URL": URL})}, PATH),
    Case("built-in profile, no file", {}, {"PREFECT_PROFILE": "local"}),
    Case("built-in profile, own file", {"p.toml": TWO}, {**PATH, "PREFECT_PROFILE": "local"}),
    Case("built-in profile, own file without it, in the home", {HOME: TWO}, {"PREFECT_PROFILE": "local"}),
    Case("built-in profile, PREFECT_HOME without a file", {"ph/x": ""},
         {"PREFECT_PROFILE": "local", "PREFECT_HOME": "ph"}),
    Case("built-in name, own profile", {"p.toml": profile("local", local={"PREFECT_API_URL": URL})}, PATH),
    Case("broken profiles.toml", {"p.toml": "active ="}, {**PATH, "PREFECT_API_URL": URL}),
    Case("names in a profile are in upper case", {"p.toml": profile("p", p={"prefect_api_url": URL})}, PATH),
    Case("a number in a profile", {"p.toml": profile("p", p="PREFECT_API_URL = 7")}, PATH),
    Case("test mode", {"p.toml": TWO, ".env": "PREFECT_API_KEY=k"}, {**PATH, "PREFECT_TEST_MODE": "1"}),
    # booleans
    *(in_place("environment", INSECURE, value) for value in
      ("true", "True", "t", "yes", "Y", "on", "1", "false", "F", "no", "n", "OFF", "0", "", " true", "2")),
    *(in_place(place, INSECURE, "yes") for place in PLACES[1:]),
    *(Case(f"{value} as a boolean in TOML", {"prefect.toml": f"[api]\ntls_insecure_skip_verify = {value}"},
           {"PREFECT_API_URL": URL}) for value in ("true", "false", "1", "0", "2", "1.0", "0.5", "[true]")),
    Case("a boolean in a profile",
         {"p.toml": profile("p", p=f"PREFECT_API_URL = '{URL}'\n{INSECURE} = true")}, PATH),
    # headers
    *(in_place(place, HEADERS, '{"X-A": "1", "X-B": "x y"}') for place in PLACES),
    *(in_place(place, HEADERS, "") for place in PLACES),
    *(in_place("environment", HEADERS, value) for value in
      ("{", "null", "{}", "[]", "7", '"x"', '"{\\"X-A\\": \\"1\\"}"', '{"X-A": 1}', '{"X-A": null}')),
    Case("headers of all places", MERGED,
         {**PATH, "PREFECT_API_URL": URL, HEADERS: '{"X-A": "environment"}'}),
    Case("bad headers that are hidden", {".env": f"{HEADERS}='x'"}, {"PREFECT_API_URL": URL, HEADERS: "{}"}),
    Case("a bad value that is hidden", {".env": f"""{HEADERS}='{{"X-A": 1}}'"""},
         {"PREFECT_API_URL": URL, HEADERS: '{"X-A": "1"}'}),
    Case("a table of headers in a profile",
         {"p.toml": profile("p", p=f"PREFECT_API_URL='{URL}'\n{HEADERS} = {{ X-A = '1' }}")}, PATH),
    # certificates
    *(in_place(place, CERT, "ca.pem") for place in PLACES),
    Case("SSL_CERT_FILE", {}, {"PREFECT_API_URL": URL, "SSL_CERT_FILE": "s.pem"}),
    Case("SSL_CERT_FILE is second", {}, {"PREFECT_API_URL": URL, "SSL_CERT_FILE": "s.pem", CERT: "p.pem"}),
    Case("SSL_CERT_FILE and an empty one", {}, {"PREFECT_API_URL": URL, "SSL_CERT_FILE": "s.pem", CERT: ""}),
    Case("SSL_CERT_FILE in .env", {".env": "SSL_CERT_FILE=s.pem"}, {"PREFECT_API_URL": URL}),
    # credentials
    Case("Cloud with a key", {}, {"PREFECT_API_URL": CLOUD, "PREFECT_API_KEY": "k"}),
    Case("Cloud with both", {},
         {"PREFECT_API_URL": CLOUD, "PREFECT_API_KEY": "k", "PREFECT_API_AUTH_STRING": "a:b"}),
    Case("a server with an auth string", {}, {"PREFECT_API_URL": URL, "PREFECT_API_AUTH_STRING": "a:b"}),
    Case("a server with both", {},
         {"PREFECT_API_URL": URL, "PREFECT_API_KEY": "k", "PREFECT_API_AUTH_STRING": "a:b"}),
    Case("a Cloud of one's own", {},
         {"PREFECT_API_URL": f"{URL}/x", "PREFECT_API_KEY": "k", "PREFECT_CLOUD_API_URL": URL}),
    Case("Cloud elsewhere in TOML", {"prefect.toml": f"[cloud]\napi_url='{URL}'"},
         {"PREFECT_API_URL": f"{URL}/x", "PREFECT_API_KEY": "k"}),
]  # fmt: skip


def dotenv_texts() -> list[str]:
    """Texts made of the pieces that matter to the syntax; the same ones each time."""
    pieces = [
        *("A", "B=", "=", "'", '"', "#", " #", " ", "\n", "\r", "\t", "\\", "\\n", "\\'", '\\"', "${A}"),
        *("${B:-d}", "${", "}", "export ", "export", "x y", "é", "\u2028", "\x0b", ":-", "$", "\ufeff"),
    ]
    choose = random.Random(1)
    return ["".join(choose.choices(pieces, k=choose.randint(0, 14))) for _ in range(20_000)]


DOTENV_ENVIRON = {"A": "of the environment", "HOME": "/home/me"}


@dataclass(frozen=True)
class Prefect:
    """What Prefect made of the cases, by name, and of the texts."""

    answers: Mapping[str, Any]
    dotenv: list[dict[str, str | None]]
    cwds: Mapping[str, Path]

    def environ(self, case: Case) -> dict[str, str]:
        return environ_in(self.cwds[case.name], case)


def environ_in(cwd: Path, case: Case) -> dict[str, str]:
    # Prefect tells its makers that it was installed, unless it is asked not to.
    return {"HOME": str(cwd / "home"), "DO_NOT_TRACK": "1", **case.environ}


@pytest.fixture(scope="module")
def prefect(tmp_path_factory: pytest.TempPathFactory) -> Prefect:
    python = prefect_env.require(VERSION)
    end = "-----END CERTIFICATE-----\n"
    certificate = Path(certifi.where()).read_text(encoding="utf-8").partition(end)[0] + end
    cwds = {}
    for case in CASES:
        cwd = cwds[case.name] = tmp_path_factory.mktemp("case")
        (cwd / "home").mkdir()
        for name, text in {**case.files, **dict.fromkeys(CERTIFICATES, certificate)}.items():
            (cwd / name).parent.mkdir(parents=True, exist_ok=True)
            (cwd / name).write_bytes(text.encode())
    assert len(cwds) == len(CASES), "two cases have one name"
    job = {
        "cases": [
            {
                "name": case.name,
                "cwd": str(cwds[case.name]),
                "environ": environ_in(cwds[case.name], case),
                "fresh": case.fresh,
            }
            for case in CASES
        ],
        "dotenv_texts": dotenv_texts(),
        "dotenv_environ": DOTENV_ENVIRON,
    }
    nowhere = tmp_path_factory.mktemp("nowhere")
    ran = subprocess.run(
        [python, "-c", DRIVER],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        cwd=nowhere,
        env={"HOME": str(nowhere), "DO_NOT_TRACK": "1", "PATH": os.defpath},
        timeout=500,  # a busy machine takes minutes for 140 cases
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    return Prefect(found["answers"], found["dotenv"], cwds)


def of_rawlogs(environ: Mapping[str, str], cwd: Path) -> dict[str, Any]:
    try:
        settings = resolve(environ=environ, cwd=cwd)
    except ConfigError as error:
        if error.setting == "PREFECT_API_URL" and "No API URL is set" in error.text:
            return {"url": None}
        if error.setting == "PREFECT_API_URL" and "is set, but empty" in error.text:
            return {"url": ""}
        return {"error": True}
    return {
        "url": settings.api_url,
        "key": settings.api_key,
        "auth_string": settings.auth_string,
        "ssl_cert_file": settings.ssl_cert_file,
        "insecure": settings.insecure,
        "headers": dict(settings.headers),
        "cloud_api_url": settings.cloud_api_url,
        "unknown_profile": any("no profile was read" in note for note in settings.notes),
        "token": settings.websocket_token,
        "authorization": settings.authorization,
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_rawlogs_reads_what_prefect_reads(prefect: Prefect, case: Case) -> None:
    expected = dict(prefect.answers[case.name])
    if "error" in expected:
        expected = {"error": True}
    elif not expected["url"]:
        expected = {"url": expected["url"]}  # rawlogs stops there
    else:
        # Nothing and an empty text are one.
        expected |= {
            name: expected[name] or None for name in ("key", "auth_string", "ssl_cert_file", "token")
        }
        # The one wanted difference: a server that was given a key only is sent it on its socket too.
        if expected["token"] is None:
            expected["token"] = expected["key"]
        # Prefect misses a profile named "", but reads the active one all the same.
        if case.environ.get("PREFECT_PROFILE") == "":
            expected["unknown_profile"] = False
    assert of_rawlogs(prefect.environ(case), prefect.cwds[case.name]) == expected


def test_dotenv_files_are_read_as_python_dotenv_reads_them(prefect: Prefect) -> None:
    for text, expected in zip(dotenv_texts(), prefect.dotenv, strict=True):
        assert (text, dotenv.parse(text, DOTENV_ENVIRON).values) == (text, expected)
