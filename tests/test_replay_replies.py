"""Files of recorded replies: what they may hold, and what is told of what they may not."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from riskbot.model import AccountInfo
from riskbot.playback import Entry, Failure, Known, Reply
from riskbot.replay import replies
from riskbot.replay.replies import BadInput, Replies
from riskbot.source import Remedy

T = 1_767_225_600_000
BODY = {"mgnRatio": "12", "uTime": "1", "details": [{"ccy": "BTC", "liab": "1"}]}
CONFIG = {"uid": "77", "acctLv": "3", "perm": "read_only", "ip": ""}


def line(after: int = 0, **what: Any) -> str:
    return json.dumps({"t": T + after, **(what or {"body": BODY})}) + "\n"


def read(text: str | Iterable[str]) -> tuple[list[Entry], list[str]]:
    bad: list[str] = []
    lines = [word.encode() for word in "".join(text).splitlines(keepends=True)]
    return list(replies.entries(lines, "week.jsonl", lambda error: bad.append(str(error)))), bad


def test_a_body_is_the_whole_reply_or_its_one_object() -> None:
    whole = {"code": "0", "data": [BODY], "msg": ""}
    found, bad = read([line(body=BODY), line(1500, body=whole)])
    assert bad == []
    assert [(type(entry), entry.at) for entry in found] == [(Reply, T / 1000), (Reply, T / 1000 + 1.5)]
    assert all(isinstance(entry, Reply) and entry.snapshot.raw == BODY for entry in found)


def test_errors_and_configurations_are_read_too() -> None:
    found, bad = read([line(error="no answer"), line(config=CONFIG), line(config={"code": "0", "data": [CONFIG]})])
    assert bad == []
    failure, *known = found
    assert isinstance(failure, Failure)
    assert failure.error.why == "no answer"
    assert known == [Known(T / 1000, AccountInfo("77", "3", permissions=("read_only",)))] * 2


def test_what_okx_refuses_is_a_poll_that_failed_as_it_is_live() -> None:
    (failure,), bad = read(line(body={"code": "50119", "data": [], "msg": "API key doesn't exist"}))
    assert bad == []
    assert isinstance(failure, Failure)
    assert failure.error.remedy is Remedy.SLOW


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"t": 17\n', 'not JSON; a line is {"t": milliseconds, "body": {…}}'),
        ("[1, 2]\n", 'not an object; a line is {"t": milliseconds, "body": {…}}'),
        ('{"time": 1, "level": "info", "msg": "hello"}\n', 'no "t": when it was, in whole milliseconds since 1970'),
        ('{"t": 1767225600.5, "body": {}}\n', 'no "t": when it was, in whole milliseconds since 1970'),
        ('{"t": true, "body": {}}\n', 'no "t": when it was, in whole milliseconds since 1970'),
        ('{"t": 1767225600, "body": {}}\n', '"t" is 1767225600: no moment in milliseconds since 1970'),
        (line(bdy=BODY), 'unknown field "bdy"; did you mean "body"?'),
        (line(body=BODY, note="x"), 'unknown field "note"'),
        (line(body=BODY, error="x"), 'besides "t" stands one of "body": {…}, "error": "…", "config": {…}'),
        (line(body="x"), 'besides "t" stands one of "body": {…}, "error": "…", "config": {…}'),
        (line(body={"mgnRatio": "1"}), "no reply of account/balance: "),
        (line(body={"details": [{"ccy": ""}]}), "no reply of account/balance: OKX answers with currencies unnamed"),
        (line(config={"uid": "77"}), "no reply of account/config: "),
        (line(-1), "t goes back, by 0.001 s"),
    ],
)
def test_a_bad_line_is_told_with_its_number_and_the_rest_is_usable(text: str, why: str) -> None:
    found, bad = read([line(), "\n", text, line(1)])
    assert [error.startswith(f"week.jsonl:3: {why}") for error in bad] == [True], bad
    assert [entry.at for entry in found] == [T / 1000, T / 1000 + 0.001]


def test_a_last_line_that_is_cut_off_is_said_to_be() -> None:
    found, bad = read([line(), line(1)[:-20]])
    assert len(found) == 1
    assert bad == ['week.jsonl:2: not JSON: the line is cut off; a line is {"t": milliseconds, "body": {…}}']


def fails(error: BadInput) -> None:
    raise error


def test_a_gzip_file_is_known_by_its_first_bytes(tmp_path: Path) -> None:
    path = tmp_path / "week"
    path.write_bytes(gzip.compress(line().encode() * 3))
    found = Replies(path)
    assert len(list(found.entries(fails))) == 3
    assert found.part == 1


def test_a_gzip_file_that_is_cut_off_is_good_up_to_there(tmp_path: Path) -> None:
    path = tmp_path / "week.jsonl.gz"
    path.write_bytes(gzip.compress("".join(line(i) for i in range(50_000)).encode())[:-20_000])
    bad: list[str] = []
    found = list(Replies(path).entries(lambda error: bad.append(str(error))))
    assert 1000 < len(found) < 50_000
    assert [error.partition(": ")[2] for error in bad] == [
        "the file is cut off or damaged from here on; what is before it is good"
    ]
    with pytest.raises(BadInput, match=r"week.jsonl.gz:\d+: the file is cut off"):
        list(Replies(path).entries(fails))


def test_a_line_without_end_is_no_danger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replies, "LONGEST", 1000)
    path = tmp_path / "week.jsonl"
    path.write_text(line() + '{"t": ' + "1" * 5000 + "}\n" + line(1))
    bad: list[str] = []
    found = list(Replies(path).entries(lambda error: bad.append(str(error))))
    assert len(found) == 2
    assert [error[:22] for error in bad] == ["week.jsonl:2: not JSON"]


@pytest.mark.parametrize(("lines", "pace"), [([0, 5, 10, 15], 5.0), ([0, 1, 2, 900, 901], 1.0), ([0], 0.0), ([], 0.0)])
def test_the_pace_of_a_file_is_that_of_most_of_its_first_lines(lines: list[int], pace: float, tmp_path: Path) -> None:
    path = tmp_path / "week.jsonl"
    path.write_text("".join(line(second * 1000) for second in lines))
    assert Replies(path).pace == pace


def test_bad_lines_have_no_say_in_the_pace(tmp_path: Path) -> None:
    path = tmp_path / "week.jsonl"
    path.write_text(line() + "hello\n" + line(2000))
    assert (Replies(path).pace, Replies(path).knows) == (2, False)
    path.write_text(line() + line(config=CONFIG))
    assert Replies(path).knows
