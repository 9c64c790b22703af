"""Argo: floats, their casts with levels and flags, and their tracks."""

from datetime import datetime
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Path, Query, Response
from pydantic import AfterValidator

from water_pipelines.api import schemas, shape
from water_pipelines.api.cursors import BadCursor
from water_pipelines.api.netcdf import MEDIA_TYPE, profile_netcdf
from water_pipelines.api.respond import Body, Csv, File, ListPage, OfValues, Page, Time, listed
from water_pipelines.domain.argo.flags import GOOD, MISSING, names_of
from water_pipelines.storage.served import argo, argo_changes
from water_pipelines.storage.served.argo import ArgoFilter, Box, CastKey, Levels
from water_pipelines.storage.served.reading import Reading

router = APIRouter(prefix="/api/v1/argo", tags=["argo"])

_BOX = "west, south, east and north in degrees, parted by commas; with west greater than east the box holds the antimeridian."


def _is_box(text: str | None) -> str | None:
    if text is not None:
        _box(text)
    return text


def _box(text: str) -> Box:
    try:
        west, south, east, north = (float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"a box is {_BOX}") from None
    if not (-180 <= west <= 180 and -180 <= east <= 180 and -90 <= south <= north <= 90):
        raise ValueError("a box lies within -180 to 180 degrees of longitude and -90 to 90 of latitude, with south below north")
    return west, south, east, north


Bbox = Annotated[str | None, AfterValidator(_is_box), Query(description=f"Only where a cast lies in this box: {_BOX}", examples=["-30,20,0,60"])]
Start = Annotated[Time, Query(description="Only casts from this time on (UTC).")]
End = Annotated[Time, Query(description="Only casts before this time (UTC).")]
Parameter = Annotated[str | None, Query(description="Only casts with this parameter, such as DOXY.", examples=["PSAL"])]
DataCentre = Annotated[str | None, Query(description="Only of this data centre, such as IF for Coriolis.")]
Depth = Annotated[float | None, Query(ge=0, le=11_000)]
Wmo = Annotated[int, Path(ge=0, le=2_147_483_647, description="WMO number of a float.", examples=[6903247])]


def _filter(bbox: str | None, start: datetime | None, end: datetime | None, parameter: str | None, **more: Any) -> ArgoFilter:
    return ArgoFilter(_box(bbox) if bbox else None, start, end, parameter, **more)


@router.get("/floats", responses=schemas.answers(schemas.ArgoFloatPage, statuses=(400, 410, 422, 503)))
def list_floats(
    respond: OfValues,
    page: ListPage,
    bbox: Bbox = None,
    start: Start = None,
    end: End = None,
    data_centre: DataCentre = None,
    parameter: Parameter = None,
) -> Response:
    """Floats by WMO number, each with the span of its casts and its last position. A float is found where one of its casts is."""
    wanted = _filter(bbox, start, end, parameter, data_centre=data_centre)

    def read(state: Reading) -> Body:
        found, following = argo.floats(state, wanted, page.after_number, page.limit)
        return listed(map(_float, found), following, state)

    return respond(read, page)


@router.get("/floats/{wmo}", responses=schemas.answers(schemas.ArgoFloatDetail))
def get_float(respond: OfValues, wmo: Wmo) -> Response:
    """A float with its sensors, mission configuration and last technical values, and how our tests agree with those that its data centre recorded."""

    def read(state: Reading) -> Body:
        found = argo.find_float(state, wmo)
        meta = found["properties"].get("meta", {})
        return {
            **_float(found),
            "change": state.number,
            "sensors": meta.get("sensors", []),
            "measured": meta.get("parameters", []),
            "launch_configuration": meta.get("launch_configuration", {}),
            "missions": meta.get("missions", {}),
            "technical": found["properties"].get("technical", {}).get("values", {}),
            "agreement": shape.argo_agreement(argo.agreement(state, wmo)),
        }

    return respond(read)


@router.get("/floats/{wmo}/profiles", responses=schemas.answers(schemas.ArgoProfilePage))
def list_profiles(
    respond: OfValues, page: ListPage, wmo: Wmo, bbox: Bbox = None, start: Start = None, end: End = None, parameter: Parameter = None
) -> Response:
    """The casts of a float in the order of their cycles, each in its current version."""

    def read(state: Reading) -> Body:
        argo.find_float(state, wmo)
        found, following = argo.profiles_of(state, wmo, _filter(bbox, start, end, parameter), _after_cast(page), page.limit)
        return listed(map(_profile, found), " ".join(map(str, following)) if following else None, state)

    return respond(read, page)


@router.get("/floats/{wmo}/track", responses=schemas.answers(schemas.ArgoTrack))
def get_track(
    respond: OfValues,
    wmo: Wmo,
    source: Annotated[
        Literal["launch", "profile", "trajectory"] | None, Query(description="Only the launch, the positions of casts, or the surface fixes.")
    ] = None,
) -> Response:
    """The positions of a float by time as GeoJSON: a line through its casts, and a point for each position with its flags."""

    def read(state: Reading) -> Body:
        argo.find_float(state, wmo)
        positions = argo.track(state, wmo, source)
        places = [[each["longitude"], each["latitude"]] for each in positions if each["source"] == "profile" and each["flag"] != 4]
        line = {"type": "Feature", "geometry": {"type": "LineString", "coordinates": places}, "properties": {"wmo": wmo, "source": "track"}}
        points = map(_position, positions)
        return {"type": "FeatureCollection", "change": state.number, "features": [*([line] if len(places) > 1 else []), *points]}

    return respond(read)


@router.get(
    "/profiles/{profile_id}",
    responses=schemas.answers(schemas.ArgoProfileDetail, csv="level,PRES,PRES_qc,...\r\n0,4.5,1,...\r\n", binary=MEDIA_TYPE),
)
def get_profile(
    respond: OfValues,
    profile_id: Annotated[str, Path(description="Id of a cast, as lists of casts give it.", examples=["6903247_001"])],
    as_format: Annotated[
        Literal["json", "csv", "netcdf"], Query(alias="format", description="netcdf is a file of the archive's own layout, with our flags added.")
    ] = "json",
) -> Response:
    """A cast with all levels: raw and adjusted values, errors, the data centre's flags and ours with the failed tests; and all its revisions."""

    def read(state: Reading) -> Body | Csv | File:
        found = argo.find_profile(state, profile_id)
        levels = argo.levels(state, found)
        if as_format == "netcdf":
            return File(profile_netcdf(found, levels), MEDIA_TYPE, f"{profile_id}.nc")
        parameters = {name: _parameter(name, found, levels) for name in found["parameters"]}
        if as_format == "csv":
            return Csv(_flat(levels, parameters), None)
        date, position = (_of_cast(found, levels, name) for name in ("JULD", "POSITION"))
        return {
            **_profile(found),
            "change": state.number,
            "date": date,
            "position": position,
            "tests": _tests(found),
            "levels": {"level": levels.level, "parameters": parameters},
            "revisions": [_revision(each) for each in argo.revisions(state, found)],
        }

    return respond(read)


@router.get("/search", responses=schemas.answers(schemas.ArgoProfilePage, statuses=(400, 410, 422, 503)))
def search_profiles(
    respond: OfValues,
    page: ListPage,
    bbox: Bbox = None,
    start: Start = None,
    end: End = None,
    depth_min: Annotated[Depth, Query(description="Only casts that reach at least as deep, in metres.")] = None,
    depth_max: Annotated[Depth, Query(description="Only casts with a level no deeper than this, in metres.")] = None,
    parameter: Parameter = None,
    data_centre: DataCentre = None,
) -> Response:
    """Casts of all floats by box, time, depth and parameter, the latest first."""
    shallow, deep = (_pressure(depth, bbox) for depth in (depth_min, depth_max))
    wanted = _filter(bbox, start, end, parameter, data_centre=data_centre, pressure_min=shallow, pressure_max=deep)

    def read(state: Reading) -> Body:
        found, following = argo.search(state, wanted, _before(page), page.limit)
        return listed(map(_profile, found), f"{following[0].isoformat()} {following[1]}" if following else None, state)

    return respond(read, page)


def _pressure(depth_m: float | None, bbox: str | None) -> float | None:
    """The pressure at a depth, in dbar, at the latitude in the middle of the box (30 degrees without one)."""
    if depth_m is None:
        return None
    import gsw  # loads tables, which other requests do without

    box = _box(bbox) if bbox else None
    return float(gsw.p_from_z(-depth_m, 30.0 if box is None else (box[1] + box[3]) / 2))


@router.get("/changes", responses=schemas.answers(schemas.ArgoChangePage, statuses=(400, 410, 422, 503)))
def list_argo_changes(
    respond: OfValues,
    since: Annotated[int, Query(ge=0, description="`cursor` of the answer before; 0 to begin.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000, description="At most so many changes, each with all floats that it touched.")] = 100,
) -> Response:
    """What happened to casts after a change, in order: added, come to another version, withdrawn or flagged otherwise, float by float.

    To keep a copy: read the casts of each float again, as of `cursor`; then ask with `since=cursor`. `complete` tells that nothing more had happened
    by then. A cursor that lies ahead is answered by 400: the database was restored or rebuilt, and a copy starts over.
    """

    def read(state: Reading) -> Body:
        found, last = argo_changes.page(state, since, limit)
        return {"items": found, "cursor": max(since, state.number) if last is None else last, "complete": last is None}

    return respond(read)


def _after_cast(page: Page) -> CastKey | None:
    if page.after_text is None:
        return None
    try:
        cycle, direction, product, number = page.after_text.split(" ")
        return int(cycle), direction, product, int(number)
    except ValueError:
        raise BadCursor("the cursor belongs to another list") from None


def _before(page: Page) -> tuple[datetime, str] | None:
    if page.after_text is None:
        return None
    at, _, profile = page.after_text.partition(" ")
    try:
        return datetime.fromisoformat(at), profile
    except ValueError:
        raise BadCursor("the cursor belongs to another list") from None


def _float(found: dict[str, Any]) -> dict[str, Any]:
    plain = ("wmo", "platform_type", "maker", "wmo_inst_type", "serial_no", "firmware_version", "data_centre", "project_name", "pi_name")
    spans = ("positioning_system", "profiles", "first_at", "last_at", "parameters")
    return {
        **{name: found[name] for name in (*plain, *spans)},
        "launch": {"at": found["launch_at"], "latitude": found["launch_latitude"], "longitude": found["launch_longitude"]},
        "last_position": None
        if found["latitude"] is None
        else {"at": found["position_at"], "latitude": found["latitude"], "longitude": found["longitude"]},
    }


_PROFILE = (
    "id", "wmo", "cycle", "direction", "product", "number", "at", "at_qc", "latitude", "longitude", "position_qc", "data_mode", "data_centre",
    "vertical_sampling_scheme", "parameters", "pressure_min_dbar", "pressure_max_dbar", "updated_at",
)  # fmt: skip


def _profile(found: dict[str, Any]) -> dict[str, Any]:
    """A cast in a list of casts; failed tests are null while it is not evaluated."""
    return {
        **{name: found[name] for name in _PROFILE},
        "level_count": found["levels"],
        "failed": None if found["rules"] is None else names_of(found["failed"]),
    }


def _position(each: dict[str, Any]) -> dict[str, Any]:
    properties = {name: each[name] for name in ("source", "cycle", "direction", "at", "qc", "accuracy", "profile")}
    flag = each["flag"] if each["flag"] is not None else GOOD if each["is_evaluated"] else None
    return {
        "type": "Feature",
        "geometry": {"type": "Point", "coordinates": [each["longitude"], each["latitude"]]},
        "properties": {**properties, "flag": flag, "failed": names_of(each["failed"] or 0) if flag is not None else None},
    }


def _of_cast(found: dict[str, Any], levels: Levels, name: str) -> dict[str, Any]:
    """The flag of the date or the position of a cast, and the tests that it failed."""
    is_missing = found["at"] is None if name == "JULD" else found["latitude"] is None or found["longitude"] is None
    if found["rules"] is None:
        return {"flag": None, "failed": None}
    flag, failed = levels.cast.get(name, (MISSING if is_missing else GOOD, 0))
    return {"flag": flag, "failed": names_of(failed)}


def _tests(found: dict[str, Any]) -> dict[str, Any]:
    said = found["core_said"] or found["bgc_said"]
    recorded = said.get("tests")
    return {
        "rules": found["rules"],
        "run": None if found["rules"] is None else names_of(found["run"]),
        "failed": None if found["rules"] is None else names_of(found["failed"]),
        "recorded": recorded
        and {
            "at": recorded["at"],
            "performed": names_of(recorded["performed"]) if recorded["has_performed"] else None,
            "failed": names_of(recorded["failed"]) if recorded["has_failed"] else None,
            "institution": recorded["institution"],
            "software": recorded["software"],
            "release": recorded["release"],
            "rules": found["recorded_rules"] or None,
            "failed_by_us": names_of(found["recorded_failed"]) if found["recorded_rules"] else None,
        },
    }


def _parameter(name: str, found: dict[str, Any], levels: Levels) -> dict[str, Any]:
    """One parameter of a cast: our flag, of the raw value, is 9 where that is missing, and null while nothing is evaluated."""
    of = levels.parameters[name]
    modes = {**(found["bgc_said"] or {}).get("modes", {}), **(found["core_said"] or {}).get("modes", {})}
    flag: Any = [None] * len(levels.level)
    failed: Any = flag
    if found["rules"] is not None:
        flag = np.where(np.isnan(of["raw"]), MISSING, of["flag"])
        bits, position = np.unique(of["failed"], return_inverse=True)
        words = [names_of(each) for each in bits.tolist()]
        failed = [words[at] for at in position.tolist()]
    qc = {column: [None if each < 0 else each for each in of[column].tolist()] for column in ("qc", "adjusted_qc")}
    values = {column: of[column] for column in ("raw", "adjusted", "error")}
    return {"unit": levels.units.get(name, ""), "mode": modes.get(name), **values, **qc, "flag": flag, "failed": failed}


def _flat(levels: Levels, parameters: dict[str, dict[str, Any]]) -> dict[str, Any]:
    columns: dict[str, Any] = {"level": levels.level}
    for name, of in parameters.items():
        columns[name] = of["raw"]
        columns |= {f"{name}_{column}": of[column] for column in ("qc", "adjusted", "adjusted_qc", "error", "flag", "failed")}
    return columns


def _revision(each: dict[str, Any]) -> dict[str, Any]:
    return {name: each[name] for name in ("part", "data_mode", "levels", "member", "dataset", "file", "arrived_at", "change", "is_current")}
