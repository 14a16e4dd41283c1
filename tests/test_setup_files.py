"""What riskbot init writes: values changed in their place, secrets quoted so that every reader gets them back."""

from __future__ import annotations

import os
import stat
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from riskbot.setup import edit, env, files
from riskbot.setup.known import Known, credential, variable
from riskbot.setup.masking import masked_file

PRINTABLE = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cf", "Cs", "Zl", "Zp", "Co", "Cn")), min_size=1
)


def printable(text: str) -> str:
    return "".join(sign for sign in text if sign.isprintable()) or "x"


# ---------------------------------------------------------------- the env file


@given(st.lists(PRINTABLE.map(printable), max_size=5))
def test_every_value_is_read_back_as_it_was(values: list[str]) -> None:
    named = {f"NAME_{number}": value for number, value in enumerate(values)}

    assert env.parse(env.update("", named)) == named


def test_a_shell_reads_the_same(tmp_path: Path) -> None:
    value = """a "b" 'c' $d `e` \\f #g !h %i ;& é ~ *"""
    path = tmp_path / "riskbot.env"
    path.write_text(env.update("", {"SECRET": value}))
    line = 'set -a; . "$1"; set +a; printenv SECRET'
    run = subprocess.run(["sh", "-c", line, "sh", str(path)], capture_output=True, text=True, check=True)

    assert run.stdout == f"{value}\n"


def test_what_people_wrote_is_understood_and_kept() -> None:
    text = "# mine\n\nexport A='one two' # a comment\nB=three\\ four\nC=\"5\"'6'\nno line of ours\nD=\n"
    assert env.parse(text) == {"A": "one two", "B": "three four", "C": "56", "D": ""}

    changed = env.update(text, {"B": "new", "E": "more words"})
    assert changed == text.replace("B=three\\ four", "B=new") + 'E="more words"\n'


def test_a_value_that_no_line_can_hold_is_refused_without_it() -> None:
    with pytest.raises(ValueError, match=r"^KEY holds a line break or another control character: copy it anew$"):
        env.update("", {"KEY": "planted\nsecret"})


def test_a_new_file_says_how_it_is_used() -> None:
    assert env.update("", {}).startswith("# Secrets of riskbot: for your eyes only")


# ---------------------------------------------------------------- one value of a TOML file

TEXT = """\
# é: bytes are not signs
[[accounts]]
name = "main"       # whom
keys = ["a",
  "b"]              # two lines
# of the next one

[receivers]
phone.url = "x"  # dotted

[rules]
inline = { deep = 1 }
"""


@pytest.mark.parametrize(
    ("table", "key", "value", "old", "new"),
    [
        (("accounts", 0), "name", "desk", 'name = "main"       #', 'name = "desk"       #'),
        (("accounts", 0), "name", "a longer name", 'name = "main"       #', 'name = "a longer name"  #'),
        (("accounts", 0), "name", "main", "", ""),
        (("accounts", 0), "keys", "c", 'keys = ["a",\n  "b"]', 'keys = "c"'),
        (("accounts", 0), "more", True, '"b"]              # two lines', '"b"]              # two lines\nmore = true'),
        (("receivers", "phone"), "url", "y", 'url = "x"', 'url = "y"'),
        (("rules", "inline"), "deep", 2, "deep = 1", "deep = 2"),
    ],
)
def test_a_value_is_put_in_its_place_and_nothing_else_moves(
    table: edit.Loc, key: str, value: Any, old: str, new: str
) -> None:
    changed = edit.put(TEXT, table, key, value)
    found: Any = tomllib.loads(changed)
    for part in (*table, key):
        found = found[part]

    assert found == value
    assert changed.replace(" ", "") == TEXT.replace(old, new).replace(" ", "")
    assert new in changed


def test_a_key_goes_with_its_lines_and_comes_where_there_is_none_to_follow() -> None:
    assert edit.take(TEXT, ("accounts", 0), "name") == TEXT.replace('name = "main"       # whom\n', "")
    assert edit.take(TEXT, ("accounts", 0), "nothing") == TEXT
    assert edit.put("[a]\nb = 1", ("a",), "c", "d") == '[a]\nb = 1\nc = "d"'


@pytest.mark.parametrize("change", [edit.put, lambda text, table, key, _: edit.take(text, table, key)])
def test_what_can_not_be_changed_line_by_line_is_said_to_be_done_by_hand(change: Any) -> None:
    key = "deep" if change is not edit.put else "other"
    with pytest.raises(ValueError, match=r"^line 12: (add|take) .* there by hand$"):
        change(TEXT, ("rules", "inline"), key, 1)


def test_a_file_is_shown_without_any_secret_in_it() -> None:
    text = """
[[accounts]]
api_key = "planted"      # a comment
api_secret = "${SECRET}"
passphrase = "planted-${HALF}"

[accounts.options]
token = "planted"
depth = 3

[[accounts]]
options = { a = "planted", b = ["planted", "file:x"] }

[receivers.a]
url = "tgram://planted/${CHAT}"
[receivers.b]
url = "tgram://${TOKEN}/${CHAT}"

[heartbeat]
url = "https://planted"
[web]
token = "planted"
listen = "127.0.0.1:9105"
[store]
path = "riskbot.db"
"""
    shown = masked_file(text)

    assert "planted" not in shown
    assert 'api_key = "***"          # a comment' in shown
    assert tomllib.loads(shown)["accounts"][1]["options"] == {"a": "***", "b": ["***", "file:x"]}
    assert all(line in shown for line in ('listen = "127.0.0.1:9105"', 'path = "riskbot.db"'))
    assert all(line in shown for line in ('api_secret = "${SECRET}"', "depth = 3", 'url = "tgram://${TOKEN}/${CHAT}"'))
    assert masked_file("") == ""


# ---------------------------------------------------------------- files


def test_a_file_is_written_whole_and_closed_and_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    files.write(tmp_path / "link", "new", 0o600)

    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"
    assert stat.S_IMODE((tmp_path / "real").stat().st_mode) == 0o600
    assert len(list(tmp_path.iterdir())) == 2


def test_a_pipe_or_a_folder_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(OSError, match="it is not a regular file; name another"):
            files.write(path, "text", 0o600)
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_what_fails_leaves_the_old_file_and_no_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        files.write(path, "new", 0o600)

    assert [(found.name, found.read_text()) for found in tmp_path.iterdir()] == [("file", "old")]


def test_what_is_replaced_is_kept_under_a_name_that_is_free(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert files.keep(path, 0o644) is None

    path.write_text("secret")
    copies = []
    for closed, mode in ((0o600, 0o644), (0o644, 0o600), (0o640, 0o644)):
        path.chmod(closed)
        copies.append(files.keep(path, mode))
    assert copies == [tmp_path / "file.bak", tmp_path / "file.bak1", tmp_path / "file.bak2"]
    assert [stat.S_IMODE(copy.stat().st_mode) for copy in copies if copy] == [0o600, 0o600, 0o640]


# ---------------------------------------------------------------- what was there before


def test_what_is_known_comes_from_the_file_and_the_environment_wins(tmp_path: Path) -> None:
    (tmp_path / "riskbot.env").write_text("KEY=old\nRISKBOT_PHONE=json://a\nRISKBOT_MAIL=json://b\nRISKBOT_ODD=word\n")
    (tmp_path / "rules.toml").write_text(
        '[[accounts]]\nname = "main"\napi_key = "${KEY}"\napi_secret = "${NOWHERE}"\n'
        '[receivers.phone]\nurl = "${RISKBOT_PHONE}"\n[receivers.odd]\n[receivers.lost]\nurl = "${LOST}"\n'
    )
    found = Known(tmp_path / "rules.toml", tmp_path / "riskbot.env", {"KEY": "new"})

    entry = found.account("main")
    assert [found.value(entry.get(key)) for key in ("api_key", "api_secret", "passphrase")] == ["new", "", ""]
    assert found.receivers() == {"phone": "json://a", "odd": "", "lost": "", "mail": "json://b"}
    assert [found.lacks(name) for name in ("phone", "mail")] == [False, True]
    assert found.account("other") == {}


def test_names_of_variables_are_made_of_names() -> None:
    assert variable("my phone (2)") == "RISKBOT_MY_PHONE_2"
    assert [credential(name, "api_key") for name in ("main", "desk-1")] == ["OKX_API_KEY", "OKX_API_KEY_DESK_1"]
