"""Column headers and the names made of them: what a header says of unit and zone, and how names are compared.

Add a word here when files commonly use it for a column. A word must be unmistakable; everything else is for the mapping.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


TIME = _words(
    """time timestamp datetime date phenomenontime utc timeutc utctime datetimeutc dateutc timestamputc localtime datetimelocal observedat measuredat
    sampletime sampledate observationtime resulttime unixtime epoch zeit zeitpunkt zeitstempel datum datumzeit datumtijd tijd dateheure horodatage
    fecha fechahora data dataora dataehora tmstamp messzeitpunkt messdatum yyyymmdd tijdstip tijdstipmeting peildatum tidpunkt dateobs dateobselab
    obsdate observationdate phenomenondate"""
)
DATE = _words("date datum fecha data day yyyymmdd messdatum peildatum dato")
CLOCK = _words("time zeit tijd tid heure hora ora uhrzeit clock timeofday")
HOUR = _words("hh hour hr hourofday stunde uur timme heure hora ora")
YEAR = _words("year yr yyyy yy jahr jaar annee année año agno anno ano")
MONTH = _words("month mo mon mnth mm monat maand mois mes mese mês")
DAY = _words("day dy dd tag dag jour dia día giorno")
MINUTE = _words("minute minutes min mn mi mm")
SECOND = _words("second seconds sec ss")
VALUE = _words(
    """value val result reading measurement measuredvalue observedvalue wert messwert waarde valeur valor valore valuevaleur resultatobs
    resultatobselab"""
)
STATION = _words(
    """station stationid stationcode stationnumber stationno stationnr site siteid sitecode sitenumber siteno gauge gaugeid gaugeno node nodeid
    location locationid locationcode platform monitoringlocationid naturalid thing thingid stn stationsid stationsnummer codestation
    stationreference bureauofmeteorologystationnumber estacion codigoestacion codigodelaestacion"""
)
STATION_NAME = _words("stationname sitename locationname name")
PROPERTY = _words(
    """property observedproperty parameter parametername parametercode param variable variablename quantity measure sensor grandeurhydro
    grandeurhydroelab parameterparamètre"""
)
UNIT = _words("unit units uom unitofmeasurement unitofmeasure einheit eenheid unite unita unidad")
QUALIFIER = _words(
    """qualifier qualifiers qualitycode quality flag flags qc qaqc qcflag qcode approval approvalstatus censoring symbol sym grade status
    kwalificatie kwaliteit kwaliteitscode qualität qualite qualité kvalitet symbolsymbole qualifierqualificatif qualifiersqualificatifs
    approvalapprobation gradeclassification libellequalificationobs libellequalification"""
)
_QUALIFIER_ENDS = ("cd", "qualifier", "qualifiers", "flag", "flags", "qc", "quality", "qual")
LATITUDE = _words("latitude lat latitudedeg latdd wgs84latitude")
LONGITUDE = _words("longitude lon lng long longitudedeg londd wgs84longitude")
ELEVATION = _words("elevation elevationm altitude altitudem height heightm")
FEATURE = _words("featureofinterest foi feature")

_LABELS = _words(
    """id row rowid index record recordid recnum recnbr recordnumber recno lfdnr objectid uuid year month day doy julianday hour minute second
    jahr monat tag stunde jaar maand dag uur easting northing eastings northings xcoord ycoord xcoordinaat ycoordinaat rechtswert hochwert"""
)
_LABEL = re.compile(r"#|No\.|Nr\.|N[°º]|№|.*(?:[ _.-]i[dD]|[ _.-]ID|[a-z]I[dD]|[_ ](?:nbr|NBR)|[Ss]erial[ _]?(?:[Nn]umber|[Nn]o\.?)?)")
_BRACKETED = re.compile(r"^(?P<name>.*?)\s*[(\[](?P<unit>[^()\[\]]*(?:\([^()]*\)[^()\[\]]*)?)[)\]]\s*$")
_SEPARATED = re.compile(r"^(?P<name>[^,]+),\s*(?P<unit>[^,\s(]+)\s*(?:\(.*\))?$")
_OFFSET_ZONE = re.compile(r"(?:^|[^A-Za-z]|(?<=[a-z]))(?:UTC|GMT|utc|gmt)(?![A-Za-z])(?:\s?([+-]\d{1,2}(?::?\d{2})?))?")
_BARE_OFFSET = re.compile(r"[(\[\s]([+-]\d{2}:\d{2})[)\]]?\s*$")
_PAIRS = (
    (re.compile(r"\b(?:CET\W{1,3}CEST|MEZ\W{1,3}MESZ)\b", re.IGNORECASE), "Europe/Brussels"),
    (re.compile(r"\b(?:GMT|WET)\W{1,3}(?:BST|WEST)\b", re.IGNORECASE), "Europe/London"),
    (re.compile(r"\bEET\W{1,3}EEST\b", re.IGNORECASE), "Europe/Helsinki"),
)
_IANA = re.compile(r"\b((?:Africa|America|Antarctica|Asia|Atlantic|Australia|Europe|Indian|Pacific|Etc)/[A-Za-z_]+(?:[/+-][A-Za-z0-9_]+)*)\b")
_PREAMBLE_ZONE = re.compile(r"(?:time ?zone|zeitzone|tijdzone|fuseau horaire|utc ?offset|zona horaria)\W*(?P<zone>[^\n\r;,\"]*)", re.IGNORECASE)


def key(name: str) -> str:
    """A name for comparing: letters and digits only, lower case.

    >>> key(" Date_Time ")
    'datetime'
    """
    return _known_key(name) if len(name) <= _SHORT else _key(name)


def _key(name: str) -> str:
    return "".join(char for char in name.casefold() if char.isalnum())


_SHORT = 64
_known_key = lru_cache(maxsize=1 << 12)(_key)  # each cell of a file's first lines is asked about, and the next file has the same


def split_unit(header: str) -> tuple[str, str | None]:
    """A header without its unit, and the unit.

    >>> split_unit("Air temperature (°C)"), split_unit("DO conc, mg/L (LGR S/N: 20313269)"), split_unit("level")
    (('Air temperature', '°C'), ('DO conc', 'mg/L'), ('level', None))
    """
    header = header.strip()
    found = _SEPARATED.match(header) or _BRACKETED.match(header)
    if found is None or not found["name"].strip():
        return header, None
    return found["name"].strip(), found["unit"].strip() or None


def snake(name: str) -> str:
    """Lower snake case, letters of any script kept.

    >>> snake("Water Level")
    'water_level'
    """
    plain = unicodedata.normalize("NFKC", name).casefold()
    return re.sub(r"[^\w]+", "_", plain).strip("_") or "value"


def is_label(header: str) -> bool:
    """Whether a column numbers or dates its rows, or is a flag: its numbers are no values, whatever they are.

    >>> [is_label(header) for header in ("#", "Location ID", "PPNT_ID", "loggerId", "RECORD", "month", "Quality Code", "fluid", "NO")]
    [True, True, True, True, True, True, True, False, False]
    """
    known = key(header)
    return bool(_LABEL.fullmatch(header.strip())) or known in _LABELS or known in QUALIFIER or known in TIME or known in ("endtime", "starttime")


def is_qualifier_of(header: str, column: str) -> bool:
    """Whether a column holds the flags of another, by its name: ``00060_cd`` of ``00060``, ``Flow quality`` of ``Flow (m3/s)``.

    >>> is_qualifier_of("00060_cd", "00060"), is_qualifier_of("Flow quality", "Flow (m3/s)"), is_qualifier_of("quality", "Flow")
    (True, True, False)
    """
    known = key(header)
    return any(known == key(named) + end for named in (column, split_unit(column)[0]) if key(named) for end in _QUALIFIER_ENDS)


def zone_in(header: str) -> str | None:
    """The time zone that a column's header states beyond doubt; an abbreviation such as CET alone does not say whether summer time is meant.

    >>> zone_in("Date Time, GMT-04:00"), zone_in("Date-time CET-CEST (DD/MM/YYYY HH:mm)"), zone_in("datetimeUTC"), zone_in("time")
    ('-04:00', 'Europe/Brussels', 'UTC', None)
    """
    for pattern, zone in _PAIRS:
        if pattern.search(header):
            return zone
    named = _IANA.search(header)
    if named is not None:
        return named[1]
    found = _OFFSET_ZONE.search(header)
    if found is not None:
        return found[1] or "UTC"
    bare = _BARE_OFFSET.search(header)
    return bare[1] if bare else None


def zone_in_preamble(text: str) -> str | None:
    """The time zone that the lines above a header state in words (``Time zone: UTC+1``)."""
    for found in _PREAMBLE_ZONE.finditer(text):
        zone = zone_in(found["zone"]) or zone_in(f"UTC{found['zone'].strip()}")
        if zone is not None and (zone != "UTC" or re.search(r"\b(UTC|GMT)\b", found["zone"], re.IGNORECASE)):
            return zone
    return None
