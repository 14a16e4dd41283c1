"""What the docs say is so: every TOML block loads, every command runs."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from riskbot import plugins, settings
from riskbot.cli import COMMANDS
from riskbot.replay.incidents import labelled
from riskbot.rules import Rule
from riskbot.simulator import parse_scenario
from tests.files import KINDS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
ARCHITECTURE = (ROOT / "riskbot/ARCHITECTURE.md").read_text(encoding="utf-8")
ENV = {
    "OKX_API_KEY": "a key",
    "OKX_API_SECRET": "a secret",
    "OKX_API_PASSPHRASE": "a passphrase",
    "RISKBOT_PHONE": "json://127.0.0.1:1/",
    "RISKBOT_WEB_TOKEN": "0123456789abcdef",
}
ACCOUNT = """
[[accounts]]
name = "main"
api_key = "${OKX_API_KEY}"
api_secret = "${OKX_API_SECRET}"
passphrase = "${OKX_API_PASSPHRASE}"

[receivers.phone]
url = "${RISKBOT_PHONE}"
"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^ *```{language}\n(.*?)^ *```", README, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("block", blocks("toml"))
def test_every_toml_block_of_the_readme_loads(block: str, tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    if "[coins." in block:
        assert parse_scenario(block).at(0).account["mgnRatio"]
        return
    account = ACCOUNT.partition("[receivers")[0] if "[receivers." in block else ACCOUNT
    top, _, rest = block.partition("\n\n") if block.startswith("plugins") else ("", "", block)
    together = block + account if "include" in block else f"{top}\n{account}{rest}"
    path.write_text(block if "[[accounts]]" in block else together)
    shutil.copytree(ROOT / "plugins", tmp_path / "plugins")
    for copied in (tmp_path / "plugins", *(tmp_path / "plugins").glob("*.py")):
        copied.chmod(copied.stat().st_mode & ~0o022)  # whatever the umask of the checkout was
    config = settings.load(path, plugins.load(settings.find_plugins(path, ENV)).kinds, ENV)
    assert len(config.rules) == block.count("[[rules]]") + sum(kind not in block for kind in ("blind", "key_safety"))


HOW_TRIED = {
    "make demo": "here, and the demo by test_cli_demo.py",
    "make test": "here; it is what runs this test",
    "cp rules.example.toml rules.toml": "test_the_set_up_of_the_readme_works",
    "export OKX_API_KEY=… OKX_API_SECRET=… OKX_API_PASSPHRASE=…": "test_the_set_up_of_the_readme_works",
    "export RISKBOT_PHONE=tgram://BOT_TOKEN/CHAT_ID": "test_the_set_up_of_the_readme_works",
    "riskbot init": "test_init_terminal.py",
    "set -a; . ./riskbot.env; set +a": "test_init_terminal.py, test_setup_files.py",
    "riskbot init --yes --api-secret-file /run/secrets/okx --receiver phone=/run/secrets/phone": "test_cli_init.py",
    "source .venv/bin/activate": "it is venv's own",
    "riskbot --help": "test_cli_help.py",
    "riskbot check": "test_the_mistakes_that_the_readme_shows_are_told_so, test_the_set_up_of_the_readme_works",
    "riskbot check --live": "test_cli_check_live.py",
    "riskbot notify": "test_cli_notify.py",
    "riskbot drill": "test_cli_drill.py",
    "riskbot run": "test_program.py",
    "riskbot status": "test_cli_status.py",
    "sudo ln -s /opt/riskbot/.venv/bin/riskbot /usr/local/bin/": "the installed script runs through any link",
    "sudo riskbot systemd --install -c /etc/riskbot/rules.toml": "test_cli_systemd.py",
    "systemctl status riskbot": "test_herald.py: what systemd hears",
    "journalctl -u riskbot -p warning": "test_logs.py: what the journal gets",
    "sudo CREDENTIALS_DIRECTORY=/etc/riskbot/credentials riskbot check --live -c /etc/riskbot/rules.toml": "test_cli_check.py",  # noqa: E501
    "sudo STATE_DIRECTORY=/var/lib/riskbot riskbot status -c /etc/riskbot/rules.toml": "test_cli_status.py",
    "riskbot history --since 12h": "test_cli_history.py",
    "riskbot explain 'margin ratio'": "test_cli_explain.py",
    "riskbot ack 2e78 --for 45m": "test_cli_ack.py",
    "riskbot silence --rule 'forced*' --ccy BTC --for 2h --why 'paying it back by hand'": "test_cli_silence.py",
    "riskbot silence": "test_cli_silence.py",
    "riskbot outbox": "test_cli_outbox.py",
    "riskbot outbox retry 613a": "test_cli_outbox.py",
    "riskbot test": "test_the_cases_of_the_readme_come_as_it_shows",
    "riskbot test --update": "test_the_cases_of_the_readme_come_as_it_shows",
    "riskbot replay crash --rules bolder.toml --against current --lead-to 'mgnRatio <= 1'": "test_the_story_of_…",
    "riskbot replay crash --sweep 'margin ratio.below.critical=2:4:0.5' --lead-to 'mgnRatio <= 1'": "the same",
    "riskbot replay --fail-if 'missed > 0 or messages_per_day.phone > 20' --labels incidents.toml": (
        "test_cli_replay.py"
    ),
    "riskbot replay --verify": "test_replay_journal.py",
    "riskbot reload --plan -c new.toml": "test_cli_reload.py",
    "riskbot rules kinds change": "test_cli_rules.py",
    'riskbot rules new change --name "debt grows" >> rules.toml': "test_a_rule_is_appended_as_the_readme_says",
    "riskbot fields liab": "test_the_fields_that_the_readme_shows_are_so",
    "riskbot schema > rules.schema.json": "test_schema.py",
    "curl http://127.0.0.1:9105/healthz": "test_web_program.py",
    "riskbot metrics": "test_metrics.py",
    "riskbot metrics prometheus > riskbot.rules.yml": "test_dashboards.py",
    "riskbot metrics grafana > riskbot.dashboard.json": "test_dashboards.py",
    "riskbot journal size": "test_cli_journal.py",
    "riskbot journal export main --from 2026-03-01 -o march.jsonl.gz": "test_cli_journal.py",
    "riskbot journal import march.jsonl.gz --account march --journal old.db": "test_cli_journal.py",
    "riskbot simulate crash --speed 10 --port 8900": "test_cli_simulate.py",
    "curl -d 'html=502' http://127.0.0.1:8900/simulator/faults": "test_cli_simulate.py",
    "curl -X DELETE http://127.0.0.1:8900/simulator/faults": "test_cli_simulate.py",
}
"""Every command of the README and the test that runs it."""


def test_every_command_of_the_readme_is_tried() -> None:
    commands = {line.strip()[2:] for block in blocks("console") for line in block.splitlines() if "$ " in line[:6]}
    assert commands == HOW_TRIED.keys()


@pytest.mark.parametrize("target", ["demo", "test", "check", "bench", "clean"])
def test_make_has_what_the_docs_name(target: str) -> None:
    shown = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=True)
    assert shown.stdout


def test_ci_runs_the_readmes_test_command_and_nothing_else() -> None:
    lines = (ROOT / ".ci/run").read_text().splitlines()
    assert [line for line in lines if line and not line.startswith(("#", "set ", "cd "))] == ["make test"]


def riskbot(*words: str, cwd: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).parent / "riskbot"
    return subprocess.run([str(program), *words], cwd=cwd, env=env, capture_output=True, text=True, check=False)


def test_the_set_up_of_the_readme_works(tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_bytes((ROOT / "rules.example.toml").read_bytes())
    env = ENV | {"RISKBOT_PHONE": "tgram://123456789:abcdefg_hijklmnop/12315544/"}
    shown = riskbot("check", cwd=tmp_path, env=env)
    assert shown.returncode == 0, shown.stderr
    assert "margin ratio" in shown.stdout


def test_the_mistakes_that_the_readme_shows_are_told_so(tmp_path: Path) -> None:
    shown = next(block for block in blocks("console") if "mistakes;" in block).splitlines()[1:]
    account = ACCOUNT.lstrip("\n").splitlines()
    account.insert(5, 'regon = "eea"')
    lines = ["", *account]
    lines += [""] * (16 - len(lines)) + [
        "[[rules]]",
        'name = "ratio"',
        'kind = "margin_ratio"',
        "below = { warnig = 5 }",
    ]
    (tmp_path / "rules.toml").write_text("\n".join(lines))
    told = riskbot("check", cwd=tmp_path, env=ENV)
    assert told.returncode == 2
    assert told.stderr.splitlines() == shown


def test_a_rule_is_appended_as_the_readme_says(tmp_path: Path) -> None:
    new = riskbot("rules", "new", "change", "--name", "debt of the desk", cwd=tmp_path, env=ENV)
    (tmp_path / "rules.toml").write_text("#:schema ./rules.schema.json\n" + ACCOUNT + new.stdout)
    shown = riskbot("check", cwd=tmp_path, env=ENV)
    assert (shown.returncode, "debt of the desk" in shown.stdout) == (0, True), shown.stderr


def test_the_fields_that_the_readme_shows_are_so(tmp_path: Path) -> None:
    block = next(block for block in blocks("console") if "fields liab" in block)
    shown = riskbot("fields", "liab", cwd=tmp_path, env=ENV).stdout
    assert [line.rstrip() for line in shown.splitlines()] == block.partition("fields liab\n")[2].splitlines()


def test_the_cases_of_the_readme_come_as_it_shows(tmp_path: Path) -> None:
    rules, more = [block for block in blocks("toml") if "[[cases]]" in block]
    path = tmp_path / "rules.toml"
    path.write_text(ACCOUNT.lstrip("\n") + rules)
    env = {**os.environ, "COLUMNS": "120"}
    for words in (["test"], ["test", "--update"]):
        block = next(block for block in blocks("console") if block.startswith(f"$ riskbot {' '.join(words)}\n"))
        told = riskbot(*words, cwd=tmp_path, env=env)
        assert [line.rstrip() for line in told.stdout.splitlines()] == block.splitlines()[1:], told.stderr
    path.write_text(f"{path.read_text()}\n{more}")
    told = riskbot("test", "--quick", cwd=tmp_path, env=env)
    assert (told.returncode, told.stderr) == (0, ""), told.stdout


def test_the_story_of_a_replay_is_as_the_readme_tells_it(tmp_path: Path) -> None:
    example = (ROOT / "rules.example.toml").read_text()
    edited = next(block for block in blocks("toml") if "emergency = 2.5" in block).splitlines()[-1]
    bolder = re.sub(r"^below = .*emergency = 1.5.*$", edited, example, count=1, flags=re.MULTILINE)
    assert bolder != example
    (tmp_path / "rules.toml").write_text(example)
    (tmp_path / "bolder.toml").write_text(bolder)
    env = {**os.environ, "COLUMNS": "124"}
    block = next(block for block in blocks("console") if block.startswith("$ riskbot replay crash --rules"))
    told = riskbot(*shlex.split(block.splitlines()[0])[2:], cwd=tmp_path, env=env)
    assert [line.rstrip() for line in told.stdout.splitlines()] == block.splitlines()[1:], told.stderr
    swept = next(line for block in blocks("console") for line in block.splitlines() if "--sweep" in line)
    told = riskbot(*shlex.split(swept)[2:], cwd=tmp_path, env=env)
    assert (told.returncode, told.stdout.count("█" * 24)) == (0, 5), told.stderr


def test_incidents_are_written_as_the_readme_has_them(tmp_path: Path) -> None:
    path = tmp_path / "incidents.toml"
    path.write_text(next(block for block in blocks("text") if "[[incidents]]" in block))
    (incident,) = labelled(path)
    assert (incident.at - incident.since, incident.until, incident.rules) == (5400, incident.at, ("margin*",))


def test_the_readme_lists_every_kind_key_and_command() -> None:
    for kind, found in KINDS.items():
        row = next(line for line in README.splitlines() if line.startswith(f"| `{kind}` |"))
        own = {field.alias or name for name, field in found.model_fields.items() if name not in Rule.model_fields}
        assert {key for key in own if f"`{key}`" not in row} == set()
    common = {field.alias or name for name, field in Rule.model_fields.items()} - {"name", "kind"}
    assert {key for key in common if f"`{key}`" not in README} == set()
    assert {name for name in COMMANDS if f"| `riskbot {name}` |" not in README} == set()


@pytest.mark.parametrize("path", ["README.md", "plugins/README.md", "riskbot/ARCHITECTURE.md"])
def test_every_link_leads_somewhere(path: str) -> None:
    page = (ROOT / path).read_text(encoding="utf-8")
    headings = {re.sub(r"[^\w\- ]", "", line.strip("# ").lower()).replace(" ", "-") for line in heads(page)}
    targets = re.findall(r"\]\(([^)\s]+)\)", page)
    assert {target for target in targets if target.startswith("#") and target[1:] not in headings} == set()
    files = [target for target in targets if not target.startswith(("#", "http"))]
    assert {target for target in files if not (ROOT / path).parent.joinpath(target).exists()} == set()


def heads(page: str) -> list[str]:
    """The headings, without what stands in blocks of code."""
    return re.findall(r"^#+ .*$", re.sub(r"^ *```.*?^ *```", "", page, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)


def rows_of(folder: str) -> str:
    """What the map has to say of a folder of riskbot/: its rows, with those below them that begin with …"""
    found, inside = list[str](), False
    for row in re.findall(r"^\| .*$", ARCHITECTURE, re.MULTILINE):
        inside = f"`{folder}" in row.split("|")[1] or (inside and row.startswith("| …"))
        found += [row] * inside
    return "\n".join(found)


def test_the_map_of_the_architecture_names_every_file() -> None:
    """Where it has the file's folder. A command's file is named like the command."""
    base = ROOT / "riskbot"
    named_so = {base / f"cli/{word.replace('-', '_')}.py" for word in COMMANDS} | {*(base / "cli").glob("init_*.py")}
    for path in {*base.rglob("*.py")} - named_so - {*base.rglob("__init__.py")}:
        folders = path.relative_to(base).parts[:-1]
        rows = rows_of(f"{folders[0]}/") if folders else rows_of("")
        assert re.search(rf"`(\w+/)?{path.name}`", rows), f"{path} is not in the map"
    packages = {path.parent.name for path in base.rglob("*/__init__.py")}
    assert {name for name in packages if not rows_of(f"{name}/") and f"`{name}/`" not in ARCHITECTURE} == set()


def test_the_map_of_the_architecture_names_no_file_that_is_not_there() -> None:
    named = set(re.findall(r"`([a-z_/]+\.py)`", ARCHITECTURE))
    there = {path.relative_to(ROOT / "riskbot").as_posix() for path in (ROOT / "riskbot").rglob("*.py")}
    assert {name for name in named if not any(path.endswith(name) for path in there)} == set()


def test_no_file_names_a_url_or_host_in_the_lock() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    assert "--hash=sha256:" in lock
    assert re.findall(r"https?://|index-url|find-links", lock) == []
