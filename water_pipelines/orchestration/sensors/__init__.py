"""Sensors, one file a thing that is watched. A tick only looks and asks for one run; the run does the work."""
