"""Argo floats, casts and tracks as they are served. Levels come in bulk, everything else row by row."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString

import numpy as np
from psycopg import sql

from water_pipelines.domain.argo.casts import CORE_PARAMETERS
from water_pipelines.storage.argo_flags import OF_THE_CAST
from water_pipelines.storage.served.columns import Columns, read_columns
from water_pipelines.storage.served.reading import NothingFound, Reading

Box = tuple[float, float, float, float]
"""West, south, east and north in degrees; where west is greater than east the box holds the antimeridian."""

CastKey = tuple[int, str, str, int]
"""Where a list of a float's casts goes on: cycle, direction, product, number."""

_WITHIN = """
(%(box)s::box is null or p.latitude is not null and p.longitude is not null
    and (point(p.longitude, p.latitude) <@ %(box)s::box or point(p.longitude, p.latitude) <@ %(beyond)s::box))
and (%(start)s::timestamptz is null or p.at >= %(start)s) and (%(end)s::timestamptz is null or p.at < %(end)s)
and (%(parameter)s::text is null or p.parameters @> array[%(parameter)s::text])
"""

_FLOATS = """
select f.wmo, f.platform_type, f.maker, f.wmo_inst_type, f.serial_no, f.firmware_version, f.data_centre, f.project_name, f.pi_name,
    f.positioning_system, f.launch_at, f.launch_latitude, f.launch_longitude, f.properties,
    s.profiles, s.first_at, s.last_at, coalesce(s.parameters, '{{}}') as parameters, l.at as position_at, l.latitude, l.longitude
from {floats} as f
cross join lateral (
    select count(*) as profiles, min(p.at) as first_at, max(p.at) as last_at,
        (select array_agg(distinct each order by each) from {profiles} as q, unnest(q.parameters) as each where q.wmo = f.wmo) as parameters
    from {profiles} as p where p.wmo = f.wmo
) as s
left join lateral (
    select t.at, t.latitude, t.longitude from {positions} as t where t.wmo = f.wmo and t.source <> 'launch'
    order by t.at desc nulls last, t.cycle desc, t.source, t.number desc limit 1
) as l on true
"""

_PROFILE = """
select p.profile_id, p.natural_id as id, p.wmo, p.cycle, p.direction, p.product, p.cast_number as number, p.at, p.at_qc, p.located_at,
    p.latitude, p.longitude, p.position_qc, p.data_mode, p.data_centre, p.vertical_sampling_scheme, p.parameters, p.levels,
    p.pressure_min_dbar, p.pressure_max_dbar, p.updated_at, p.core_arrival, p.bgc_arrival, p.core_said, p.bgc_said,
    e.run, e.failed, e.rules, e.recorded_failed, e.recorded_rules
from {profiles} as p left join {evaluations} as e on e.wmo = p.wmo and e.profile_id = p.profile_id
"""

_AGREEMENT = """
select t.test, count(*) as compared, count(*) filter (where ours = theirs) as agree, count(*) filter (where ours and not theirs) as ours_only,
    count(*) filter (where theirs and not ours) as theirs_only, array_agg(distinct rules order by rules) as rules
from (
    select n as test, (e.recorded_failed >> n) & 1 = 1 as ours, ((c.tests ->> 'failed')::bigint >> n) & 1 = 1 as theirs, e.recorded_rules as rules
    from {profiles} as p
    join {evaluations} as e on e.wmo = p.wmo and e.profile_id = p.profile_id
    cross join lateral (select coalesce(p.core_said -> 'tests', p.bgc_said -> 'tests') as tests) as c
    cross join generate_series(1, 25) as n
    where {which} and e.recorded_rules <> '' and (c.tests ->> 'has_performed')::boolean and (c.tests ->> 'has_failed')::boolean
        and (e.recorded_run >> n) & 1 = 1 and ((c.tests ->> 'performed')::bigint >> n) & 1 = 1
) as t group by t.test order by t.test
"""

_REVISIONS = """
select c.part, c.data_mode, c.levels, c.member, c.arrival, f.job_id as dataset, f.name as file, f.arrived_at, l.change
from raw.argo_cast as c join raw.source_file as f using (arrival)
join lateral (select min(change) as change from raw.load where arrival = c.arrival) as l on l.change <= %(number)s
where (c.wmo, c.cycle, c.direction, c.product, c.cast_number) = (%(wmo)s, %(cycle)s, %(direction)s, %(product)s, %(cast)s)
    and (f.withdrawn_at is null or f.withdrawn_at > %(number)s)
order by c.arrival, c.part, c.member
"""

_LEVELS = """
select distinct on (l.level) l.* from (
    select {columns}, null::bigint as until from core.argo_level where profile_id = %(profile)s and arrival = %(arrival)s
    union all select {columns}, until from history.argo_level where profile_id = %(profile)s and arrival = %(arrival)s
) as l order by l.level, l.until desc nulls first
"""
_OTHERS = """
select distinct on (l.parameter_id, l.level, l.arrival) l.* from (
    select arrival, {columns}, null::bigint as until from core.argo_bgc_level where profile_id = %(profile)s and arrival = any(%(arrivals)s)
    union all select arrival, {columns}, until from history.argo_bgc_level where profile_id = %(profile)s and arrival = any(%(arrivals)s)
) as l order by l.parameter_id, l.level, l.arrival, l.until desc nulls first
"""
_FLAGS = "select g.parameter_id, g.level, g.flag, g.failed from {flags} as g where g.wmo = %(wmo)s and g.profile_id = %(profile)s order by 1, 2"

_TRACK = """
select t.source, t.cycle, nullif(t.direction, '') as direction, t.at, t.latitude, t.longitude, nullif(t.qc, -1) as qc,
    nullif(t.accuracy, '') as accuracy, p.natural_id as profile, g.flag, g.failed, e.profile_id is not null as is_evaluated
from {positions} as t
left join {profiles} as p on p.profile_id = t.profile_id and p.wmo = t.wmo
left join {evaluations} as e on e.wmo = t.wmo and e.profile_id = t.profile_id
left join {flags} as g on g.wmo = t.wmo and g.profile_id = t.profile_id and g.level = %(cast)s
    and g.parameter_id = (select parameter_id from core.argo_parameter where name = 'POSITION')
where t.wmo = %(wmo)s and (%(source)s::text is null or t.source = %(source)s)
order by t.at nulls last, t.cycle, t.source, t.direction desc, t.number
"""


@dataclass(frozen=True)
class ArgoFilter:
    """Which casts are asked for; none means any. Times are [start, end); pressures, in dbar, are a span that a cast reaches into."""

    box: Box | None = None
    start: datetime | None = None
    end: datetime | None = None
    parameter: str | None = None
    data_centre: str | None = None
    pressure_min: float | None = None
    pressure_max: float | None = None

    @property
    def parameters(self) -> dict[str, Any]:
        """For a query."""
        boxes: list[str | None] = [None, None]
        if self.box is not None:
            west, south, east, north = self.box
            spans = [(west, east)] if west <= east else [(west, 180.0), (-180.0, east)]
            boxes[: len(spans)] = [f"(({last},{north}),({first},{south}))" for first, last in spans]
        return {**vars(self), "box": boxes[0], "beyond": boxes[1]}

    @property
    def is_of_casts(self) -> bool:
        """Whether anything is asked of the casts themselves."""
        return any(each is not None for each in (self.box, self.start, self.end, self.parameter))


def _tables(reading: Reading) -> dict[str, sql.Composable]:
    named = {"floats": "float", "profiles": "profile", "positions": "position", "flags": "flag", "evaluations": "evaluation"}
    return {name: reading.table(f"core.argo_{table}") for name, table in named.items()}


def floats(reading: Reading, wanted: ArgoFilter, after: int | None, limit: int) -> tuple[list[dict[str, Any]], int | None]:
    """Floats by number, after one of them; and where to go on. A float is wanted where one of its casts is."""
    condition: LiteralString = (
        "where (%(after)s::int is null or f.wmo > %(after)s) and (%(data_centre)s::text is null or f.data_centre = %(data_centre)s)"
        " and (not %(of_casts)s or exists (select from {profiles} as p where p.wmo = f.wmo and " + _WITHIN + ")) order by f.wmo limit %(limit)s"
    )
    asked = {"after": after, "limit": limit + 1, "of_casts": wanted.is_of_casts, **wanted.parameters}
    found = reading.rows(sql.SQL(_FLOATS + condition).format(**_tables(reading)), asked)
    return found[:limit], found[limit - 1]["wmo"] if len(found) > limit else None


def find_float(reading: Reading, wmo: int) -> dict[str, Any]:
    """A float by its number; `NothingFound` where there is none."""
    found = reading.row(sql.SQL(_FLOATS + "where f.wmo = %(wmo)s").format(**_tables(reading)), {"wmo": wmo})
    if found is None:
        raise NothingFound(f"there is no Argo float {wmo}; /api/v1/argo/floats lists them")
    return found


def agreement(reading: Reading, wmo: int | None = None, arrival: int | None = None) -> list[dict[str, Any]]:
    """By test, on how many casts our outcome is that which the data centre recorded, and on how many only one of the two failed.

    Parameters
    ----------
    wmo, arrival : only casts of this float, or of this dataset.
    """
    which = sql.SQL("(%(wmo)s::int is null or p.wmo = %(wmo)s) and (%(arrival)s::int is null or %(arrival)s in (p.core_arrival, p.bgc_arrival))")
    return reading.rows(sql.SQL(_AGREEMENT).format(which=which, **_tables(reading)), {"wmo": wmo, "arrival": arrival})


def profiles_of(reading: Reading, wmo: int, wanted: ArgoFilter, after: CastKey | None, limit: int) -> tuple[list[dict[str, Any]], CastKey | None]:
    """The casts of a float in the order of their cycles, after one of them; and where to go on."""
    cycle, direction, product, number = after or (None, None, None, None)
    condition: LiteralString = (
        "where p.wmo = %(wmo)s and " + _WITHIN + " and (%(cycle)s::int is null or (p.cycle, p.direction, p.product, p.cast_number) >"
        " (%(cycle)s, %(direction)s, %(product)s, %(number)s)) order by p.cycle, p.direction, p.product, p.cast_number limit %(limit)s"
    )
    asked = {"wmo": wmo, "cycle": cycle, "direction": direction, "product": product, "number": number, "limit": limit + 1, **wanted.parameters}
    found = reading.rows(sql.SQL(_PROFILE + condition).format(**_tables(reading)), asked)
    items = found[:limit]
    last = items[-1] if len(found) > limit else None
    return items, (last["cycle"], last["direction"], last["product"], last["number"]) if last else None


def search(
    reading: Reading, wanted: ArgoFilter, before: tuple[datetime, str] | None, limit: int
) -> tuple[list[dict[str, Any]], tuple[datetime, str] | None]:
    """Casts with a date, the latest first, before one of them; and where to go on."""
    condition: LiteralString = (
        "where p.at is not null and " + _WITHIN + " and (%(data_centre)s::text is null or p.data_centre = %(data_centre)s)"
        " and (%(pressure_min)s::float8 is null or p.pressure_max_dbar >= %(pressure_min)s)"
        " and (%(pressure_max)s::float8 is null or p.pressure_min_dbar <= %(pressure_max)s)"
        " and (%(before)s::timestamptz is null or (p.at, p.natural_id) < (%(before)s, %(before_id)s))"
        " order by p.at desc, p.natural_id desc limit %(limit)s"
    )
    asked = {"before": before[0] if before else None, "before_id": before[1] if before else None, "limit": limit + 1, **wanted.parameters}
    found = reading.rows(sql.SQL(_PROFILE + condition).format(**_tables(reading)), asked)
    items = found[:limit]
    return items, (items[-1]["at"], items[-1]["id"]) if len(found) > limit else None


def find_profile(reading: Reading, profile_id: str) -> dict[str, Any]:
    """A cast by its id; `NothingFound` where there is none."""
    found = reading.row(sql.SQL(_PROFILE + "where p.natural_id = %(id)s").format(**_tables(reading)), {"id": profile_id})
    if found is None:
        raise NothingFound(f"there is no Argo profile {profile_id!r}; /api/v1/argo/floats/<wmo>/profiles lists them")
    return found


def revisions(reading: Reading, profile: dict[str, Any]) -> list[dict[str, Any]]:
    """Every version of a cast that was loaded, in the order of arrival, and whether it is current."""
    asked = {name: profile[name] for name in ("wmo", "cycle", "direction", "product")}
    rows = reading.rows(sql.SQL(_REVISIONS), {**asked, "cast": profile["number"], "number": reading.number})
    return [{**row, "is_current": row["arrival"] == profile[f"{row['part']}_arrival"]} for row in rows]


@dataclass(frozen=True)
class Levels:
    """The levels of a cast.

    Of each parameter raw, adjusted, error, qc and adjusted_qc (-1 for none), our flag (1 where nothing is against the value) and the failed tests.
    """

    level: Any
    parameters: dict[str, Columns]
    units: dict[str, str]
    cast: dict[str, tuple[int, int]]
    """Flag and failed tests of JULD and POSITION, where something is against them."""


def levels(reading: Reading, profile: dict[str, Any]) -> Levels:
    """The levels of a cast, with our flags."""
    wmo, number = profile["wmo"], profile["profile_id"]
    arrivals = [each for each in (profile["core_arrival"], profile["bgc_arrival"]) if each is not None]
    known = {row["parameter_id"]: row for row in reading.rows(sql.SQL("select parameter_id, name, unit from core.argo_parameter"))}
    n = profile["levels"]
    found = {name: _empty(n, np.float32 if name in CORE_PARAMETERS else np.float64) for name in profile["parameters"]}
    core_names = ["level", *(f"{name.lower()}{of}" for name in CORE_PARAMETERS for of in _SUFFIXES)]
    listed = sql.SQL(", ").join(map(sql.Identifier, core_names))
    core = read_columns(
        reading,
        sql.SQL(_LEVELS).format(columns=listed),
        {name: f'"{name}"' for name in core_names},
        {"profile": number, "arrival": profile["core_arrival"]},
    )
    for name in CORE_PARAMETERS:
        if name in found:
            for of, column in zip(_SUFFIXES, _COLUMNS, strict=True):
                found[name][column][core["level"]] = core[f"{name.lower()}{of}"]
    other_names = ("parameter_id", "level", "value", "adjusted", "error", "qc", "adjusted_qc")
    others = read_columns(
        reading,
        sql.SQL(_OTHERS).format(columns=sql.SQL(", ").join(map(sql.Identifier, other_names))),
        {name: f'"{name}"' for name in other_names},
        {"profile": number, "arrivals": arrivals},
    )
    for parameter in np.unique(others["parameter_id"]).tolist():
        name, rows = known[parameter]["name"], others["parameter_id"] == parameter
        if name in found and not (name in CORE_PARAMETERS and profile["core_arrival"] is not None):
            for given, column in zip(other_names[2:], _COLUMNS, strict=True):
                found[name][column][others["level"][rows]] = others[given][rows]
    of_cast: dict[str, tuple[int, int]] = {}
    query = sql.SQL(_FLAGS).format(flags=reading.table("core.argo_flag"))
    for row in reading.rows(query, {"wmo": wmo, "profile": number}):
        name = known[row["parameter_id"]]["name"]
        if row["level"] == OF_THE_CAST:
            of_cast[name] = (row["flag"], row["failed"])
        elif name in found and row["level"] < n:
            found[name]["flag"][row["level"]], found[name]["failed"][row["level"]] = row["flag"], row["failed"]
    return Levels(np.arange(n, dtype=np.int32), found, {row["name"]: row["unit"] for row in known.values()}, of_cast)


_SUFFIXES = ("", "_adjusted", "_error", "_qc", "_adjusted_qc")
_COLUMNS = ("raw", "adjusted", "error", "qc", "adjusted_qc")


def _empty(n: int, kind: type[np.float32] | type[np.float64]) -> Columns:
    numbers: Columns = {name: np.full(n, np.nan, dtype=kind) for name in ("raw", "adjusted", "error")}
    flags: Columns = {name: np.full(n, -1, dtype=np.int16) for name in ("qc", "adjusted_qc")}
    return {**numbers, **flags, "flag": np.ones(n, dtype=np.int16), "failed": np.zeros(n, dtype=np.int64)}


def track(reading: Reading, wmo: int, source: str | None) -> list[dict[str, Any]]:
    """The positions of a float by time: its launch, its profiles, and the surface fixes of its trajectory."""
    return reading.rows(sql.SQL(_TRACK).format(**_tables(reading)), {"wmo": wmo, "source": source, "cast": OF_THE_CAST})


_OF_DATASET = """
select count(*) as casts, count(distinct p.wmo) as floats, min(p.at) as first_at, max(p.at) as last_at, count(e.profile_id) as evaluated,
    count(*) filter (where e.failed <> 0) as with_failed_tests
from {profiles} as p left join {evaluations} as e on e.wmo = p.wmo and e.profile_id = p.profile_id
where p.core_arrival = %(arrival)s or p.bgc_arrival = %(arrival)s
"""


def of_dataset(reading: Reading, arrival: int) -> dict[str, Any] | None:
    """What a dataset holds of Argo; none of other files.

    Its summary, the casts that are current by it, and how our flags agree with the data centre's.
    """
    seen = reading.row(sql.SQL("select count(*) as casts from raw.argo_cast where arrival = %(arrival)s"), {"arrival": arrival})
    summary = reading.row(sql.SQL("select text, written_by, statistics from core.argo_summary where arrival = %(arrival)s"), {"arrival": arrival})
    if not seen or (not seen["casts"] and summary is None):
        return None
    current = reading.row(sql.SQL(_OF_DATASET).format(**_tables(reading)), {"arrival": arrival})
    assert current is not None
    return {"casts": seen["casts"], "current": current, "agreement": agreement(reading, arrival=arrival), "summary": summary}
