"""Which proxy leads to an API, by the environment that was handed in."""

from __future__ import annotations

import pytest

from rawlogs.config import network
from rawlogs.config.network import Proxy, choose_proxy
from rawlogs.errors import ConfigError

P = "http://proxy:3128"
Q = "http://other:3128"


@pytest.mark.parametrize(
    ("environ", "for_http", "for_https"),
    [
        ({}, None, None),
        ({"HTTP_PROXY": P}, "HTTP_PROXY", None),
        ({"https_proxy": P}, None, "https_proxy"),
        ({"ALL_PROXY": P}, "ALL_PROXY", "ALL_PROXY"),
        ({"HTTPS_PROXY": P, "ALL_PROXY": Q}, "ALL_PROXY", "HTTPS_PROXY"),
        ({"HTTP_PROXY": P, "http_proxy": Q}, "http_proxy", None),
        ({"http_proxy": P, "HTTP_PROXY": Q}, "http_proxy", None),
        ({"Http_Proxy": P}, "Http_Proxy", None),
        ({"HTTP_PROXY": P, "http_proxy": ""}, None, None),
        ({"HTTP_PROXY": ""}, None, None),
        ({"HTTP_PROXY": P, "REQUEST_METHOD": "GET"}, None, None),
        ({"http_proxy": P, "REQUEST_METHOD": "GET"}, "http_proxy", None),
        ({"WS_PROXY": P, "wss_proxy": P, "SOCKS_PROXY": P}, None, None),
    ],
)
def test_the_variable_is_chosen_by_the_scheme_of_the_api(
    environ: dict[str, str], for_http: str | None, for_https: str | None
) -> None:
    for scheme, port, variable in (("http", 80, for_http), ("https", 443, for_https)):
        found = choose_proxy(scheme, "h", port, environ)
        assert found == (None if variable is None else Proxy(environ[variable], variable))


@pytest.mark.parametrize(
    ("no_proxy", "host", "straight"),
    [
        ("h.example.com", "h.example.com", True),
        ("example.com", "h.example.com", True),
        (".example.com", "h.example.com", True),
        ("ample.com", "h.example.com", False),
        ("other, H.example.com", "h.example.com", True),
        ("h.example.com:4200", "h.example.com", True),
        ("h.example.com:4201", "h.example.com", False),
        ("*", "h.example.com", True),
        ("other,*", "h.example.com", True),
        ("::1", "[::1]", True),
        ("[::1]", "[::1]", True),
        ("[::1]:4200", "[::1]", True),
        ("127.0.0.1", "[::1]", False),
        ("", "h.example.com", False),
    ],
)
@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
def test_no_proxy_leads_straight_there(no_proxy: str, host: str, straight: bool, name: str) -> None:
    found = choose_proxy("http", host, 4200, {"HTTP_PROXY": P, name: no_proxy})
    assert (found is None) is straight


def test_the_environment_of_the_process_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", P)
    monkeypatch.setenv("NO_PROXY", "*")
    assert choose_proxy("http", "h", 80, {}) is None
    assert choose_proxy("http", "h", 80, {"HTTP_PROXY": Q}) == Proxy(Q, "HTTP_PROXY")


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("proxy:3128", "http://proxy:3128"),
        (" HTTP://proxy:3128/ ", "http://proxy:3128"),
        ("https://proxy", "https://proxy"),
        ("http://u:p%40@proxy:3128", "http://u:p%40@proxy:3128"),
        ("u:p@proxy", "http://u:p@proxy"),
        ("http://u@proxy", "http://u:@proxy"),
        ("socks5h://proxy:1080", "socks5h://proxy:1080"),
        ("http://[::1]:3128", "http://[::1]:3128"),
    ],
)
def test_the_url_of_a_proxy_is_completed(text: str, url: str) -> None:
    found = choose_proxy("http", "h", 80, {"HTTP_PROXY": text})
    assert found is not None
    assert found.url == url


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("http://", "not the URL of a proxy"),
        ("http://u:secret@proxy:port", "not the URL of a proxy"),
        ("http://u:secret@proxy:0", "not the URL of a proxy"),
        ("http://u:secret@proxy/path", "not the URL of a proxy"),
        ("http://u:secret/@proxy", "not the URL of a proxy"),
        ("http://u:secret@proxy?x", "not the URL of a proxy"),
        ("http://u:sec ret@proxy", "not the URL of a proxy"),
        ("http://u:secret@[proxy", "not the URL of a proxy"),
        ("ftp://u:secret@proxy", "a proxy of an unknown kind"),
        ("socks://u:secret@proxy", "a proxy of an unknown kind"),
    ],
)
def test_what_cannot_be_a_proxy_is_refused_without_being_shown(text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem) as caught:
        choose_proxy("http", "h", 80, {"ALL_PROXY": text})
    assert caught.value.setting == "ALL_PROXY"
    assert caught.value.__context__ is None
    assert "sec" not in str(caught.value)


def test_the_credentials_of_a_proxy_are_in_no_repr() -> None:
    proxy = Proxy("http://user:se%40cret@proxy:3128", "HTTP_PROXY")
    assert repr(proxy) == "Proxy(variable='HTTP_PROXY')"
    assert (proxy.userinfo, proxy.password) == ("user:se%40cret", "se@cret")
    assert (Proxy(P, "HTTP_PROXY").userinfo, Proxy(P, "HTTP_PROXY").password) == ("", "")


@pytest.mark.parametrize(
    ("installed", "note"),
    [
        ((), "cannot be used without python-socks and socksio"),
        (("socksio",), "cannot be used without python-socks"),
        (("python_socks", "socksio"), None),
    ],
)
def test_a_socks_proxy_tells_which_packages_it_needs(
    installed: tuple[str, ...], note: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "find_spec", lambda name: name if name in installed else None)
    found = Proxy("socks5://proxy:1080", "ALL_PROXY").note
    assert (found is None) == (note is None)
    assert (note or "") in (found or "")
    assert Proxy(P, "ALL_PROXY").note is None
