"""Precedence, origins, types and unknown keys of the settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from engine.config import SamplingConfig
from engine.errors import UsageError
from tui.settings import (
    SETTINGS,
    Settings,
    SettingsError,
    edit_file,
    find_key,
    parse,
    read_file,
    sampling,
    seconds_of,
    seeded,
)

if TYPE_CHECKING:
    from pathlib import Path


def load(tmp_path: Path, user: str = "", project: str = "", **environ: str) -> Settings:
    user_file = tmp_path / "config.toml"
    folder = tmp_path / "project" / "inner"
    folder.mkdir(parents=True)
    user_file.write_text(user, "utf-8")
    if project:
        (tmp_path / "project" / ".local-llm.toml").write_text(project, "utf-8")
    return Settings.load(user_file, environ=environ, folder=folder)


def test_every_source_stands_above_the_one_below_and_each_value_knows_its_origin(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        user='model = "user"\ntop_k = 1\nseed = 1\nmin_p = 0.1\n',
        project='model = "project"\ntop_k = 2\nseed = 2\n',
        LOCAL_LLM_MODEL="variable",
        LOCAL_LLM_TOP_K="3",
    ).with_flags({"model": "flag", "seed": None})
    assert [settings[name] for name in ("model", "top_k", "seed", "min_p", "device")] == ["flag", 3, 2, 0.1, "auto"]
    origins = [settings.origin(name) for name in ("model", "top_k", "seed", "min_p", "device")]
    assert origins[0] == "--model"
    assert origins[1] == "LOCAL_LLM_TOP_K"
    assert origins[2].endswith(".local-llm.toml")
    assert origins[3].endswith("config.toml")
    assert origins[4] == "default"


def test_an_unknown_key_names_the_file_and_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="temprature") as caught:
        load(tmp_path, user="temprature = 1")
    assert "config.toml" in caught.value.message
    assert "temperature" in caught.value.hint


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ('top_k = "many"', "a whole number"),
        ("top_k = true", "a whole number"),
        ("temperature = -1", "temperature must be 0 or more"),
        ("temperature = nan", "temperature must be 0 or more"),
        ('device = "tpu"', "auto | cpu | cuda | mps"),
        ("stop = [1]", "texts"),
        ("threads = 0", "1 to 1024"),
        ("ctx = 0", "1 or more"),
        ("max_tokens = 0", "at least 1"),
        ("stats = 1", "true or false"),
        ("model = [", "config.toml"),
        ('keys = "ctrl+n"', "a table"),
        ('[keys]\nnwe = "ctrl+t"', "did you mean new?"),
        ('[keys]\nnew = "ctrl+r"', "both"),
    ],
)
def test_a_wrong_value_says_what_was_expected(tmp_path: Path, toml: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, user=toml)
    assert said in caught.value.message
    assert "config.toml" in caught.value.message


def test_a_wrong_variable_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="LOCAL_LLM_SEED"):
        load(tmp_path, LOCAL_LLM_SEED="soon")


@pytest.mark.parametrize(
    ("name", "text", "where", "told"),
    [
        ("temperature", "-1", "--temperature", "--temperature: temperature must be 0 or more, got -1.0"),
        ("temperature", "-1", "config.toml", "config.toml: temperature must be 0 or more, got -1.0"),
        ("keep_alive", "soon", "--keep-alive", "--keep-alive: expected a time such as"),
        ("keep_alive", "0s", "--keep-alive", "--keep-alive: expected a time such as"),
        ("threads", "0", "threads.toml", "threads.toml: threads: expected 1 to 1024, got 0"),
        ("threads", "100000", "threads.toml", "threads.toml: threads: expected 1 to 1024, got 100000"),
    ],
)
def test_a_setting_whose_value_is_wrong_is_named_where_nothing_else_does(
    name: str, text: str, where: str, told: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        parse(find_key(name), text, where)
    assert caught.value.message.startswith(told)


def test_a_settings_error_is_a_usage_error() -> None:
    with pytest.raises(UsageError):
        find_key("nonsense")


def test_a_byte_order_mark_and_chinese_are_read(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes('\ufeffsystem = "用中文回答"\n'.encode())
    assert read_file(path) == {"system": "用中文回答"}


def test_a_file_of_other_bytes_is_an_error_not_a_traceback(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match=r"config\.toml"):
        read_file(path)


@pytest.mark.parametrize(
    "toml",
    [
        "seed = " + "9" * 5000,
        "temperature = " + "9" * 400,
        "stop = " + "[" * 5000,
        'keep_alive = "' + "9" * 5000 + '"',
        'endpoint = "http://[x"',
        'endpoint = "http://x:99999999"',
        'endpoint = "http://my host/v1"',
        'endpoint = " http://localhost/v1"',
        'endpoint = "http://localhost/v1\\n"',
        'endpoint = "http://a..b/v1"',
    ],
)
def test_a_value_that_can_not_be_meant_is_an_error_not_a_traceback(tmp_path: Path, toml: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(toml + "\n", "utf-8")
    with pytest.raises(SettingsError, match=r"config\.toml"):
        Settings.load(path, environ={}, folder=tmp_path)


def test_a_missing_file_is_no_settings(tmp_path: Path) -> None:
    assert read_file(tmp_path / "none.toml") == {}


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("top-k", "40", 40),
        ("threads", "1", 1),
        ("threads", "1024", 1024),
        ("ctx", "1", 1),
        ("temperature", "1", 1.0),
        ("stats", "on", True),
        ("markdown", "No", False),
        ("stop", "END", ["END"]),
        ("stop", '["a", "b"]', ["a", "b"]),
        ("seed", "7", 7),
        ("keys", '{new = "ctrl+t"}', {"new": "ctrl+t"}),
    ],
)
def test_texts_become_the_settings_type(name: str, text: str, value: Any) -> None:
    assert parse(find_key(name), text, "test") == value


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("45", 45),
        ("30m", 1800),
        (" 2H ", 7200),
        ("007m", 420),
        ("999999999", 999_999_999),
        ("Forever", None),
    ],
)
def test_a_stretch_of_time_is_in_seconds_minutes_or_hours(text: str, seconds: float | None) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "0", "00s", "-1s", "1.5h", "1d", "１m", "²s", "1 m", "1" * 10, "ever"])
def test_what_is_no_stretch_of_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="such as 90s, 30m, 2h or forever"):
        seconds_of(text)


@pytest.mark.parametrize(
    "url", ["http://localhost/v1", "https://example.org", "http://[::1]:8757/v1", "http://例子.测试/v1"]
)
def test_an_address_is_taken_without_a_key_in_it(url: str) -> None:
    setting = find_key("endpoint")
    assert parse(setting, url, "test") == url
    for more in ("?key=1", "#key"):
        with pytest.raises(SettingsError, match="LOCAL_LLM_API_KEY"):
            parse(setting, url + more, "test")
    for who in ("me@", "me:secret@", ":secret@"):
        with pytest.raises(SettingsError, match="LOCAL_LLM_API_KEY"):
            parse(setting, url.replace("//", f"//{who}"), "test")
    for other in (url.replace("http", "ftp", 1), url.partition("//")[2], "http://", "http://x:0/v1", url + "\x07"):
        with pytest.raises(SettingsError, match="expected a URL"):
            parse(setting, other, "test")


@pytest.mark.parametrize("toml", ['endpoint = "http://x/v1"', 'api_key_file = "key"'])
def test_no_project_says_where_texts_are_sent(tmp_path: Path, toml: str) -> None:
    with pytest.raises(SettingsError, match=r"local-llm\.toml: \w+ can't be set for a project"):
        load(tmp_path / "a", project=toml)
    settings = load(tmp_path / "b", user=toml)
    assert settings.origin(toml.split(maxsplit=1)[0]).endswith("config.toml")


def test_what_is_broken_hides_nothing_that_is_sound(tmp_path: Path) -> None:
    user_file = tmp_path / "config.toml"
    user_file.write_text("seed = 1\nnonsense = 1\n")
    (tmp_path / ".local-llm.toml").write_text("top_k = 5\n")
    environ = {"LOCAL_LLM_MIN_P": "much", "LOCAL_LLM_TOP_P": "0.5", "LOCAL_LLM_SEED": ""}
    settings, broken = Settings.examine(user_file, environ=environ, folder=tmp_path)
    assert [error.message.split(":")[0].split("/")[-1] for error in broken] == ["config.toml", "LOCAL_LLM_MIN_P"]
    assert [settings[name] for name in ("seed", "top_k", "min_p", "top_p")] == [None, 5, None, 0.5]


def test_what_is_put_below_stands_where_nobody_said_anything(tmp_path: Path) -> None:
    settings = load(tmp_path, user="top_k = 1\n").with_values_below({"top_k": 2, "seed": 3}, "the last run")
    assert [(settings[name], settings.origin(name)) for name in ("seed", "min_p")] == [
        (3, "the last run"),
        (None, "default"),
    ]
    assert settings["top_k"] == 1
    back = settings.without("top_k").without("markdown")
    assert [(back[name], back.origin(name)) for name in ("top_k", "markdown")] == [
        (None, "default"),
        (True, "default"),
    ]


def test_sampling_is_what_was_said_else_what_the_command_wants(tmp_path: Path) -> None:
    said = load(tmp_path, user='temperature = 0\nrepeat_penalty = 1.5\nstop = ["a", "b"]\n')
    assert sampling(said, temperature=0.7, max_tokens=9) == SamplingConfig(
        temperature=0, repetition_penalty=1.5, stop=("a", "b"), max_tokens=9
    )
    assert seeded(SamplingConfig(seed=0)).seed == 0
    assert seeded(SamplingConfig()).seed is not None
    assert seeded(SamplingConfig()) != seeded(SamplingConfig())


def test_editing_keeps_comments(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("# mine\ntop_k = 1  # few\n")
    text = edit_file(path, lambda document: document.__setitem__("top_k", 2)).decode()
    assert text == "# mine\ntop_k = 2  # few\n"


def test_unasked_all_is_kept_and_nothing_is_sent_or_runs_on() -> None:
    usual = {"history": True, "history_days": None, "endpoint": None, "api_key_file": None, "warm": False}
    assert {name: SETTINGS[name].default for name in usual} == usual


def test_every_default_is_valid() -> None:
    for setting in SETTINGS.values():
        assert setting.default is None or isinstance(setting.default, setting.kind)
        assert not setting.choices or setting.default is None or setting.default in setting.choices
