"""The engine: players, one jitted iteration, devices and processes, the loop."""
