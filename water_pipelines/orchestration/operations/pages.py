"""Pages of SensorThings servers in the ledger: what a landed page tells of cursors and names, however it came to be loaded."""

from __future__ import annotations

from datetime import UTC

from water_pipelines.orchestration.resources import Platform
from water_pipelines.parsers.sensorthings import Head
from water_pipelines.storage import computed, sensorthings
from water_pipelines.storage.loads import Loaded
from water_pipelines.storage.sensorthings import Named
from water_pipelines.storage.source_files import SourceFile


def note(platform: Platform, file: SourceFile, head: Head) -> None:
    """Note a page that has landed; again, and in a rebuild, it comes to the same."""
    named = {key: [Named(each.series, each.station, each.property, each.unit, True, True) for each in parts] for key, parts in head.series.items()}
    with platform.database.connection() as connection:
        if head.what == "entities":
            sensorthings.keep_stations(connection, head.server, head.stations)
            sensorthings.keep_series(connection, head.server, named, replace=False)
        sensorthings.note_page(
            connection, file.arrival, server=head.server, what=head.what, url=head.url, after=head.after, upto=head.upto, gaps=head.gaps
        )


def note_loaded(platform: Platform, file: SourceFile, loaded: Loaded) -> None:
    """Let Dagster be told of the day on which a page arrived, and what a page that was loaded late says be compared with the server."""
    if loaded.change is not None:
        day = {f"{file.arrived_at.astimezone(UTC):%Y-%m-%d}": loaded.rows}
        with platform.database.connection() as connection:
            sensorthings.compare_again_from(connection, file.arrival)
            computed.note(platform.database, connection, "raw/sensorthings_page", day, loaded.change, loaded.change, None, None)


def note_landed(platform: Platform, file: SourceFile) -> None:
    """Note a page by what stands in it."""
    with platform.store.open(file.key) as stream:
        note(platform, file, Head.read(stream))
