"""The shapes of answers, with an example each: what the OpenAPI document says, and what tests hold every answer against.

Answers are not built through these models, which would cost more than reading the values. Add a model here with every route.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

Status = Literal["online", "late", "silent", "inactive", "unknown"]
Flag = Literal[1, 2, 3, 4, 9]
SensorState = Literal["active", "inactive"]
SeriesKind = Literal["sensor", "imported", "computed"]
JobStatus = Literal["pending", "running", "succeeded", "failed", "quarantined"]
Tests = list[Literal["gross_range", "spike", "rate_of_change", "flat_line", "gap"]]

_KINDS = "sensor: read live from where it is measured; imported: from files; computed: from other series, by the platform."
_STATION_ID = "770224a9-a640-52d8-94f0-930291f98740"
_SERIES_ID = "c6ca2454-3047-511c-8949-02f9d05dc355"
_JOB_ID = "0b6a2f0e-53c5-5f6f-9df5-6f2f2f7a3c11"
_CURSOR = "WyJTVEFUSU9OXzkiLDQyXQ"


class Shape(BaseModel):
    """An answer, or a part of one: nothing but what is declared."""

    model_config = ConfigDict(extra="forbid")


class SeriesRef(Shape):
    """A series, as far as its values need it."""

    id: UUID
    natural_id: str
    name: str
    property: str = Field(description="The observed property, in lower snake case.")
    unit: str | None = Field(description="Unit of the values, as the source declares it.")
    interval_s: float | None = Field(description="Seconds between two values, as expected.")


class StationRef(Shape):
    """A station, as far as its series need it."""

    id: UUID
    natural_id: str
    name: str


class Value(Shape):
    """One value with its flag."""

    time: datetime
    value: float | None
    flag: Flag


class AnnotatedValue(Value):
    """A value with what was asked for by `include`."""

    qualifier: str | None = None
    failed: Tests | None = None
    not_run: Tests | None = None


class StationSeries(SeriesRef):
    """A series of a station, with its sensor's status as of the last tick."""

    kind: SeriesKind = Field(description=_KINDS)
    feature_of_interest: str | None
    properties: dict[str, Any]
    status: Status
    last: Value | None


class Station(Shape):
    """A station; it reports as well as the best of its sensors."""

    id: UUID
    natural_id: str
    name: str
    description: str | None
    kind: str | None
    network: str | None
    zone: str | None
    latitude: float | None
    longitude: float | None
    elevation_m: float | None
    time_zone: str | None
    properties: dict[str, Any]
    status: Status
    last_at: datetime | None = Field(description="Time of the last value of any of its series.")
    status_at: datetime | None = Field(description="The tick as of which the status is told.")


class StationDetail(Station):
    """A station with its series."""

    series: list[StationSeries]


class StationPage(Shape):
    """Stations, by natural id."""

    items: list[Station]
    next: str | None


class Series(SeriesRef):
    """A series with the span of its values."""

    kind: SeriesKind = Field(description=_KINDS)
    feature_of_interest: str | None
    properties: dict[str, Any]
    station: StationRef
    first_at: datetime | None
    last_at: datetime | None


class SeriesPage(Shape):
    """Series, by natural id."""

    items: list[Series]
    next: str | None


class Values(Shape):
    """Values of a series within [start, end), by column; or as `rows`."""

    series: SeriesRef
    change: int = Field(description="The change number as of which the values were read; give it as `as_of` to read the same again.")
    start: datetime | None
    end: datetime | None
    time: list[datetime] | None = None
    value: list[float | None] | None = Field(None, description="null where the source says that the value is missing (flag 9).")
    flag: list[Flag] | None = Field(None, description="QARTOD: 1 good, 2 not evaluated, 3 suspect, 4 bad, 9 missing.")
    qualifier: list[str | None] | None = Field(None, description="What the source wrote beside the value: approval, censoring, quality code.")
    failed: list[Tests | None] | None = Field(None, description="The tests that the value failed; null where it was not evaluated.")
    not_run: list[Tests | None] | None = Field(None, description="The tests that could not be run on it; null where it was not evaluated.")
    rows: list[AnnotatedValue] | None = None
    next: str | None


class Sensor(StationSeries):
    """A sensor of a facility: its series, and whether it is switched on."""

    state: SensorState
    state_at: datetime | None = Field(description="From when on; null where nothing was said. What is announced for later counts when it is reached.")
    state_reason: str | None


class FacilityPage(Shape):
    """Facilities, by id."""

    items: list[Station]
    next: str | None


class FacilityDetail(Station):
    """A facility with its sensors."""

    sensors: list[Sensor]


class Sensors(Shape):
    """The sensors of a facility."""

    facility: StationRef
    change: int
    items: list[Sensor]


class SensorRecords(Shape):
    """Values of a sensor within [start, end), by column."""

    sensor: SeriesRef
    change: int = Field(description="The change number as of which the values were read; give it as `as_of` to read the same again.")
    start: datetime | None
    end: datetime | None
    time: list[datetime]
    value: list[float | None] = Field(description="null where the source says that the value is missing (flag 9).")
    flag: list[Flag] = Field(description="QARTOD; a value of a sensor that was switched off is suspect (3) at best.")
    qualifier: list[str | None] = Field(description="What the source wrote beside the value.")
    state: list[SensorState] = Field(description="Whether the sensor was switched on at the time of the value.")
    next: str | None


class Bucket(Shape):
    """Metrics of a series in one bucket of time. Only good values enter the statistics; completeness and shares tell of all."""

    time: datetime
    count: int
    received: int
    expected: int | None
    mean: float | None
    minimum: float | None
    maximum: float | None
    sum: float | None
    standard_deviation: float | None
    volume: float | None
    completeness: float | None
    good_share: float | None
    suspect_share: float | None
    bad_share: float | None
    missing_share: float | None
    not_evaluated_share: float | None
    is_closed: bool


class Buckets(Shape):
    """The same of many buckets, by column."""

    time: list[datetime]
    count: list[int]
    received: list[int]
    expected: list[int | None]
    mean: list[float | None]
    minimum: list[float | None]
    maximum: list[float | None]
    sum: list[float | None]
    standard_deviation: list[float | None]
    volume: list[float | None] = Field(description="m3, where the unit is that of a flow.")
    completeness: list[float | None]
    good_share: list[float | None]
    suspect_share: list[float | None]
    bad_share: list[float | None]
    missing_share: list[float | None]
    not_evaluated_share: list[float | None]
    is_closed: list[bool]


class Aggregate(Shape):
    """Metrics of a series by buckets that start within [start, end)."""

    series: SeriesRef
    change: int
    interval: Literal["30min", "hourly", "daily"]
    start: datetime | None
    end: datetime | None
    buckets: Buckets | None = None
    rows: list[Bucket] | None = None
    next: str | None


class LatestBuckets(Shape):
    """The last closed bucket of each interval."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    half_hour: Bucket | None = Field(alias="30min")
    hourly: Bucket | None
    daily: Bucket | None


class NodeSeries(SeriesRef):
    """A series of a node, as it stands now."""

    status: Status
    last: Value | None
    metrics: LatestBuckets


class NodeMetrics(Shape):
    """How a node stands as of the last tick."""

    node: StationRef
    change: int
    status: Status
    status_at: datetime | None
    series: list[NodeSeries]


class SeriesBuckets(SeriesRef):
    """Metrics of one of a node's series."""

    buckets: Buckets


class NodeHistory(Shape):
    """Metrics of a node's series by buckets that start within [start, end)."""

    node: StationRef
    change: int
    interval: Literal["30min", "hourly", "daily"]
    start: datetime | None
    end: datetime | None
    series: list[SeriesBuckets]
    next: str | None


class QualityDays(Shape):
    """Data quality by UTC day, by column."""

    day: list[date]
    expected: list[int | None]
    received: list[int]
    good: list[int]
    suspect: list[int]
    bad: list[int]
    missing: list[int]
    not_evaluated: list[int]
    completeness: list[float | None]
    gross_range_failed: list[int]
    spike_failed: list[int]
    rate_of_change_failed: list[int]
    flat_line_failed: list[int]
    gap_failed: list[int]
    longest_gap_s: list[float | None]
    rule_set_id: list[int | None]


class SeriesQuality(SeriesRef):
    """Data quality of one of a node's series."""

    days: QualityDays


class Quality(Shape):
    """Data quality of a node's series, of days that begin within [start, end)."""

    node: StationRef
    change: int
    start: datetime | None
    end: datetime | None
    series: list[SeriesQuality]
    next: str | None


class ForecastScore(Shape):
    """How well the champion's last scored issue did, by lead."""

    lead_bucket: str
    lead_from_h: int
    lead_to_h: int
    issued_at: datetime
    n: int = Field(description="Hours with truth.")
    mae: float
    pinball: float
    coverage_90: float
    width_90: float
    skill: float | None = Field(description="1 - error / error of the seasonal baseline.")


class SeriesForecast(SeriesRef):
    """A forecast of one of a node's series: quantiles of the hourly mean, by column."""

    issued_at: datetime
    kind: Literal["issue", "hindcast"]
    champion: Literal["seasonal", "ridge"]
    reason: str | None = Field(description="Why the champion is champion; null for the baseline of the start.")
    time: list[datetime]
    q05: list[float]
    q10: list[float]
    q25: list[float]
    q50: list[float]
    q75: list[float]
    q90: list[float]
    q95: list[float]
    model: list[Literal["seasonal", "ridge"]]
    scores: list[ForecastScore]


class Predictions(Shape):
    """The forecasts that are served of a node."""

    node: StationRef
    change: int
    series: list[SeriesForecast]


class Anomaly(Shape):
    """An event of unusual behaviour."""

    id: UUID
    kind: str
    severity: Literal["low", "medium", "high"]
    status: Literal["open", "closed"]
    score: float = Field(description="1 is the limit of the usual.")
    start_at: datetime
    end_at: datetime
    expected_low: float | None
    expected_high: float | None
    observed: float | None
    model: UUID | None = Field(description="The band by which it was judged.")
    series: SeriesRef
    station: StationRef


class AnomalyPage(Shape):
    """Events, the latest start first."""

    items: list[Anomaly]
    next: str | None


class NetworkBucket(Shape):
    """A network's property in one half-hour, by zone."""

    network: str
    zone: str
    property: str
    unit: str | None
    time: datetime
    series: int
    mean: float | None
    minimum: float | None
    maximum: float | None
    sum: float | None
    volume: float | None
    completeness: float | None


class QualityTotal(Shape):
    """Values of all series on one UTC day."""

    day: date
    expected: int | None
    received: int
    good: int
    suspect: int
    bad: int
    missing: int
    not_evaluated: int


class RecentForecasts(Shape):
    """Forecasts of the week before the last tick."""

    series: int
    issued_at: datetime | None


class Summary(Shape):
    """How the whole stands, as of the last tick."""

    change: int
    tick_at: datetime | None
    stations: dict[Status, int]
    networks: list[NetworkBucket]
    quality: list[QualityTotal]
    open_anomalies: dict[Literal["low", "medium", "high"], int]
    forecasts: RecentForecasts


class Job(Shape):
    """A file that landed."""

    id: UUID
    arrival: int = Field(description="The file's place in the order of arrival, which decides which value wins.")
    name: str
    prefix: str
    kind: str
    status: JobStatus = Field(description="failed: begun again by itself, up to WATER_LOAD_ATTEMPTS; quarantined: the file is at fault.")
    progress: float | None = Field(description="Share of the file that a running load has read.")
    error: str | None
    bytes: int
    sha256: str
    mapping_version: str
    attempts: int
    rows: int | None
    rejected: int | None
    run: str | None
    arrived_at: datetime
    landed_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    withdrawn_at_change: int | None
    superseded_by: UUID | None


class JobPage(Shape):
    """Jobs, the latest arrival first."""

    items: list[Job]
    next: str | None


class JobLoad(Shape):
    """What a load of a file did."""

    change: int
    reason: str
    parser: str
    parser_version: str
    run: str | None
    series_days: int
    series: int
    first_day: date | None
    last_day: date | None
    new: int
    changed: int
    unchanged: int


class RejectedRow(Shape):
    """A row of a file that was refused, and why."""

    position: int
    source_row: int
    text: str
    reason: str


class RejectedPage(Shape):
    """Refused rows, in the order of the file."""

    items: list[RejectedRow]
    next: str | None


class JobDetail(Job):
    """A job with its loads and a page of its refused rows."""

    loads: list[JobLoad]
    rejected_rows: RejectedPage


class DatasetLinks(Shape):
    """Where to go on from a dataset."""

    file: str
    rejected: str
    job: str


class Dataset(Shape):
    """A file that landed, of whatever kind."""

    id: UUID
    arrival: int = Field(description="The file's place in the order of arrival, which decides which value wins.")
    name: str
    prefix: str
    kind: str = Field(description="data, mapping, rules, tick, act, model, forecast or champion.")
    sha256: str
    bytes: int
    arrived_at: datetime
    status: JobStatus
    error: str | None
    rows: int | None
    rejected: int | None
    mapping_version: str
    withdrawn_at_change: int | None
    superseded_by: UUID | None = Field(description="The same bytes under a newer mapping.")
    links: DatasetLinks


class DatasetPage(Shape):
    """Datasets, the latest arrival first."""

    items: list[Dataset]
    next: str | None


class DatasetSeries(Shape):
    """What a dataset gave of a series: days, and values that were new, that changed others, that were there already, or were refused."""

    id: UUID
    natural_id: str
    first_day: date
    last_day: date
    new: int
    changed: int
    unchanged: int
    rejected: int


class ArgoAgreement(Shape):
    """How our outcome of a real-time test, by the rules of the day of the record, agrees with what the data centre recorded in HISTORY_QCTEST.

    Compared are casts that both tested.
    """

    test: int
    name: str
    compared: int
    agree: int
    ours_only: int = Field(description="Casts that failed by us alone.")
    theirs_only: int = Field(description="Casts that failed by the data centre alone.")
    rules: list[str] = Field(description="The versions of the tests by which we judged them.")


class ArgoSummary(Shape):
    """What a dataset holds, in words."""

    text: str
    written_by: str = Field(description="template, or the model that wrote it from the statistics alone.")
    statistics: dict[str, Any]


class ArgoCurrent(Shape):
    """The casts whose current version came by a dataset."""

    casts: int
    floats: int
    first_at: datetime | None
    last_at: datetime | None
    evaluated: int
    with_failed_tests: int


class ArgoDataset(Shape):
    """What a dataset holds of Argo."""

    casts: int
    current: ArgoCurrent
    agreement: list[ArgoAgreement]
    summary: ArgoSummary | None = Field(description="Null until its casts were flagged first.")


class DatasetDetail(Dataset):
    """A dataset with how it was read and what it touched."""

    landed_at: datetime | None
    mapping: str = Field(description="Text of the mapping under which it landed; empty without one.")
    parser: str | None
    parser_version: str | None
    series_count: int
    series: list[DatasetSeries] = Field(description="The first hundred, by natural id.")
    argo: ArgoDataset | None = Field(description="What it holds of Argo; null for other files.")


class ProcessingJob(Shape):
    """A partition of an asset."""

    asset: str
    partition: str
    status: Literal["succeeded", "stale", "pending"]
    run: str | None = Field(description="The Dagster run that computed it last.")
    rows: int | None
    read: int | None = Field(description="The change as of which its data was read; of a pending one, that which made it due.")
    made: int | None = Field(description="The last change that it made; 0 where computing it never changed anything.")
    changed_at: datetime | None
    computed_at: datetime | None
    logged_at: datetime | None = Field(description="When its materialisation was logged in Dagster; null where that is still to come.")
    code_version: str | None


class ProcessingJobPage(Shape):
    """Processing jobs, by asset and partition."""

    items: list[ProcessingJob]
    next: str | None


class Made(Shape):
    """A change: when it was recorded, by what, in which run, and by which code."""

    change: int
    recorded_at: datetime
    kind: str
    run: str | None
    code_version: str


class Source(Shape):
    """A landed file."""

    dataset: UUID = Field(description="Its id at /api/v1/datasets.")
    arrival: int
    name: str
    prefix: str
    object: str = Field(description="Key of its bytes in the object store.")
    sha256: str
    arrived_at: datetime
    mapping_version: str


class SourceRow(Source):
    """The row of a landed file that gave a value, and how it was read."""

    row: int = Field(description="Line, sheet row or record number within the file (within the member, for archives).")
    reason: Literal["load", "replay", "withdrawal"]
    parser: str
    parser_version: str


class Input(Source):
    """A landed file that gave values to what was derived."""

    values: int
    first_at: datetime
    last_at: datetime


class Superseded(Shape):
    """A value that was served before, and until when."""

    value: float | None
    qualifier: str | None
    made: Made
    until: Made
    source: SourceRow


class RulesBehind(Shape):
    """The rules by which values were judged; without an object, those that come with the platform."""

    version: str
    change: int
    dataset: UUID | None
    object: str | None
    sha256: str | None


class ModelBehind(Shape):
    """The trained model by which something was derived."""

    id: UUID
    kind: str
    scope: str
    cutoff_at: datetime
    version: int
    read: int = Field(description="The change as of which its training data was read.")
    change: int
    dataset: UUID
    object: str
    sha256: str


class Lineage(Shape):
    """Where a value comes from."""

    of: str
    series: SeriesRef
    time: datetime
    change: int
    value: dict[str, Any] = Field(description="What is served: the columns of its kind.")
    made: Made
    source: SourceRow | None = Field(description="Of an observation.")
    rules: RulesBehind | None = Field(description="Of a flag or a metric.")
    model: ModelBehind | None = Field(description="Of an anomaly or a forecast; none where no model was needed.")
    inputs: list[Input] = Field(description="The files behind the bucket or day of what is derived.")
    superseded: list[Superseded] = Field(description="Earlier values of an observation, the latest first.")


class ChangedSeries(Shape):
    """The series whose values or flags changed; it may have been deleted since."""

    id: UUID
    natural_id: str


class SeriesChange(Shape):
    """What one change did to the values of a series within [start_at, end_at), whole UTC days."""

    change: int
    recorded_at: datetime
    kind: Literal["added", "changed", "withdrawn", "flagged", "deleted"] = Field(
        description="flagged: the flags with which values are served may be others than before."
    )
    series: ChangedSeries
    start_at: datetime
    end_at: datetime
    rows: int = Field(description="Values that were added, changed, withdrawn or deleted; for flagged, rows that decide on flags.")


class ChangePage(Shape):
    """What happened, in the order of changes."""

    items: list[SeriesChange]
    cursor: int = Field(description="The last change that is told; `since` of the next question.")
    complete: bool = Field(description="Whether nothing more had happened up to `cursor`.")


class ArgoChange(Shape):
    """What one change did to the casts of a float."""

    change: int
    recorded_at: datetime
    kind: Literal["added", "changed", "withdrawn", "flagged"] = Field(
        description="changed: another version of the cast is current; flagged: our flags of it may be others than before."
    )
    wmo: int
    casts: int
    first_cycle: int
    last_cycle: int


class ArgoChangePage(Shape):
    """What happened, in the order of changes."""

    items: list[ArgoChange]
    cursor: int = Field(description="The last change that is told; `since` of the next question.")
    complete: bool = Field(description="Whether nothing more had happened up to `cursor`.")


class Health(Shape):
    """The API answers."""

    status: Literal["ok"]
    version: str


class Ready(Shape):
    """Whether the platform is at work, and what it waits for."""

    status: Literal["ready", "not ready"]
    schema_revision: str | None
    expected_revision: str
    daemon_heartbeat_age_s: float | None
    reasons: list[str]


class Stage(Shape):
    """What an asset has computed, and has still to compute."""

    asset: str
    computed_units: int
    rows: int
    last_change: int | None
    computed_at: datetime | None
    stale_units: int


class LiveSource(Shape):
    """A live source, and how the polls of it go."""

    name: str
    kind: Literal["sensorthings"]
    url: str
    state: Literal["waiting", "unreached", "stale", "following"]
    reached_at: datetime | None
    tried_at: datetime | None
    next_at: datetime | None
    failures: int
    error: str | None
    requests: int


class PlatformStatus(Shape):
    """How much there is."""

    change: int
    changed_at: datetime | None
    tick_at: datetime | None
    stations: int
    nodes: int
    series: int
    observations: int
    observations_are_estimated: bool
    files: dict[str, int]
    stages: list[Stage]
    sources: list[LiveSource]


ArgoMode = Literal["R", "A", "D", ""]
ArgoQc = Literal[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
_OF_CASTS = "Of all casts that are current."


class ArgoPlace(Shape):
    """A position in time."""

    at: datetime | None
    latitude: float | None
    longitude: float | None


class ArgoFloat(Shape):
    """A float, as its meta file and its profiles describe it."""

    wmo: int
    platform_type: str | None
    maker: str | None
    wmo_inst_type: str | None
    serial_no: str | None
    firmware_version: str | None
    data_centre: str | None
    project_name: str | None
    pi_name: str | None
    positioning_system: str | None
    profiles: int
    first_at: datetime | None = Field(description=_OF_CASTS)
    last_at: datetime | None = Field(description=_OF_CASTS)
    parameters: list[str] = Field(description=_OF_CASTS)
    launch: ArgoPlace
    last_position: ArgoPlace | None


class ArgoFloatPage(Shape):
    """Floats, by WMO number."""

    items: list[ArgoFloat]
    next: str | None


class ArgoSensor(Shape):
    """A sensor, in the words of the meta file."""

    name: str
    maker: str
    model: str
    serial_no: str


class ArgoMeasured(Shape):
    """A parameter that a float measures, in the words of the meta file."""

    name: str
    sensor: str
    units: str
    accuracy: str
    resolution: str


class ArgoTechnical(Shape):
    """A technical value, and the cycle that it is of."""

    cycle: int
    value: str


class ArgoFloatDetail(ArgoFloat):
    """A float with its sensors, missions and technical values."""

    change: int
    sensors: list[ArgoSensor]
    measured: list[ArgoMeasured]
    launch_configuration: dict[str, float | None]
    missions: dict[str, dict[str, float | None]]
    technical: dict[str, ArgoTechnical]
    agreement: list[ArgoAgreement]


class ArgoProfile(Shape):
    """A cast in its current version."""

    id: str
    wmo: int
    cycle: int
    direction: Literal["A", "D"] = Field(description="A ascending, D descending.")
    product: Literal["core", "synthetic"]
    number: int = Field(description="Place among the casts of its cycle; 0 is the primary one.")
    at: datetime | None
    at_qc: ArgoQc | None = Field(description="The data centre's flag of the date.")
    latitude: float | None
    longitude: float | None
    position_qc: ArgoQc | None
    data_mode: ArgoMode = Field(description="R real time, A adjusted, D delayed.")
    data_centre: str
    vertical_sampling_scheme: str
    parameters: list[str]
    pressure_min_dbar: float | None
    pressure_max_dbar: float | None
    updated_at: datetime | None = Field(description="DATE_UPDATE of its file.")
    level_count: int
    failed: list[str] | None = Field(description="The real-time tests that failed for any of its values; null while it is not evaluated.")


class ArgoProfilePage(Shape):
    """Casts."""

    items: list[ArgoProfile]
    next: str | None


class ArgoFlag(Shape):
    """Our flag of a date or a position, and the tests that it failed; null while it is not evaluated."""

    flag: ArgoQc | None
    failed: list[str] | None


class ArgoRecorded(Shape):
    """What HISTORY_QCTEST says."""

    at: datetime | None
    performed: list[str] | None
    failed: list[str] | None
    institution: str
    software: str
    release: str
    rules: str | None = Field(description="The versions of the tests of its day; null where it records no failures, or before we judged the cast.")
    failed_by_us: list[str] | None = Field(description="What fails by those rules of ours: what the record is compared with.")


class ArgoTests(Shape):
    """The real-time tests of a cast: ours, by the version of the rules, and those that the data centre recorded."""

    rules: str | None
    run: list[str] | None
    failed: list[str] | None
    recorded: ArgoRecorded | None


class ArgoParameter(Shape):
    """One parameter by level; null where a value or a flag is missing."""

    unit: str
    mode: ArgoMode | None
    raw: list[float | None]
    adjusted: list[float | None]
    error: list[float | None] = Field(description="Of the adjusted values.")
    qc: list[ArgoQc | None] = Field(description="The data centre's flags of the raw values.")
    adjusted_qc: list[ArgoQc | None]
    flag: list[ArgoQc | None] = Field(description="Ours, of the raw values: 1 good to 4 bad, 9 missing.")
    failed: list[list[str] | None] = Field(description="The real-time tests that each value failed.")


class ArgoLevels(Shape):
    """Levels by column."""

    level: list[int] = Field(description="Index along N_LEVELS.")
    parameters: dict[str, ArgoParameter]


class ArgoRevision(Shape):
    """A version of a cast, or of its BGC part, as a file brought it."""

    part: Literal["core", "bgc"]
    data_mode: ArgoMode
    levels: int
    member: str = Field(description="Within an archive; empty for a file by itself.")
    dataset: UUID
    file: str
    arrived_at: datetime
    change: int
    is_current: bool


class ArgoProfileDetail(ArgoProfile):
    """A cast with its levels."""

    change: int
    date: ArgoFlag
    position: ArgoFlag
    tests: ArgoTests
    levels: ArgoLevels
    revisions: list[ArgoRevision]


class ArgoGeometry(Shape):
    """GeoJSON: longitude and latitude in degrees."""

    type: Literal["Point", "LineString"]
    coordinates: list[float] | list[list[float]]


class ArgoTrackProperties(Shape):
    """The line through the casts of a float has its number only."""

    wmo: int | None = None
    source: Literal["track", "launch", "profile", "trajectory"]
    cycle: int | None = None
    direction: Literal["A", "D"] | None = None
    at: datetime | None = None
    qc: ArgoQc | None = None
    accuracy: str | None = None
    profile: str | None = None
    flag: ArgoQc | None = None
    failed: list[str] | None = None


class ArgoFeature(Shape):
    """A position, or the line through all."""

    type: Literal["Feature"]
    geometry: ArgoGeometry
    properties: ArgoTrackProperties


class ArgoTrack(Shape):
    """The positions of a float as GeoJSON."""

    type: Literal["FeatureCollection"]
    change: int
    features: list[ArgoFeature]


class ProblemDetails(Shape):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    request_id: str
    errors: list[dict[Literal["in", "name", "message"], str]] | None = None


_REF: dict[str, Any] = {
    "id": _SERIES_ID,
    "natural_id": "STATION_123/discharge",
    "name": "Discharge at the mill",
    "property": "discharge",
    "unit": "m3/s",
    "interval_s": 900.0,
}
_STATION_REF: dict[str, Any] = {"id": _STATION_ID, "natural_id": "STATION_123", "name": "Mill"}
_VALUE: dict[str, Any] = {"time": "2026-03-01T00:00:00Z", "value": 12.4, "flag": 1}
_SERIES_DETAIL: dict[str, Any] = {"kind": "imported", "feature_of_interest": None, "properties": {}}
_STATION: dict[str, Any] = {
    **_STATION_REF,
    "description": None,
    "kind": "gauge",
    "network": "north",
    "zone": "DMA-1",
    "latitude": 52.1,
    "longitude": 5.2,
    "elevation_m": 11.0,
    "time_zone": "Europe/Amsterdam",
    "properties": {},
    "status": "online",
    "last_at": "2026-03-01T00:00:00Z",
    "status_at": "2026-03-01T00:00:00Z",
}
_BUCKET: dict[str, Any] = {
    "time": "2026-03-01T00:00:00Z",
    "count": 2,
    "received": 2,
    "expected": 2,
    "mean": 12.5,
    "minimum": 12.4,
    "maximum": 12.6,
    "sum": None,
    "standard_deviation": 0.1,
    "volume": 22500.0,
    "completeness": 1.0,
    "good_share": 1.0,
    "suspect_share": 0.0,
    "bad_share": 0.0,
    "missing_share": 0.0,
    "not_evaluated_share": 0.0,
    "is_closed": True,
}
_BUCKETS: dict[str, Any] = {name: [value] for name, value in _BUCKET.items()}
_WINDOW: dict[str, Any] = {"start": "2026-03-01T00:00:00Z", "end": "2026-03-02T00:00:00Z"}
_JOB: dict[str, Any] = {
    "id": _JOB_ID,
    "arrival": 7,
    "name": "gauge.csv",
    "prefix": "river",
    "kind": "data",
    "status": "succeeded",
    "progress": None,
    "error": None,
    "bytes": 4096,
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "mapping_version": "none",
    "attempts": 1,
    "rows": 96,
    "rejected": 1,
    "run": "6c1f7b7e",
    "arrived_at": "2026-03-01T12:00:00Z",
    "landed_at": "2026-03-01T12:00:01Z",
    "started_at": "2026-03-01T12:00:02Z",
    "finished_at": "2026-03-01T12:00:03Z",
    "withdrawn_at_change": None,
    "superseded_by": None,
}

_DATASET: dict[str, Any] = {
    **{name: value for name, value in _JOB.items() if name in Dataset.model_fields},
    "links": {
        "file": f"/api/v1/datasets/{_JOB_ID}/file",
        "rejected": f"/api/v1/datasets/{_JOB_ID}/rejected",
        "job": f"/api/v1/datasets/jobs/{_JOB_ID}",
    },
}

_ARGO_FLOAT: dict[str, Any] = {
    "wmo": 6903247,
    "platform_type": "PROVOR_III",
    "maker": "NKE",
    "wmo_inst_type": "836",
    "serial_no": "P41305-17FR001",
    "firmware_version": "1.07",
    "data_centre": "IF",
    "project_name": "NAOS",
    "pi_name": "A. N. Example",
    "positioning_system": "GPS",
    "profiles": 299,
    "first_at": "2018-10-05T10:21:00Z",
    "last_at": "2022-07-19T10:47:00Z",
    "parameters": ["DOXY", "PRES", "PSAL", "TEMP"],
    "launch": {"at": "2018-10-05T06:00:00Z", "latitude": 34.5, "longitude": 25.1},
    "last_position": {"at": "2022-07-19T10:47:00Z", "latitude": 34.8, "longitude": 25.4},
}
_ARGO_AGREEMENT: dict[str, Any] = {
    "test": 9,
    "name": "spike",
    "compared": 108,
    "agree": 107,
    "ours_only": 0,
    "theirs_only": 1,
    "rules": ["manual 3.0 (2016)"],
}
_ARGO_PROFILE: dict[str, Any] = {
    "id": "6903247_001",
    "wmo": 6903247,
    "cycle": 1,
    "direction": "A",
    "product": "core",
    "number": 0,
    "at": "2018-10-05T10:21:00Z",
    "at_qc": 1,
    "latitude": 34.5,
    "longitude": 25.1,
    "position_qc": 1,
    "data_mode": "A",
    "data_centre": "IF",
    "vertical_sampling_scheme": "Primary sampling: averaged",
    "parameters": ["PRES", "TEMP", "PSAL"],
    "pressure_min_dbar": 4.5,
    "pressure_max_dbar": 985.2,
    "updated_at": "2018-10-06T03:00:00Z",
    "level_count": 2,
    "failed": ["spike"],
}
_ARGO_TEMP: dict[str, Any] = {
    "unit": "degree_Celsius",
    "mode": "A",
    "raw": [25.125, 31.5],
    "adjusted": [25.125, 31.5],
    "error": [0.002, None],
    "qc": [1, 4],
    "adjusted_qc": [1, 4],
    "flag": [1, 4],
    "failed": [[], ["spike"]],
}
_FACILITY_REF: dict[str, Any] = {"id": "4a0cb3a6-5b43-5f0c-9d21-6a4b1d2b7f10", "natural_id": "WTP-4", "name": "Treatment plant Riverside"}
_FACILITY: dict[str, Any] = {**_STATION, **_FACILITY_REF, "kind": "treatment_plant", "properties": {"is_facility": True, "address": "Weir lane 1"}}
_SENSOR_REF: dict[str, Any] = {
    "id": "0f5b6a0c-8f0e-5d0e-8c43-7b1a2c9d4e55",
    "natural_id": "WTP-4/L1",
    "name": "Level in basin 1",
    "property": "water_level",
    "unit": "m",
    "interval_s": 60.0,
}
_SENSOR: dict[str, Any] = {
    **_SENSOR_REF,
    **_SERIES_DETAIL,
    "kind": "sensor",
    "status": "online",
    "last": _VALUE,
    "state": "inactive",
    "state_at": "2026-03-01T00:00:00Z",
    "state_reason": "Calibration",
}

EXAMPLES: dict[type[Shape], dict[str, Any]] = {
    FacilityPage: {"items": [_FACILITY], "next": _CURSOR},
    FacilityDetail: {**_FACILITY, "sensors": [_SENSOR]},
    Sensors: {"facility": _FACILITY_REF, "change": 42, "items": [_SENSOR]},
    SensorRecords: {
        "sensor": _SENSOR_REF,
        "change": 42,
        **_WINDOW,
        "time": ["2026-02-28T23:59:00Z", "2026-03-01T00:00:00Z"],
        "value": [1.25, 0.0],
        "flag": [1, 3],
        "qualifier": [None, "maintenance"],
        "state": ["active", "inactive"],
        "next": None,
    },
    StationPage: {"items": [_STATION], "next": _CURSOR},
    StationDetail: {**_STATION, "series": [{**_REF, **_SERIES_DETAIL, "status": "online", "last": _VALUE}]},
    SeriesPage: {
        "items": [{**_REF, **_SERIES_DETAIL, "station": _STATION_REF, "first_at": "2025-03-01T00:00:00Z", "last_at": "2026-03-01T00:00:00Z"}],
        "next": None,
    },
    Values: {
        "series": _REF,
        "change": 42,
        **_WINDOW,
        "time": ["2026-03-01T00:00:00Z", "2026-03-01T00:15:00Z"],
        "value": [12.4, None],
        "flag": [1, 9],
        "next": None,
    },
    Aggregate: {"series": _REF, "change": 42, "interval": "30min", **_WINDOW, "buckets": _BUCKETS, "next": None},
    NodeMetrics: {
        "node": _STATION_REF,
        "change": 42,
        "status": "online",
        "status_at": "2026-03-01T00:00:00Z",
        "series": [{**_REF, "status": "online", "last": _VALUE, "metrics": {"30min": _BUCKET, "hourly": None, "daily": None}}],
    },
    NodeHistory: {
        "node": _STATION_REF,
        "change": 42,
        "interval": "30min",
        **_WINDOW,
        "series": [{**_REF, "buckets": _BUCKETS}],
        "next": None,
    },
    Quality: {
        "node": _STATION_REF,
        "change": 42,
        **_WINDOW,
        "series": [
            {
                **_REF,
                "days": {
                    "day": ["2026-03-01"],
                    "expected": [96],
                    "received": [95],
                    "good": [93],
                    "suspect": [1],
                    "bad": [1],
                    "missing": [0],
                    "not_evaluated": [0],
                    "completeness": [0.9896],
                    "gross_range_failed": [1],
                    "spike_failed": [1],
                    "rate_of_change_failed": [0],
                    "flat_line_failed": [0],
                    "gap_failed": [0],
                    "longest_gap_s": [1800.0],
                    "rule_set_id": [1],
                },
            }
        ],
        "next": None,
    },
    Predictions: {
        "node": _STATION_REF,
        "change": 42,
        "series": [
            {
                **_REF,
                "issued_at": "2026-03-01T00:00:00Z",
                "kind": "issue",
                "champion": "ridge",
                "reason": "lower pinball loss on 8 weeks of hindcasts",
                "time": ["2026-03-01T01:00:00Z"],
                "q05": [11.0],
                "q10": [11.3],
                "q25": [11.8],
                "q50": [12.3],
                "q75": [12.8],
                "q90": [13.4],
                "q95": [13.9],
                "model": ["ridge"],
                "scores": [
                    {
                        "lead_bucket": "1-6h",
                        "lead_from_h": 1,
                        "lead_to_h": 6,
                        "issued_at": "2026-02-27T00:00:00Z",
                        "n": 24,
                        "mae": 0.41,
                        "pinball": 0.13,
                        "coverage_90": 0.92,
                        "width_90": 2.8,
                        "skill": 0.18,
                    }
                ],
            }
        ],
    },
    AnomalyPage: {
        "items": [
            {
                "id": "5d2c0b7e-9f0e-4b4e-8a53-0b5f8f6f7f09",
                "kind": "above_band",
                "severity": "high",
                "status": "open",
                "score": 3.2,
                "start_at": "2026-03-01T02:00:00Z",
                "end_at": "2026-03-01T05:30:00Z",
                "expected_low": 10.1,
                "expected_high": 13.9,
                "observed": 18.6,
                "model": None,
                "series": _REF,
                "station": _STATION_REF,
            }
        ],
        "next": None,
    },
    Summary: {
        "change": 42,
        "tick_at": "2026-03-01T12:00:00Z",
        "stations": {"online": 9, "late": 1, "silent": 1, "inactive": 0, "unknown": 0},
        "networks": [
            {
                "network": "north",
                "zone": "DMA-1",
                "property": "flow",
                "unit": "l/s",
                "time": "2026-03-01T11:30:00Z",
                "series": 2,
                "mean": 14.2,
                "minimum": 12.9,
                "maximum": 15.6,
                "sum": 28.4,
                "volume": 51.1,
                "completeness": 1.0,
            }
        ],
        "quality": [{"day": "2026-03-01", "expected": 960, "received": 952, "good": 940, "suspect": 7, "bad": 5, "missing": 0, "not_evaluated": 0}],
        "open_anomalies": {"low": 0, "medium": 1, "high": 1},
        "forecasts": {"series": 12, "issued_at": "2026-03-01T00:00:00Z"},
    },
    JobPage: {"items": [_JOB], "next": _CURSOR},
    JobDetail: {
        **_JOB,
        "loads": [
            {
                "change": 42,
                "reason": "load",
                "parser": "csv",
                "parser_version": "1",
                "run": "6c1f7b7e",
                "series_days": 1,
                "series": 1,
                "first_day": "2026-03-01",
                "last_day": "2026-03-01",
                "new": 96,
                "changed": 0,
                "unchanged": 0,
            }
        ],
        "rejected_rows": {
            "items": [{"position": 0, "source_row": 17, "text": "2026-03-01 04:00,n/a", "reason": "n/a is no number"}],
            "next": None,
        },
    },
    ArgoFloatPage: {"items": [_ARGO_FLOAT], "next": None},
    ArgoFloatDetail: {
        **_ARGO_FLOAT,
        "change": 42,
        "sensors": [{"name": "CTD_TEMP", "maker": "SBE", "model": "SBE41CP", "serial_no": "10482"}],
        "measured": [{"name": "TEMP", "sensor": "CTD_TEMP", "units": "degree_Celsius", "accuracy": "0.002", "resolution": "0.001"}],
        "launch_configuration": {"CONFIG_ParkPressure_dbar": 1000.0},
        "missions": {"1": {"CONFIG_ProfilePressure_dbar": 1000.0}},
        "technical": {"VOLTAGE_BatteryPumpStartProfile_volts": {"cycle": 299, "value": "10.1"}},
        "agreement": [_ARGO_AGREEMENT],
    },
    ArgoProfilePage: {"items": [_ARGO_PROFILE], "next": _CURSOR},
    ArgoProfileDetail: {
        **_ARGO_PROFILE,
        "change": 42,
        "date": {"flag": 1, "failed": []},
        "position": {"flag": 1, "failed": []},
        "tests": {
            "rules": "manual 3.6 with the changes of 2024",
            "run": ["impossible_date", "spike"],
            "failed": ["spike"],
            "recorded": {
                "at": "2018-10-06T03:00:00Z",
                "performed": ["impossible_date", "spike"],
                "failed": ["spike"],
                "institution": "IF",
                "software": "COQC",
                "release": "3.2",
                "rules": "manual 3.0 (2016)",
                "failed_by_us": ["spike"],
            },
        },
        "levels": {"level": [0, 1], "parameters": {"TEMP": _ARGO_TEMP}},
        "revisions": [
            {
                "part": "core",
                "data_mode": "A",
                "levels": 2,
                "member": "",
                "dataset": _JOB_ID,
                "file": "R6903247_001.nc",
                "arrived_at": "2026-03-01T12:00:00Z",
                "change": 42,
                "is_current": True,
            }
        ],
    },
    ArgoTrack: {
        "type": "FeatureCollection",
        "change": 42,
        "features": [
            {
                "type": "Feature",
                "geometry": {"type": "Point", "coordinates": [25.1, 34.5]},
                "properties": {
                    "source": "profile",
                    "cycle": 1,
                    "direction": "A",
                    "at": "2018-10-05T10:21:00Z",
                    "qc": 1,
                    "accuracy": None,
                    "profile": "6903247_001",
                    "flag": 1,
                    "failed": [],
                },
            }
        ],
    },
    DatasetPage: {"items": [_DATASET], "next": _CURSOR},
    DatasetDetail: {
        **_DATASET,
        "landed_at": "2026-03-01T12:00:01Z",
        "mapping": "time_zone: Europe/Amsterdam\n",
        "parser": "csv",
        "parser_version": "1",
        "series_count": 1,
        "series": [
            {
                "id": _SERIES_ID,
                "natural_id": "STATION_123/discharge",
                "first_day": "2026-03-01",
                "last_day": "2026-03-01",
                "new": 96,
                "changed": 0,
                "unchanged": 0,
                "rejected": 0,
            }
        ],
        "argo": None,
    },
    RejectedPage: {"items": [{"position": 0, "source_row": 17, "text": "2026-03-01 04:00,n/a", "reason": "n/a is no number"}], "next": None},
    Lineage: {
        "of": "observation",
        "series": _REF,
        "time": "2026-03-01T00:00:00Z",
        "change": 42,
        "value": {"value": 12.4, "qualifier": "A"},
        "made": {"change": 7, "recorded_at": "2026-03-01T12:00:03Z", "kind": "load", "run": "6c1f7b7e", "code_version": "0.1.0"},
        "source": {
            "dataset": _JOB_ID,
            "arrival": 3,
            "name": "gauge.csv",
            "prefix": "river",
            "object": "landed/2026-03-01/000000000003-9f86d081",
            "sha256": "9f86d081",
            "arrived_at": "2026-03-01T12:00:00Z",
            "mapping_version": "none",
            "row": 2,
            "reason": "load",
            "parser": "text",
            "parser_version": "1",
        },
        "rules": None,
        "model": None,
        "inputs": [],
        "superseded": [],
    },
    ChangePage: {
        "items": [
            {
                "change": 42,
                "recorded_at": "2026-03-01T12:00:03Z",
                "kind": "changed",
                "series": {"id": _SERIES_ID, "natural_id": "STATION_123/discharge"},
                "start_at": "2026-03-01T00:00:00Z",
                "end_at": "2026-03-02T00:00:00Z",
                "rows": 4,
            }
        ],
        "cursor": 42,
        "complete": True,
    },
    ArgoChangePage: {
        "items": [
            {
                "change": 42,
                "recorded_at": "2026-03-01T12:00:03Z",
                "kind": "changed",
                "wmo": 6903247,
                "casts": 3,
                "first_cycle": 12,
                "last_cycle": 13,
            }
        ],
        "cursor": 42,
        "complete": True,
    },
    ProcessingJobPage: {
        "items": [
            {
                "asset": "core/anomaly",
                "partition": "2026-03-01",
                "status": "succeeded",
                "run": "6c1f7b7e",
                "rows": 2,
                "read": 41,
                "made": 42,
                "changed_at": "2026-03-01T12:00:03Z",
                "computed_at": "2026-03-01T12:00:03Z",
                "logged_at": "2026-03-01T12:00:04Z",
                "code_version": "0.1.0",
            }
        ],
        "next": _CURSOR,
    },
    Health: {"status": "ok", "version": "0.1.0"},
    Ready: {"status": "ready", "schema_revision": "0003", "expected_revision": "0003", "daemon_heartbeat_age_s": 12.5, "reasons": []},
    PlatformStatus: {
        "change": 42,
        "changed_at": "2026-03-01T12:00:03Z",
        "tick_at": "2026-03-01T12:00:00Z",
        "stations": 11,
        "nodes": 6,
        "series": 20,
        "observations": 700_000,
        "observations_are_estimated": False,
        "files": {"pending": 0, "running": 0, "succeeded": 12, "failed": 0, "quarantined": 1},
        "stages": [
            {
                "asset": "core/observation_flag",
                "computed_units": 365,
                "rows": 1200,
                "last_change": 41,
                "computed_at": "2026-03-01T12:00:03Z",
                "stale_units": 0,
            }
        ],
        "sources": [
            {
                "name": "agency",
                "kind": "sensorthings",
                "url": "https://sta.example.org/v1.1",
                "state": "following",
                "reached_at": "2026-03-01T12:00:00Z",
                "tried_at": "2026-03-01T12:00:00Z",
                "next_at": "2026-03-01T12:01:00Z",
                "failures": 0,
                "error": None,
                "requests": 1,
            }
        ],
    },
}
"""One example of each answer, in the words of JSON."""

PROBLEM_EXAMPLE: dict[str, Any] = {
    "type": "urn:water-pipelines:problem:not-found",
    "title": "Nothing of that id",
    "status": 404,
    "detail": "there is no station 'STATION_9'; /api/v1/water-data/stations lists them",
    "instance": "/api/v1/water-data/stations/STATION_9",
    "request_id": "5f0c6d9be2b34d0f8f6f6c1d1a7d3c55",
}


def answers(
    shape: type[Shape], *, csv: str | None = None, binary: str | None = None, statuses: tuple[int, ...] = (400, 404, 410, 422, 503)
) -> dict[int | str, dict[str, Any]]:
    """What a route may answer, for the OpenAPI document: its shape, and problem details."""
    content: dict[str, Any] = {} if csv is None else {"text/csv": {"example": csv, "schema": {"type": "string"}}}
    if binary is not None:
        content[binary] = {"schema": {"type": "string", "format": "binary"}}
    problem = {"description": "A problem", "content": {"application/problem+json": {"schema": _PROBLEM_SCHEMA, "example": PROBLEM_EXAMPLE}}}
    return {200: {"model": shape, "description": shape.__doc__, "content": content}, **dict.fromkeys(statuses, problem)}


def with_examples(document: dict[str, Any]) -> dict[str, Any]:
    """The OpenAPI document with the example of each answer. FastAPI itself would leave out every null of it."""
    examples = {f"#/components/schemas/{shape.__name__}": example for shape, example in EXAMPLES.items()}
    for operations in document["paths"].values():
        for operation in operations.values():
            content = operation["responses"]["200"]["content"].get("application/json")
            if content is not None:
                content["example"] = examples[content["schema"]["$ref"]]
    return document


_PROBLEM_SCHEMA = ProblemDetails.model_json_schema()

_BYTES = {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
BINARY: dict[int | str, dict[str, Any]] = {
    200: {"description": "The file", **_BYTES},
    206: {"description": "A range of the file", **_BYTES},
    304: {"description": "The file is what the client has"},
    307: {"description": "The file lies at the URL in `Location` for five minutes"},
    416: {"description": "The file has no such range"},
    **{
        status: {"description": "A problem", "content": {"application/problem+json": {"schema": _PROBLEM_SCHEMA, "example": PROBLEM_EXAMPLE}}}
        for status in (404, 422, 503)
    },
}
"""What a route may answer that gives a file's bytes."""
