"""Why this module exists: one place opens the database, whichever it is, and hides what differs between them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from protocol.errors import ConfigError
from web import schema

BUSY_S = 30.0
_NOTHING = "Nothing was read or written."


def database_url(text: str) -> sa.URL:
    """A SQLAlchemy URL, or the path of a SQLite file. Raises ``ConfigError``."""
    if "://" not in text:
        return sa.URL.create("sqlite", database=str(Path(text).expanduser()))
    try:
        url = sa.make_url(text)
    except sa.exc.ArgumentError:
        url = None
    if url is None:
        raise ConfigError("The database's URL cannot be read.", _NOTHING, "Give a path, or postgresql://HOST/NAME.")
    return url.set(drivername="postgresql+psycopg") if url.drivername in ("postgresql", "postgres") else url


def open_database(text: str, *, read_only: bool = False) -> sa.Engine:
    """The database at a path or URL, with the tables of this version.

    Missing ones are made unless ``read_only``. Raises ``ConfigError`` when it cannot be opened, or has another version.
    """
    url = database_url(text)
    is_file = url.get_backend_name() == "sqlite"
    if is_file and url.database:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    try:
        engine = sa.create_engine(url, connect_args={"timeout": BUSY_S} if is_file else {})
        if is_file:
            sa.event.listen(engine, "connect", _prepare_sqlite)
        if not read_only:
            schema.metadata.create_all(engine)
        with engine.begin() as connection:
            found = connection.execute(sa.select(schema.meta.c.value).where(schema.meta.c.name == "schema")).scalar()
            if found is None and not read_only:
                connection.execute(sa.insert(schema.meta).values(name="schema", value=str(schema.VERSION)))
    except (sa.exc.SQLAlchemyError, ImportError, OSError) as error:
        reason = str(getattr(error, "orig", None) or error).splitlines()[0][:200]
        raise ConfigError(
            f"The leaderboard's database {url.render_as_string(hide_password=True)} cannot be opened: {reason}",
            _NOTHING,
            "Check --db: the file's folder, or the server, its user and its password.",
        ) from None
    if found is not None and found != str(schema.VERSION):
        raise ConfigError(
            f"The leaderboard's database has version {found}; this program writes {schema.VERSION}.",
            _NOTHING,
            "Move it away: the index is built anew from the chain and the swarm.",
        )
    return engine


def _prepare_sqlite(connection: Any, _: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")  # a power cut may lose the last turn, which is read again
    cursor.execute("PRAGMA temp_store=MEMORY")
    cursor.execute("PRAGMA cache_size=-16384")
    cursor.close()


def inserted_once(connection: sa.Connection, table: sa.Table, rows: list[dict[str, Any]]) -> None:
    """Insert rows; those whose key is there already change nothing."""
    if rows:
        connection.execute(_insert(connection, table).on_conflict_do_nothing(), rows)


def put_over(connection: sa.Connection, table: sa.Table, rows: list[dict[str, Any]], columns: tuple[str, ...]) -> None:
    """Insert rows; of those whose key is there already, ``columns`` get the new values."""
    if rows:
        statement: Any = _insert(connection, table)
        keys = [column.name for column in table.primary_key.columns]
        statement = statement.on_conflict_do_update(
            index_elements=keys, set_={name: getattr(statement.excluded, name) for name in columns}
        )
        connection.execute(statement, rows)


def _insert(connection: sa.Connection, table: sa.Table) -> Any:
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    return dialect.insert(table)
