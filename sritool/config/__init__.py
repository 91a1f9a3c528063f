"""Settings of a run: dataclasses, schedules, presets, and conversion from and to TOML."""
