"""Pending deliveries, in an SQLite file so that they survive a restart."""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path

from attrs import frozen

from local_azure.event_grid.event_schema import Event

_TABLES = """
CREATE TABLE IF NOT EXISTS deliveries (
    id INTEGER PRIMARY KEY, topic TEXT NOT NULL, subscription TEXT NOT NULL, event TEXT NOT NULL,
    published REAL NOT NULL, due REAL NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
    attempted REAL, outcome TEXT, reason TEXT, given_up REAL
);
CREATE INDEX IF NOT EXISTS deliveries_by_time ON deliveries (topic, subscription, due);
CREATE TABLE IF NOT EXISTS counts (
    topic TEXT NOT NULL, subscription TEXT NOT NULL, what TEXT NOT NULL, count INTEGER NOT NULL,
    PRIMARY KEY (topic, subscription, what)
);
"""
_POSTPONE = """
UPDATE deliveries SET due = ?, attempts = ?, attempted = ?, outcome = ?, reason = ?, given_up = ? WHERE id = ?
"""
_COUNT = "INSERT INTO counts VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count"
COUNTS = ("delivered", "failed", "dead_lettered", "dropped")
"""The counters: events delivered, failed attempts, events dead-lettered, events given up or dropped deliberately."""


@frozen(kw_only=True)
class Delivery:
    """One event for one subscription. Times are seconds since 1970.

    `outcome` is the result of the last attempt. `reason` is why it was given up, at `given_up`: no further attempt is
    made, and the event is dead-lettered.
    """

    id: int = 0
    topic: str
    subscription: str
    event: Event
    published: float
    due: float
    attempts: int = 0
    attempted: float | None = None
    outcome: str | None = None
    reason: str | None = None
    given_up: float | None = None


class DeliveryStore:
    """Pending deliveries, and counts of the completed ones. For one thread at a time."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(path, check_same_thread=False, autocommit=True)
        self._database.row_factory = sqlite3.Row
        self._database.executescript(f"PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; {_TABLES}")
        self._database.autocommit = False  # the journal's mode cannot be set inside a transaction

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def add(self, deliveries: Iterable[Delivery]) -> None:
        """Add deliveries, all or none."""
        with self._database as database:
            database.executemany(
                "INSERT INTO deliveries (topic, subscription, event, published, due) VALUES (?, ?, ?, ?, ?)",
                [(one.topic, one.subscription, json.dumps(one.event), one.published, one.due) for one in deliveries],
            )

    def due(self, topic: str, subscription: str, now: float, limit: int) -> Sequence[Delivery]:
        """Return up to `limit` deliveries that are due, earliest first."""
        rows = self._database.execute(
            "SELECT * FROM deliveries WHERE topic = ? AND subscription = ? AND due <= ? ORDER BY due, id LIMIT ?",
            (topic, subscription, now, limit),
        )
        return [Delivery(**{**row, "event": json.loads(row["event"])}) for row in rows]

    def next_due(self) -> dict[tuple[str, str], float]:
        """Return, for each subscription with pending deliveries, when its next one is due."""
        rows = self._database.execute("SELECT topic, subscription, MIN(due) FROM deliveries GROUP BY 1, 2")
        return {(row[0], row[1]): row[2] for row in rows}

    def finish(self, deliveries: Sequence[Delivery], what: str) -> None:
        """Remove deliveries and count them as `what`, one of COUNTS."""
        with self._database as database:
            database.executemany("DELETE FROM deliveries WHERE id = ?", [(one.id,) for one in deliveries])
            database.executemany(_COUNT, [(one.topic, one.subscription, what, 1) for one in deliveries])

    def postpone(self, deliveries: Iterable[Delivery]) -> None:
        """Store the new state of deliveries that stay pending."""
        with self._database as database:
            for one in deliveries:
                changed = (one.due, one.attempts, one.attempted, one.outcome, one.reason, one.given_up, one.id)
                database.execute(_POSTPONE, changed)

    def count(self, topic: str, subscription: str, what: str, number: int = 1) -> None:
        """Add `number` to the counter `what`, one of COUNTS."""
        with self._database as database:
            database.execute(_COUNT, (topic, subscription, what, number))

    def counts(self, topic: str, subscription: str) -> dict[str, int]:
        """Return the counters, and the number of pending deliveries."""
        key = (topic, subscription)
        rows = self._database.execute("SELECT what, count FROM counts WHERE topic = ? AND subscription = ?", key)
        counts = dict.fromkeys(COUNTS, 0) | {row["what"]: row["count"] for row in rows}
        query = "SELECT COUNT(*) FROM deliveries WHERE topic = ? AND subscription = ?"
        return counts | {"pending": self._database.execute(query, key).fetchone()[0]}

    def remove_subscription(self, topic: str, subscription: str) -> None:
        """Delete the deliveries and counters of a subscription."""
        with self._database as database:
            for statement in (
                "DELETE FROM deliveries WHERE topic = ? AND subscription = ?",
                "DELETE FROM counts WHERE topic = ? AND subscription = ?",
            ):
                database.execute(statement, (topic, subscription))
