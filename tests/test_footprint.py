"""The memory of a process that runs for months."""

import ctypes
import gc
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from riskbot.service import footprint


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


def test_the_collector_comes_seldom_but_comes_to_the_oldest_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace(mallopt=lambda *_: 1))
    footprint.keep_small()
    young, *older = gc.get_threshold()
    assert (young, older) == (10_000, [10, 10])


def test_glibc_is_told_to_give_memory_back(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace(mallopt=lambda *words: told.append(words)))
    footprint.keep_small()
    assert told == [(-8, 1), (-3, 131_072)]


@pytest.mark.parametrize("library", [SimpleNamespace(), OSError("no such library"), TypeError("no path")])
def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch, library: object) -> None:
    def load(_: None) -> object:
        if isinstance(library, Exception):
            raise library
        return library

    monkeypatch.setattr(ctypes, "CDLL", load)
    footprint.keep_small()
    assert gc.get_threshold()[0] == 10_000
