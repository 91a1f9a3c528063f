"""Settings of a run: dataclasses, schedules, presets, and the way from and to TOML."""
