"""The sample world: a river and a water network of a year, with known faults, for the demo, for tests and for benchmarks.

`signals` is how the water behaves, `faults` what goes wrong with the sensors and the pipes, `files` how it is delivered, `world` puts them
together. Add a signal, a fault or a format to its own file; anything that judges or derives is no part of the sample.
"""

from water_pipelines.domain.sample.world import Injected, SampleFile, SampleSeries, SampleStation, World, make_world

__all__ = ["Injected", "SampleFile", "SampleSeries", "SampleStation", "World", "make_world"]
