"""The newest part of something that has no end, by account."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Tail(Generic[K, V]):
    """Values by account and key, in the order in which they came; the oldest are forgotten beyond a weight."""

    def __init__(self, most: int, weigh: Callable[[V], int] = lambda _: 1) -> None:
        self._most, self._weigh, self._weight = most, weigh, 0
        self._values: dict[tuple[str, K], V] = {}
        self._keys: dict[str, dict[K, None]] = {}

    def put(self, account: str, key: K, value: V) -> None:
        """Add it, or put it in the place of another."""
        self._weight -= self._weigh(self._values[account, key]) if (account, key) in self._values else 0
        self._values[account, key] = value
        self._keys.setdefault(account, {})[key] = None
        self._weight += self._weigh(value)
        while self._weight > self._most:
            self.drop(*next(iter(self._values)))

    def drop(self, account: str, key: K) -> None:
        """Forget it, if it is there."""
        if (account, key) in self._values:
            self._weight -= self._weigh(self._values.pop((account, key)))
            del self._keys[account][key]

    def of(self, account: str) -> dict[K, V]:
        """What there is of an account, in order."""
        return {key: self._values[account, key] for key in self._keys.get(account, ())}

    def accounts(self) -> list[str]:
        """Those of which there is something."""
        return [account for account, keys in self._keys.items() if keys]

    def __contains__(self, place: tuple[str, K]) -> bool:
        return place in self._values

    def __iter__(self) -> Iterator[V]:
        return iter(list(self._values.values()))

    @property
    def weight(self) -> int:
        """Of all of it."""
        return self._weight
