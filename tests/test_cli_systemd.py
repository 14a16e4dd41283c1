"""riskbot systemd: a unit that systemd takes without a word, that locks riskbot in and lets it do its work."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from riskbot.cli import main, reach, systemd
from riskbot.cli.unit import quoted
from riskbot.settings import needs

RULES = """
include = ["rules.d/*.toml"]
plugins = ["plugins"]

[[accounts]]
name = "main"
api_key = "credential:okx_api_key"
api_secret = "credential:okx_api_secret"
passphrase = "${OKX_API_PASSPHRASE}"

[receivers.phone]
url = "tgram://${BOT}/${CHAT}"
"""
MORE = """
[receivers.mail]
url = "file:mail.url"

[[rules]]
name = "debt"
kind = "level"
field = "details.twap"
at_least = { warning = 1 }
message = "not ${FILLED} in"
labels = { desk = "file:asia" }
"""
NASTY = "ri sk %d $HOME \"x' \\n [*];"


def write(folder: Path) -> Path:
    """A rules file with all that it may need."""
    (folder / "rules.d").mkdir(parents=True)
    (folder / "plugins").mkdir()
    (folder / "rules.d/debt.toml").write_text(MORE)
    rules = folder / "rules.toml"
    rules.write_text(RULES)
    return rules


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    return write(tmp_path / "etc")


@pytest.fixture
def within_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if riskbot and its rules were where a service can read them."""
    monkeypatch.setattr(reach, "own_files", list)
    monkeypatch.setattr(reach, "obstacles", lambda _: ())


@pytest.fixture
def plain_rules(rules: Path, within_reach: None) -> Path:
    """Without a secret in a file of its own."""
    (rules.parent / "rules.d/debt.toml").unlink()
    return rules


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(main, ["systemd", *map(str, words)])


def directives(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


# What the rules file needs.


def test_what_a_rules_file_needs_is_found_without_any_secret_being_there(rules: Path) -> None:
    found = needs(rules, {})
    folder = rules.parent
    assert found.files == (rules, folder / "rules.d/debt.toml", folder / "plugins")
    assert found.secrets == (folder / "rules.d/mail.url",)
    assert found.variables == ("OKX_API_PASSPHRASE", "BOT", "CHAT")
    assert found.credentials == ("okx_api_key", "okx_api_secret")


# The unit.


def test_the_unit_runs_this_riskbot_by_this_file_with_what_it_needs(plain_rules: Path) -> None:
    rules = plain_rules
    result = run("-c", rules)
    assert result.exit_code == 0
    found, folder = directives(result.stdout), rules.parent
    program = Path(sys.executable).with_name("riskbot")
    assert found["ExecStart"] == [f"{program} run --config {rules}"]
    assert found["LoadCredential"] == [f"{name}:{folder}/credentials/{name}" for name in needs(rules).credentials]
    assert found["EnvironmentFile"] == [f"{folder}/riskbot.env"]


def test_the_unit_never_gives_up_and_is_watched_over(rules: Path) -> None:
    found = directives(run("-c", rules).stdout)
    kept = {
        "Type": "notify",
        "Restart": "always",
        "RestartSec": "2",
        "StartLimitIntervalSec": "0",
        "WatchdogSec": "30",
        "TimeoutStopSec": "15",
        "ExecReload": "kill -HUP $MAINPID",
        "StateDirectory": "riskbot",
        "DynamicUser": "yes",
        "ProtectSystem": "strict",
        "ProtectHome": "yes",
        "LimitCORE": "0",
        "WantedBy": "multi-user.target",
    }
    assert {name: found.get(name) for name in kept} == {name: [value] for name, value in kept.items()}


def test_the_folders_of_secrets_can_be_others(rules: Path) -> None:
    found = directives(run("-c", rules, "--credentials", "/etc/keys", "--env-file", "/etc/default/riskbot").stdout)
    assert found["LoadCredential"][0] == "okx_api_key:/etc/keys/okx_api_key"
    assert found["EnvironmentFile"] == ["/etc/default/riskbot"]


def test_a_rules_file_without_secrets_elsewhere_needs_none(rules: Path) -> None:
    rules.write_text('[receivers.phone]\nurl = "json://localhost"\n')
    found = directives(run("-c", rules).stdout)
    assert not {"LoadCredential", "EnvironmentFile"} & found.keys()


def test_where_there_is_no_script_its_module_is_run(rules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/usr/bin/python3")
    assert directives(run("-c", rules).stdout)["ExecStart"] == [f"/usr/bin/python3 -m riskbot.cli run --config {rules}"]


def test_the_unit_of_a_user_asks_for_nothing_that_only_root_may_do(rules: Path) -> None:
    result = run("-c", rules, "--user")
    found = directives(result.stdout)
    assert result.stderr == ""
    assert found["WantedBy"] == ["default.target"]
    assert found["NoNewPrivileges"] == ["yes"]
    assert "StateDirectory" not in found  # its database lies where `riskbot status` looks for it
    assert not {"DynamicUser", "ProtectSystem", "ProtectHome", "CapabilityBoundingSet", "After"} & found.keys()


@pytest.mark.parametrize(
    ("word", "written"),
    [
        ("/etc/riskbot/rules.toml", "/etc/riskbot/rules.toml"),
        ("two words", '"two words"'),
        ("50%", "50%%"),
        ("$HOME", "$$HOME"),
        ('a"b\\c', '"a\\"b\\\\c"'),
        (";", '";"'),
        ("zürich", '"zürich"'),
    ],
)
def test_a_word_is_quoted_as_systemd_reads_it(word: str, written: str) -> None:
    assert quoted(word) == written


def test_in_the_program_itself_a_dollar_stands_for_itself() -> None:
    assert quoted("/opt/$x", program=True) == "/opt/$x"


def test_paths_stand_for_themselves_whatever_signs_they_have(tmp_path: Path) -> None:
    """As tried on a systemd that ran: it read all three files."""
    found = directives(run("-c", write(tmp_path / NASTY)).stdout)
    folder = f"{tmp_path}/{NASTY}".replace("%", "%%")
    assert found["LoadCredential"][0] == f"okx_api_key:{folder}/credentials/okx_api_key"
    pattern = folder.replace("\\", "\\\\").replace("[", "\\[").replace("*", "\\*")
    assert found["EnvironmentFile"] == [f"{pattern}/riskbot.env"]
    word = folder.replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    assert found["ExecStart"][0].endswith(f'"{word}/rules.toml"')


# What systemd says of it. It is part of every Debian; where CI has none that is a failure, not a reason to skip.


ANALYZE = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(not (ANALYZE or os.environ.get("CI")), reason="without systemd no unit is verified")


def analyze(*words: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    command = [ANALYZE or "systemd-analyze", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | env)


@needs_systemd
@pytest.mark.parametrize("folder", ["etc", NASTY])
@pytest.mark.parametrize("mode", [[], ["--user"]], ids=["system", "user"])
def test_systemd_has_nothing_to_say_against_the_unit(tmp_path: Path, folder: str, mode: list[str]) -> None:
    unit = tmp_path / "riskbot.service"
    unit.write_text(run("-c", write(tmp_path / folder), *mode).stdout)
    said = analyze(*mode, "verify", unit, XDG_RUNTIME_DIR=str(tmp_path))
    assert (said.returncode, said.stderr) == (0, "")


@needs_systemd
def test_systemd_rates_its_exposure_at_1_5_of_10_at_most(tmp_path: Path) -> None:
    unit = tmp_path / "riskbot.service"
    unit.write_text(run("-c", write(tmp_path / "etc")).stdout)
    said = analyze("security", "--offline=true", "--threshold=15", "--no-pager", unit)
    found = re.search(r"Overall exposure level for riskbot.service: ([\d.]+)", said.stdout)
    assert found is not None, said
    assert (said.returncode, float(found[1]) <= 1.5) == (0, True), said.stdout


# Writing it.


def test_it_is_written_and_what_comes_next_is_said(plain_rules: Path, tmp_path: Path) -> None:
    variables = "OKX_API_PASSPHRASE=…, BOT=…, CHAT=…"
    unit = tmp_path / "units/guard.service"
    result = run("-c", plain_rules, "--to", unit)
    assert result.exit_code == 0
    assert unit.read_text() == run("-c", plain_rules).stdout
    assert unit.stat().st_mode & 0o777 == 0o644
    assert list(unit.parent.iterdir()) == [unit]
    words = result.stdout.replace("sudo ", "").splitlines()
    folder = plain_rules.parent
    assert words == [
        f"Wrote {unit}. Next:",
        f"  install -D -m 600 /dev/stdin {folder}/credentials/okx_api_key   # paste it, Enter, Ctrl-D",
        f"  install -D -m 600 /dev/stdin {folder}/credentials/okx_api_secret   # paste it, Enter, Ctrl-D",
        f"  install -D -m 600 /dev/stdin {folder}/riskbot.env   # {variables}, each on its line; Ctrl-D",
        "  systemctl daemon-reload",
        "  systemctl enable --now guard",
        "  systemctl status guard       # with the worst alert in its Status line",
        "  journalctl -u guard -f",
        f"  STATE_DIRECTORY=/var/lib/riskbot riskbot status -c {plain_rules}",
    ]


def test_secrets_that_are_there_are_not_asked_for_and_one_that_runs_is_restarted(
    plain_rules: Path, tmp_path: Path
) -> None:
    folder, unit = plain_rules.parent, tmp_path / "riskbot.service"
    (folder / "credentials").mkdir()
    for name in ("credentials/okx_api_key", "credentials/okx_api_secret", "riskbot.env"):
        (folder / name).touch()
    run("-c", plain_rules, "--to", unit)
    again = run("-c", plain_rules, "--to", unit)
    assert again.exit_code == 0
    assert "/dev/stdin" not in again.stdout
    assert "systemctl restart riskbot" in again.stdout


def test_a_unit_that_somebody_has_changed_is_not_replaced_without_force(plain_rules: Path, tmp_path: Path) -> None:
    unit = tmp_path / "riskbot.service"
    run("-c", plain_rules, "--to", unit)
    mine = unit.read_text().replace("WatchdogSec=30", "WatchdogSec=99")
    unit.write_text(mine)
    refused = run("-c", plain_rules, "--to", unit)
    assert (refused.exit_code, unit.read_text()) == (1, mine)
    assert "-WatchdogSec=99\n+WatchdogSec=30\n" in refused.stderr
    assert refused.stderr.endswith(f"{unit} is there already and differs so; --force replaces it.\n")
    assert run("-c", plain_rules, "--to", unit, "--force").exit_code == 0
    assert "WatchdogSec=30" in unit.read_text()


def test_a_user_installs_it_at_home(rules: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    result = run("-c", rules, "--user", "--install")
    assert result.exit_code == 0
    assert (tmp_path / "config/systemd/user/riskbot.service").read_text().startswith("[Unit]")
    assert "systemctl --user enable --now riskbot" in result.stdout
    assert "loginctl enable-linger" in result.stdout
    assert result.stdout.endswith(f"\n  riskbot status -c {rules}\n")
    assert "sudo" not in result.stdout
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", "/home/me")
    assert systemd._place(user=True) == Path("/home/me/.config/systemd/user/riskbot.service")
    assert systemd._place(user=False) == Path("/etc/systemd/system/riskbot.service")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError(13, "Permission denied"), "Permission denied; run it with sudo, or with --user\n"),
        (OSError(28, "No space left on device"), "No space left on device\n"),
    ],
)
def test_that_it_can_not_be_written_is_told_with_what_to_do(
    plain_rules: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, said: str
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(Path, "replace", fails)
    result = run("-c", plain_rules, "--to", tmp_path / "riskbot.service")
    assert (result.exit_code, result.stderr) == (1, f"can't write {tmp_path}/riskbot.service: {said}")


# What the service could not read.


def test_what_the_service_could_not_read_is_told_and_nothing_is_written(
    rules: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reach, "HIDDEN", {"PrivateTmp": (str(tmp_path),)})
    unit = tmp_path / "riskbot.service"
    shown, written = run("-c", rules), run("-c", rules, "--to", unit)
    told = f"the service can't use {rules}: PrivateTmp=yes hides {tmp_path} from the service; move it, or use --user\n"
    secret = f"the service can't use {rules.parent}/rules.d/mail.url: its user is made anew at each start; write \"cr"
    assert (shown.exit_code, told in shown.stderr, secret in shown.stderr) == (1, True, True)
    assert shown.stdout.startswith("[Unit]")
    assert (run("-c", rules, "--force").exit_code, run("-c", rules, "--user").exit_code) == (0, 0)
    assert (written.exit_code, told in written.stderr, unit.exists()) == (1, True, False)
    assert written.stderr.endswith("Nothing was written; --force writes it all the same.\n")
    assert run("-c", rules, "--to", unit, "--force").exit_code == 0
    assert unit.exists()


@pytest.mark.parametrize(
    ("store", "told"), [("/srv/riskbot.db", True), ("riskbot.db", False), ("/var/lib/riskbot/a.db", False)]
)
def test_a_store_where_the_service_may_not_write_is_told(plain_rules: Path, store: str, told: bool) -> None:
    plain_rules.write_text(f'[store]\npath = "{store}"\n')
    said = f"the service can't use {store}: it may write in /var/lib/riskbot only; leave [store] path out"
    assert (said in run("-c", plain_rules).stderr) is told
    assert run("-c", plain_rules, "--user").stderr == ""


@pytest.mark.parametrize(
    ("path", "hidden_by"),
    [
        ("/home/me/rules.toml", "ProtectHome=yes hides /home "),
        ("/root/venv", "ProtectHome=yes hides /root "),
        ("/var/tmp/rules.toml", "PrivateTmp=yes hides /var/tmp "),  # noqa: S108 - only named
    ],
)
def test_homes_and_temporary_folders_are_hidden(path: str, hidden_by: str) -> None:
    (told,) = reach.obstacles([Path(path)])
    assert told.startswith(f"{path}: {hidden_by}")


@pytest.fixture
def open_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Open to all and not hidden; pytest's own folders are for its user alone."""
    monkeypatch.setattr(reach, "HIDDEN", {})
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_a_file_must_be_open_to_all_and_so_must_the_folders_above_it(open_folder: Path) -> None:
    file = open_folder / "a/b/rules.toml"
    file.parent.mkdir(parents=True)
    file.touch(0o644)
    assert list(reach.obstacles([file, file.parent])) == []
    file.chmod(0o640)
    why = "the service has a user of its own, who may not read it: chmod"
    assert list(reach.obstacles([file])) == [f"{file}: {why} o+r {file}"]
    (open_folder / "a").chmod(0o754)
    assert list(reach.obstacles([file])) == [f"{file}: {why} o+x {open_folder}/a"]
    assert list(reach.obstacles([open_folder / "a"])) == [f"{open_folder}/a: {why} o+rx {open_folder}/a"]
    absent = open_folder / "absent"
    assert list(reach.obstacles([absent])) == [f"{absent}: can't look at it: No such file or directory"]


def test_riskbot_itself_and_its_python_must_be_readable_too() -> None:
    assert {Path(sys.prefix), Path(sys.base_prefix), Path(reach.__file__).parents[1]} == set(reach.own_files())


# What can't be said to systemd.


@pytest.mark.parametrize("name", ["", "a/b", "a b", "..", "größe"])
def test_a_name_that_no_credential_can_have_is_refused(rules: Path, name: str) -> None:
    rules.write_text(f'[receivers.phone]\nurl = "credential:{name}"\n')
    result = run("-c", rules)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"credential:{name}: a name has letters, digits, _, - and . only\n"


def test_a_path_with_a_line_break_is_refused(tmp_path: Path) -> None:
    rules = write(tmp_path / "two\nlines")
    result = run("-c", rules)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.endswith("systemd takes no path with such signs\n")


@pytest.mark.parametrize(("text", "said"), [("[[", "rules.toml:1: not valid TOML"), (None, "rules.toml: not found")])
def test_a_rules_file_that_can_not_be_read_is_told(rules: Path, text: str | None, said: str) -> None:
    rules.unlink()
    if text is not None:
        rules.write_text(text)
    result = run("-c", rules)
    assert (result.exit_code, said in result.stderr) == (2, True)


def test_an_included_file_that_is_wrong_is_told(rules: Path) -> None:
    (rules.parent / "rules.d/debt.toml").write_text("[[")
    result = run("-c", rules)
    assert (result.exit_code, "rules.d/debt.toml:1: not valid TOML" in result.stderr) == (2, True)
