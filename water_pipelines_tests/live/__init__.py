"""Live sources: real servers of SensorThings, replays of recorded ones, and servers that fail in the ways that servers do."""
