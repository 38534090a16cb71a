"""Where settings come from, which source wins, and what a wrong one says."""

from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tinyllm.errors import SettingsError
from tinyllm.settings import MASK, Resolved, read_settings, user_config


def read(folder: Path, text: str = "", flags: dict[str, str] | None = None, **environ: str) -> Resolved:
    (folder / "tinyllm.toml").write_text(text, encoding="utf-8")
    for variable in ("XDG_CONFIG_HOME", "APPDATA", "XDG_DATA_HOME"):
        environ.setdefault(variable, str(folder / "user"))
    return read_settings(flags, environ=environ, folder=folder)


def test_sources_win_in_order(home: Path) -> None:
    path = user_config({"XDG_CONFIG_HOME": str(home / "user"), "APPDATA": str(home / "user")})
    path.parent.mkdir(parents=True)
    path.write_text('network = "user"\nretention_days = 7\ncolor = "never"', encoding="utf-8")
    resolved = read(home, 'network = "file"\ncolor = "always"', {"network": "flag"}, TINYLLM_COLOR="auto")
    assert resolved.settings.network == "flag"
    assert resolved.settings.color == "auto"
    assert resolved.settings.retention_days == 7
    assert resolved.origins["network"] == "flag"
    assert resolved.origins["color"] == "TINYLLM_COLOR"
    assert resolved.origins["retention_days"] == str(path)


def test_a_backend_keeps_what_its_file_does_not_say(home: Path) -> None:
    resolved = read(home, '[backends.ollama]\nkey = "s3cret"', TINYLLM_BACKENDS__OLLAMA__PRICE_IN="2")
    ollama = resolved.settings.backends["ollama"]
    assert ollama.kind == "openai"
    expected = {"base_url": "http://127.0.0.1:11434/v1", "key": "s3cret", "price_in": "2"}
    assert dict(ollama.options) == expected


def test_paths_in_a_file_stand_beside_it(home: Path) -> None:
    resolved = read(home, 'docs_dir = "texts"\n[backends.mine]\nkind = "llamacpp"\npath = "a.gguf"')
    assert resolved.settings.docs_dir == home / "texts"
    assert resolved.settings.backends["mine"].options["path"] == str(home / "a.gguf")


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ('netwrok = "x"', "'netwrok' is not a setting", "'network'"),
        ("network = ", "not TOML", "network ="),
        ("retention_days = -1", "'retention_days'", "config show"),
        ('[backends.a]\nkind = "magic"', "'backends.a.kind'", "config show"),
        ('[backends.a]\nbase_url = "http://x"', "'backends.a.kind'", "config show"),
        ('larger = "nomodel"', "'larger'", "config show"),
        ("backends = 3", "'backends'", "config show"),
    ],
)
def test_a_wrong_setting_names_its_file_and_field(home: Path, text: str, message: str, hint: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(home, text)
    assert str(home / "tinyllm.toml") in caught.value.message
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_a_wrong_variable_is_named(home: Path) -> None:
    with pytest.raises(SettingsError, match="TINYLLM_COLOR"):
        read(home, TINYLLM_COLOR="pink")


def test_other_variables_are_left_alone(home: Path) -> None:
    assert read(home, TINYLLM_DEBUG="1", TINYLLM_BACKENDS="x").settings.network == "starter"


def test_secrets_are_never_shown(home: Path, run: Run) -> None:
    (home / "tinyllm.toml").write_text(
        '[backends.a]\nkind = "openai"\nbase_url = "http://127.0.0.1:1/v1"\nkey = "s3cret"\n'
        'headers = { Authorization = "s3cret" }\n',
        encoding="utf-8",
    )
    for args in (["--origin"], ["--json"], []):
        shown = run("config", "show", *args)
        assert shown.exit_code == 0
        assert "s3cret" not in shown.output
        assert "backends.a.key" in shown.stdout
    assert "<- TINYLLM_NETWORK" in run("config", "show", "--origin").stdout


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://ann:s3cret@host:5432/db", f"postgresql://ann:{MASK}@host:5432/db"),
        ("postgresql://ann@host/db?password=s3cret&sslmode=require", f"ann@host/db?password={MASK}&sslmode"),
        ("postgresql://host:5432/db", "postgresql://host:5432/db"),
        ("sqlite:////var/a:b@c.db", "sqlite:////var/a:b@c.db"),
    ],
)
def test_a_store_is_shown_without_its_password(
    home: Path, run: Run, monkeypatch: pytest.MonkeyPatch, url: str, shown: str
) -> None:
    monkeypatch.setenv("TINYLLM_STORE", url)
    told = run("config", "show").stdout
    assert shown in told and "s3cret" not in told
