"""The main job, live in a terminal: `make demo`."""
