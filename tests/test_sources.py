"""Where settings are written down; tests/real compares it with Prefect itself."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from rawlogs.config.sources import Sources, of_folder, read
from rawlogs.errors import ConfigError

MARK = "S3cr3tMark"


def sources(
    cwd: Path, files: dict[str, str] | None = None, profile: str | None = None, **environ: str
) -> Sources:
    """Read ``files`` (paths below ``cwd``, whose ``home`` is the home) and ``environ``."""
    for name, text in (files or {}).items():
        path = cwd / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return read({"HOME": str(cwd / "home"), "USERPROFILE": str(cwd / "home"), **environ}, cwd, profile)


def urls(found: Sources) -> dict[str, object]:
    return {
        place.name: place.values["PREFECT_API_URL"]
        for place in found.by_strength
        if "PREFECT_API_URL" in place.values
    }


PROFILES = """
active = "prod"
[profiles.prod]
PREFECT_API_URL = "http://prod/api"
PREFECT_API_TLS_INSECURE_SKIP_VERIFY = true
[profiles.dev]
PREFECT_API_URL = "http://dev/api"
"""


def test_the_places_stand_in_prefects_order(tmp_path: Path) -> None:
    found = sources(
        tmp_path,
        {
            ".env": "PREFECT_API_URL=2",
            "prefect.toml": "api.url = '3'",
            "pyproject.toml": "[tool.prefect.api]\nurl = '4'",
            "home/.prefect/profiles.toml": PROFILES,
        },
        PREFECT_API_URL="1",
    )
    assert list(urls(found).items()) == [
        ("environment", "1"),
        (".env", "2"),
        ("prefect.toml", "3"),
        ("pyproject.toml", "4"),
        ("profile prod", "http://prod/api"),
    ]
    assert found.by_strength[-1].values["PREFECT_API_TLS_INSECURE_SKIP_VERIFY"] is True
    assert found.notes == ()


@pytest.mark.parametrize(
    ("dotenv", "profiles", "profile"),
    [
        ("PREFECT_API_URL=2", "home/.prefect/profiles.toml", None),
        ("PREFECT_API_URL=2", "home/.prefect/profiles.toml", "dev"),
        ("PREFECT_PROFILES_PATH=elsewhere.toml", "elsewhere.toml", None),
    ],
)
def test_each_file_is_opened_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dotenv: str, profiles: str, profile: str | None
) -> None:
    opened: Counter[str] = Counter()
    really_open = os.open

    def counting(path: str | os.PathLike[str], *args: Any, **options: Any) -> int:
        opened[Path(path).relative_to(tmp_path).as_posix()] += 1
        return really_open(path, *args, **options)

    monkeypatch.setattr(os, "open", counting)
    texts = {
        "prefect.toml": "api.url = '3'",
        "pyproject.toml": "[tool.prefect.api]\nurl = '4'",
        ".env": dotenv,
        profiles: PROFILES,
    }
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    sources(tmp_path, profile=profile)
    assert opened == Counter(dict.fromkeys(texts, 1))


def test_every_setting_has_its_place_in_toml(tmp_path: Path) -> None:
    text = """
        [api]
        url = "u"
        key = "k"
        auth_string = "a"
        ssl_cert_file = "c"
        tls_insecure_skip_verify = true
        [client]
        custom_headers = { "X-A" = "1" }
        [cloud]
        api_url = "cu"
    """
    assert sources(tmp_path, {"prefect.toml": text}).by_strength[2].values == {
        "PREFECT_API_URL": "u",
        "PREFECT_API_KEY": "k",
        "PREFECT_API_AUTH_STRING": "a",
        "PREFECT_API_SSL_CERT_FILE": "c",
        "PREFECT_API_TLS_INSECURE_SKIP_VERIFY": True,
        "PREFECT_CLIENT_CUSTOM_HEADERS": {"X-A": "1"},
        "PREFECT_CLOUD_API_URL": "cu",
    }


@pytest.mark.parametrize("name", ["PREFECT_API_URL", "prefect_api_url", "Prefect_Api_Url"])
def test_variables_are_found_in_any_case(tmp_path: Path, name: str) -> None:
    assert urls(sources(tmp_path, {".env": f"{name}=2"}, **{name: "1"})) == {"environment": "1", ".env": "2"}


def test_an_empty_variable_counts_but_a_lone_name_in_dotenv_does_not(tmp_path: Path) -> None:
    files = {".env": "PREFECT_API_URL\nPREFECT_API_KEY="}
    found = sources(tmp_path, files, PREFECT_API_URL="")
    assert urls(found) == {"environment": ""}
    assert found.by_strength[1].values == {"PREFECT_API_KEY": ""}


def test_a_parent_directory_is_not_looked_at(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / ".env").write_text("PREFECT_API_URL=1")
    (tmp_path / "prefect.toml").write_text("api.url = '2'")
    assert urls(read({"HOME": str(tmp_path)}, tmp_path / "below")) == {}


def test_dotenv_takes_variables_from_the_environment_that_was_handed_in(tmp_path: Path) -> None:
    found = sources(tmp_path, {".env": "PREFECT_API_URL=http://${WHERE}/api"}, WHERE="there")
    assert urls(found) == {".env": "http://there/api"}


def test_lines_of_dotenv_that_cannot_be_read_are_a_note_without_their_text(tmp_path: Path) -> None:
    found = sources(tmp_path, {".env": f"PREFECT_API_URL=1\n='{MARK}'\nA='{MARK}\n"})
    assert found.notes == (f"{tmp_path / '.env'}: nothing could be read from line 2, 3",)
    assert urls(found) == {".env": "1"}


def test_a_table_below_a_plain_setting_is_not_seen(tmp_path: Path) -> None:
    assert urls(sources(tmp_path, {"prefect.toml": "[api.url]\nx = 1"})) == {}


# --- which profiles.toml ---


@pytest.mark.parametrize(
    ("environ", "files", "url"),
    [
        ({}, {}, "home"),
        ({"PREFECT_HOME": "ph"}, {}, "ph"),
        ({"PREFECT_HOME": ""}, {}, "home"),
        ({"prefect_home": "ph"}, {}, "home"),
        ({"PREFECT_PROFILES_PATH": "a.toml", "PREFECT_HOME": "ph"}, {}, "a"),
        ({"PREFECT_PROFILES_PATH": ""}, {}, "home"),
        ({"prefect_profiles_path": "a.toml"}, {}, "home"),
        ({"PREFECT_PROFILES_PATH": "a.toml"}, {".env": "PREFECT_PROFILES_PATH=b.toml"}, "a"),
        (
            {"PREFECT_HOME": "ph"},
            {".env": "PREFECT_PROFILES_PATH=b.toml", "prefect.toml": "profiles_path='a.toml'"},
            "b",
        ),
        ({}, {".env": "prefect_profiles_path=b.toml"}, "home"),
        ({}, {".env": "PREFECT_HOME=ph"}, "home"),
        (
            {},
            {
                "prefect.toml": "profiles_path='a.toml'",
                "pyproject.toml": "tool.prefect.profiles_path='b.toml'",
            },
            "a",
        ),
        ({"PREFECT_HOME": "ph"}, {"pyproject.toml": "tool.prefect.profiles_path='b.toml'"}, "b"),
        ({"PREFECT_PROFILES_PATH": "none.toml"}, {}, None),
        ({"PREFECT_PROFILES_PATH": "~/.prefect/profiles.toml"}, {}, None),
        ({"PREFECT_PROFILES_PATH": "$PREFECT_HOME/profiles.toml", "PREFECT_HOME": "ph"}, {}, None),
    ],
)
def test_profiles_toml_is_looked_for_in_prefects_order(
    tmp_path: Path, environ: dict[str, str], files: dict[str, str], url: str | None
) -> None:
    places = {
        "home/.prefect/profiles.toml": "home",
        "ph/profiles.toml": "ph",
        "a.toml": "a",
        "b.toml": "b",
    }
    all_files = {path: f"active='p'\n[profiles.p]\nPREFECT_API_URL='{mark}'" for path, mark in places.items()}
    found = urls(sources(tmp_path, all_files | files, **environ))
    assert next((value for place, value in found.items() if place.startswith("profile p")), None) == url


@pytest.mark.parametrize(
    ("name", "text", "place"),
    [
        (".env", "PREFECT_PROFILES_PATH=a.toml", "profile p, named by .env"),
        ("prefect.toml", "profiles_path = 'a.toml'", "profile p, named by prefect.toml"),
        ("pyproject.toml", "tool.prefect.profiles_path = 'a.toml'", "profile p, named by pyproject.toml"),
        ("other", "", "profile p"),
    ],
)
def test_a_profile_of_a_file_that_the_folder_names_is_the_folders(
    tmp_path: Path, name: str, text: str, place: str
) -> None:
    """Whoever wrote the folder wrote the profile."""
    environ = {"PREFECT_PROFILES_PATH": "a.toml"} if name == "other" else {}
    files = {name: text, "a.toml": "active='p'\n[profiles.p]\nPREFECT_API_URL='u'"}
    found = sources(tmp_path, files, **environ)
    assert urls(found) == {place: "u"}
    assert of_folder(place) is (name != "other")


@pytest.mark.parametrize("place", ["argument", "environment", "profile .env", "default", "profile a"])
def test_no_other_place_is_the_folders(place: str) -> None:
    assert not of_folder(place)


# --- which profile ---


@pytest.mark.parametrize(
    ("environ", "argument", "profile", "origin"),
    [
        ({}, None, "prod", "profiles.toml"),
        ({"PREFECT_PROFILE": "dev"}, None, "dev", "environment"),
        ({"PREFECT_PROFILE": ""}, None, "prod", "profiles.toml"),
        ({"prefect_profile": "dev"}, None, "prod", "profiles.toml"),
        ({"PREFECT_PROFILE": "prod"}, "dev", "dev", "argument"),
        ({}, "local", "local", "argument"),
        ({"PREFECT_PROFILE": "local"}, None, None, "default"),
        ({"PREFECT_PROFILE": "ephemeral"}, None, None, "default"),
    ],
)
def test_the_profile_is_chosen(
    tmp_path: Path, environ: dict[str, str], argument: str | None, profile: str | None, origin: str
) -> None:
    found = sources(tmp_path, {"home/.prefect/profiles.toml": PROFILES}, argument, **environ)
    assert (found.profile, found.profile_origin) == (profile, origin)
    assert found.notes == ()


def test_prefect_profile_in_dotenv_is_ignored(tmp_path: Path) -> None:
    files = {"home/.prefect/profiles.toml": PROFILES, ".env": "PREFECT_PROFILE=dev"}
    assert sources(tmp_path, files).profile == "prod"


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        ({}, {}),
        ({"PREFECT_PROFILE": "local"}, {"profile local": "http://127.0.0.1:4200/api"}),
        ({"PREFECT_PROFILE": "local", "PREFECT_HOME": "elsewhere"}, {}),
    ],
)
def test_prefects_own_profiles_stand_in_for_a_missing_file_in_the_default_place(
    tmp_path: Path, environ: dict[str, str], url: dict[str, str]
) -> None:
    assert urls(sources(tmp_path, **environ)) == url


@pytest.mark.parametrize(
    ("environ", "text", "origin"),
    [
        ({"PREFECT_PROFILE": "nope"}, PROFILES, "environment"),
        ({}, PROFILES.replace('"prod"', '"nope"'), "profiles.toml"),
    ],
)
def test_an_unknown_profile_is_a_note_and_no_profile(
    tmp_path: Path, environ: dict[str, str], text: str, origin: str
) -> None:
    found = sources(tmp_path, {"home/.prefect/profiles.toml": text}, **environ)
    path = tmp_path / "home/.prefect/profiles.toml"
    assert found.notes == (f"the profile 'nope' ({origin}) is not in {path}: no profile was read",)
    assert (found.profile, urls(found)) == (None, {})


def test_an_unknown_profile_given_as_an_argument_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"There is no profile 'nope' in .*profiles\.toml") as caught:
        sources(tmp_path, {"home/.prefect/profiles.toml": PROFILES}, "nope")
    assert caught.value.hint == "There are cloud, dev, ephemeral, local, prod, test."
    assert caught.value.setting == "PREFECT_PROFILE"


@pytest.mark.parametrize(
    "name",
    [
        "PREFECT_TEST_MODE",
        "PREFECT_UNIT_TEST_MODE",
        "PREFECT_TESTING_TEST_MODE",
        "PREFECT_TESTING_UNIT_TEST_MODE",
    ],
)
def test_no_profile_is_read_in_prefects_test_mode(tmp_path: Path, name: str) -> None:
    files = {"home/.prefect/profiles.toml": PROFILES}
    assert sources(tmp_path, files, **{name: "1"}).profile is None
    assert sources(tmp_path, files, **{name: ""}).profile == "prod"


@pytest.mark.parametrize(
    ("files", "environ", "looked_at"),
    [
        ({}, {}, "{home}, which does not exist"),
        ({"home/.prefect/profiles.toml": PROFILES}, {}, "the profile 'prod' of {home}"),
        ({"home/.prefect/profiles.toml": ""}, {}, "{home}, where no profile is active"),
        (
            {"home/.prefect/profiles.toml": PROFILES},
            {"PREFECT_PROFILE": "x"},
            "the profile 'x', which is not in {home}",
        ),
        ({}, {"PREFECT_TEST_MODE": "1"}, "no profile, since Prefect's test mode is on"),
    ],
)
def test_the_file_and_the_profile_looked_at_are_told(
    tmp_path: Path, files: dict[str, str], environ: dict[str, str], looked_at: str
) -> None:
    found = sources(tmp_path, files, **environ)
    assert found.looked_at == looked_at.format(home=tmp_path / "home/.prefect/profiles.toml")


def test_a_home_that_nobody_knows_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", unknown)
    assert read({}, tmp_path).profile is None


# --- files that cannot be read ---


@pytest.mark.parametrize("name", ["prefect.toml", "pyproject.toml", "home/.prefect/profiles.toml"])
@pytest.mark.parametrize(
    ("text", "place"),
    [
        (f'a = 1\nPREFECT_API_KEY = {MARK}\n', "line 2, column 19"),
        (f'a = 1\n\n[api\nkey = "{MARK}"\n', "line 3, column 5"),
        (f'key = """{MARK}\n', "line 2"),
        (f'{MARK} = 1\n{MARK} = 2\n', "line 2, column"),
        (f'a = {{ {MARK} = 1, {MARK} = 2 }}', "line 1, column"),
    ],
    ids=["no quotes", "no bracket", "no end", "twice", "twice inline"],
)  # fmt: skip
def test_broken_toml_is_refused_with_its_line_and_without_its_text(
    tmp_path: Path, name: str, text: str, place: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        sources(tmp_path, {name: text})
    assert caught.value.text.startswith(f"{tmp_path / name} is not valid TOML: look at {place}")
    assert caught.value.setting == Path(name).name
    assert MARK not in f"{caught.value} {caught.value.__context__!r}"


@pytest.mark.parametrize("name", [".env", "prefect.toml", "home/.prefect/profiles.toml"])
def test_a_file_that_is_not_utf8_is_refused_without_its_text(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(MARK.encode() + b"\xff")
    with pytest.raises(ConfigError, match=r"is not UTF-8 text \(byte 10\)") as caught:
        sources(tmp_path)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("name", ["prefect.toml", "home/.prefect/profiles.toml"])
def test_a_file_that_cannot_be_opened_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir(parents=True)
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        sources(tmp_path)


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({"prefect.toml": "api = 1"}, "prefect.toml: api is not a table"),
        ({"pyproject.toml": "tool = 1"}, "pyproject.toml: tool is not a table"),
        ({"pyproject.toml": "tool.prefect = 1"}, "pyproject.toml: tool.prefect is not a table"),
        ({"pyproject.toml": "tool.prefect.api = 1"}, "pyproject.toml: tool.prefect.api is not a table"),
        ({"home/.prefect/profiles.toml": "profiles = 1"}, "profiles.toml: profiles is not a table"),
        (
            {"home/.prefect/profiles.toml": "active='p'\n[profiles]\np = 1"},
            "profiles.toml: profiles.p is not a table",
        ),
        ({"prefect.toml": "profiles_path = 1"}, "The profiles_path in prefect.toml is not a string"),
    ],
)
def test_toml_of_another_shape_is_refused(tmp_path: Path, files: dict[str, str], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        sources(tmp_path, files)


def test_values_are_in_no_repr(tmp_path: Path) -> None:
    assert MARK not in repr(sources(tmp_path, {".env": f"PREFECT_API_KEY={MARK}"}, PREFECT_API_KEY=MARK))
