"""The parsers of data services' own formats, in the order in which they are asked.

Add a service here with a module of its own. Formats of loggers and plain tables are registered in `recognise`.
"""

from water_pipelines.parsers.bom import BomReference, BomWeather
from water_pipelines.parsers.contract import Parser
from water_pipelines.parsers.dino import Dino
from water_pipelines.parsers.fews import FewsPi
from water_pipelines.parsers.sensorthings import Page
from water_pipelines.parsers.usgs import UsgsRdb, UsgsSites
from water_pipelines.parsers.waterml import WaterMl
from water_pipelines.parsers.waterml2 import WaterMl2
from water_pipelines.parsers.waterml_json import WaterMlJson
from water_pipelines.parsers.wiski import KiwisJson, WiskiTable, Zrxp

SERVICES: tuple[Parser, ...] = (
    Page(),
    WaterMl(),
    WaterMl2(),
    FewsPi(),
    WaterMlJson(),
    KiwisJson(),
    BomWeather(),
    UsgsSites(),
    UsgsRdb(),
    WiskiTable(),
    Zrxp(),
    Dino(),
    BomReference(),
)
