"""The index in PostgreSQL is the index in SQLite, row by row. Needs Debian's ``postgresql`` package."""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from tests.web.conftest import NOW, NUM_ROUNDS
from web import sample, schema
from web.app import build_app
from web.database import open_database
from web.store import Store

pytest.importorskip("psycopg")
BINARIES = [
    *sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True),
    os.path.dirname(shutil.which("pg_ctl") or ""),
]
FOLDER = next((one for one in BINARIES if one and os.path.exists(f"{one}/initdb")), None)

pytestmark = [pytest.mark.slow, pytest.mark.skipif(FOLDER is None, reason="no PostgreSQL on this machine")]


def run(arguments: Sequence[str], cwd: Path) -> None:
    """PostgreSQL refuses to run as root, so it runs as the user that Debian's package made."""
    as_user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
    subprocess.run([*as_user, *arguments], cwd=cwd, check=True, capture_output=True, timeout=120)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an empty database that listens on a socket in a folder of its own."""
    folder = Path("/tmp") / f"pg-{os.getpid()}"
    folder.mkdir()
    if os.getuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
    data = str(folder / "data")
    try:
        run([f"{FOLDER}/initdb", "-D", data, "-A", "trust", "-U", "board", "--no-sync"], folder)
        options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off"
        run([f"{FOLDER}/pg_ctl", "-D", data, "-w", "-l", str(folder / "log"), "-o", options, "start"], folder)
        try:
            yield f"postgresql://board@/postgres?host={folder}"
        finally:
            run([f"{FOLDER}/pg_ctl", "-D", data, "-m", "immediate", "stop"], folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def rows_of(store: Store) -> dict[str, list[str]]:
    tables = [*schema.DERIVED, schema.ledger, schema.contributions, schema.outcomes, schema.verdicts, schema.said]
    with store._engine.connect() as connection:
        return {
            table.name: sorted(str(dict(row)) for row in connection.execute(sa.select(table)).mappings())
            for table in tables
        }


def test_postgresql_holds_the_same_index_and_shows_the_same_pages(server: str, played: Store, peers: list[str]) -> None:
    other = Store(open_database(server))
    other.begin(sample.run_row(), replace=False)
    other.put(sample.register(peers))
    for rows in sample.play(peers, NUM_ROUNDS):
        other.put(rows)
    other.beat(NOW)
    assert rows_of(other) == rows_of(played)
    before = rows_of(other)
    other.reindex()
    assert rows_of(other) == before
    pages = [
        "/",
        "/?sort=score",
        "/?q=a",
        "/rounds",
        f"/rounds/{NUM_ROUNDS}",
        f"/peers/{peers[0]}",
        "/said",
        "/disputes",
    ]
    api = ["/api/v1/peers", "/api/v1/course", f"/api/v1/peers/{peers[0]}/history", "/api/v1/peers.csv"]
    with (
        TestClient(build_app(other._engine, now=lambda: NOW + 3.0)) as one,
        TestClient(build_app(played._engine, now=lambda: NOW + 3.0)) as two,
    ):
        for path in [*pages, *api]:
            assert one.get(path).status_code == 200
            assert one.get(path).text == two.get(path).text, path
    with TestClient(build_app(other._engine, now=lambda: NOW + 3.0)) as client:
        assert client.get("/healthz").status_code == 200
    other._engine.dispose()
