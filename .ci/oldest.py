"""Print constraints with the oldest version that pyproject.toml allows of each direct dependency."""

import re
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8"))[
    "project"
]
for requirement in [*project["dependencies"], *project["optional-dependencies"]["test"]]:
    if found := re.match(r"([\w-]+)(?:\[[\w,]+\])?>=([\w.]+)", requirement):
        print("==".join(found.groups()))
