"""What the command says where something is wrong: plain sentences about what was typed."""

from __future__ import annotations

import pytest
from streaming import ThreadedServer
from streaming import no_settings as no_settings
from test_cli_tail import Call
from test_cli_tail import server as server
from test_cli_tail import tail as tail

from rawlogs.cli.group import COMMANDS, cli, run
from rawlogs.cli.option_groups import Command
from rawlogs.testing.faults import Http, Redirect

URL = ["--api-url", "http://127.0.0.1:1/api"]
NGINX = (
    "<html>\r\n<head><title>401 Authorization Required</title></head>\r\n<body>\r\n"
    "<center><h1>401 Authorization Required</h1></center>\r\n<hr><center>nginx/1.22.1</center>\r\n</body></html>"
)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["tail", "--level", "lala"], "'--level': unknown level 'lala': use one of DEBUG"),
        (["tail", "--max-level", "lala"], "'--max-level': unknown level 'lala'"),
        (["tail", "--level", "1" + "0" * 30], "is no level that a log can have"),
        (["record", "x", "--level", "lala"], "'--level': unknown level 'lala'"),
        (["tail", "--text", "x" * 201], "'--text': it has 201 characters"),
        (["tail", "--cacert", "/none"], "'--cacert'"),
        (["tail", *URL, "--cacert", __file__], "(--cacert) cannot be used: it holds no certificate"),
        (["tail", *URL, "-i", "a("], "--include: 'a(' is not a regular expression"),
        (["tail", *URL, "-e", "a("], "--exclude: 'a(' is not a regular expression"),
        (["tail", "--api-url", "nonsense"], "--api-url does not begin with http"),
        (["tial"], "no command 'tial'. Did you mean"),
        (["docter"], "doctor"),
        (["nothing-like-it"], "no command 'nothing-like-it'."),
        (["replay", "/none"], "/none: No such file"),
        (["trace", "--send", "/none"], "/none"),
        (["check", "/none", "/none"], "/none cannot be read: No such file"),
        (["fake", "/none"], "/none: No such file"),
        (["doctor", "--watch", "nan"], "'--watch'"),
        (["trace", "--duration", "nan"], "'--duration'"),
        (["record", "x", "--duration", "inf"], "'--duration'"),
        (["fake", "--rate", "nan"], "'--rate'"),
        (["fake", "--linger", "nan"], "'--linger'"),
        (["demo", "--speed", "nan"], "'--speed'"),
        (["relay", "--lease", "nan"], "'--lease'"),
        (["relay", "--since", "nan"], "'--since'"),
        (["relay", "--max-age", "1000000d"], "'--max-age'"),
        (["url", "\udcff"], "it is not text"),
        (["doctor", "--profile", "\udcff"], "'--profile': it is not text"),
        (["trace", "--filter", "\udcff"], "'--filter': it is not text"),
        (["replay", "x", "--speed", "\udcff"], "'--speed': it is not text"),
        (["relay", "--name", "\udcff"], "'--name': it is not text"),
        (["serve", "--token", "\udcff"], "'--token': it is not text"),
        (["fake", "--auth-string", "\udcff"], "'--auth-string': it is not text"),
    ],
)
def test_a_usage_error_names_what_was_typed(
    arguments: list[str], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    err = capfd.readouterr().err
    assert said in err
    for odd in ("Traceback", "Errno", "would reject", "unexpected error"):
        assert odd not in err


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_refuses_what_is_no_text(name: str) -> None:
    assert isinstance(cli.get_command(None, name), Command)  # type: ignore[arg-type]


@pytest.mark.parametrize("more", [[], ["--no-follow"], ["some-run"]], ids=["live", "listed", "run"])
@pytest.mark.parametrize("page", [NGINX, NGINX.upper(), "<!DOCTYPE html>\n" + NGINX])
def test_a_page_of_a_proxy_is_told_by_its_title(
    server: ThreadedServer, tail: Call, more: list[str], page: str
) -> None:
    for where in ("rest", "logs"):
        server.call(server.server.fault, where, Http(401, {"content-type": "text/html"}, page))
    ran = tail(*more)
    assert ran.code == 3
    assert "401: 401 AUTHORIZATION REQUIRED" in ran.err.upper()
    assert "<" not in ran.err and "nginx" not in ran.err.lower()


@pytest.mark.parametrize(
    ("page", "said"),
    [("<html><body><h1>Bad</h1> <p>gateway", "Bad gateway"), ("<html><body>", "an HTML page")],
)
def test_a_page_without_a_title_is_told_by_its_text(
    server: ThreadedServer, tail: Call, page: str, said: str
) -> None:
    server.call(server.server.fault, "rest", Http(403, {}, page))
    assert f"HTTP 403: {said}\n" in tail("--no-follow").err


@pytest.mark.parametrize("more", [[], ["--no-follow"], ["some-run"]], ids=["live", "listed", "run"])
def test_a_redirect_elsewhere_speaks_of_no_key(server: ThreadedServer, tail: Call, more: list[str]) -> None:
    for where in ("rest", "logs"):
        server.call(server.server.fault, where, Redirect("http://127.0.0.1:2/x"))
    ran = tail(*more)
    assert ran.code == 4
    assert "redirects to http://127.0.0.1:2, which is another server: not followed" in ran.err
    assert "key" not in ran.err and "name it in --api-url" in ran.err
