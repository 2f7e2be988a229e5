"""The engine: turns of players, one jitted iteration, devices and processes, the loop."""
