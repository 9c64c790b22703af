"""Column schemas of the tables, as Dagster shows them beside an asset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

_TABLES: Mapping[str, Mapping[str, str]] = {
    "raw.source_file": {
        "arrival": "order of arrival, for every replay",
        "job_id": "the id by which the load is known outside",
        "key": "where the bytes lie, for ever",
        "name": "name as it was dropped",
        "prefix": "folders below the inbox",
        "sha256": "of the bytes",
        "kind": "data, mapping, rules, tick, ...",
        "mapping_version": "of the mapping that it landed with",
        "arrived_at": "UTC",
        "status": "pending, running, succeeded, failed or quarantined",
        "error": "why it was not loaded",
        "rows": "rows read",
        "rejected": "rows refused",
        "superseded_by": "arrival of the same bytes under a newer mapping",
    },
    "raw.load_day": {
        "series_id": "series",
        "day": "UTC day",
        "load_id": "load",
        "new": "values that were not there",
        "changed": "values that replaced others",
        "unchanged": "values that were there already, or that a later arrival overrules",
        "rejected": "values repeated with another value in the same file",
    },
    "core.station": {
        "station_id": "number within this database",
        "uuid": "derived from the natural id",
        "natural_id": "as the files call it",
        "name": "for people",
        "kind": "river gauge, district meter, ...",
        "network": "the network that it is a node of",
        "zone": "zone of the network",
        "latitude": "degrees, WGS 84",
        "longitude": "degrees, WGS 84",
        "elevation_m": "metres",
        "time_zone": "IANA name",
        "properties": "whatever else files say",
        "since": "the change that wrote the row",
    },
    "core.series": {
        "series_id": "number within this database",
        "uuid": "derived from the natural id",
        "natural_id": "<station>/<property>",
        "station_id": "station",
        "property": "observed property",
        "unit": "of its values",
        "kind": "sensor, imported or computed",
        "interval_s": "expected interval in seconds, declared or found in the data",
        "feature_of_interest": "what is observed",
        "since": "the change that wrote the row",
    },
    "core.observation": {
        "series_id": "series",
        "time": "phenomenon time (UTC)",
        "value": "in the unit of the series; NaN where the source says that it is missing",
        "load_id": "the load it came by, and so its file",
        "source_row": "row in that file",
        "qualifier_id": "the source's own flag",
    },
    "core.observation_flag": {
        "series_id": "series",
        "time": "phenomenon time (UTC)",
        "flag": "QARTOD: 1 good, 2 not evaluated, 3 suspect, 4 bad, 9 missing",
        "failed": "tests that failed, one bit each",
        "not_run": "tests that could not be run, one bit each",
        "since": "the change that wrote the row",
    },
}


def column_schema(table: str) -> dict[str, Any]:
    """Dagster's metadata for a table: its name and its columns."""
    columns = [dg.TableColumn(name, description=description) for name, description in _TABLES[table].items()]
    return {"dagster/column_schema": dg.TableSchema(columns), "dagster/table_name": table}
