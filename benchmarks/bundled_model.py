"""Retrain a model that comes with sritool, with the settings stored beside it.

    python -m benchmarks.bundled_model tiny-sri

replaces `best.pt` and `metrics.jsonl` in sritool/models/tiny-sri/ with those of a new run of its `config.toml`. The
checkpoint holds no optimiser state and no paths of the machine that trained it.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from sritool.runs.bundled import FOLDER, bundled_models
from sritool.runs.checkpoint import load_checkpoint, portable, save_checkpoint
from sritool.runs.folder import BEST, CONFIG, METRICS


def train_again(name: str) -> None:
    """Train a bundled model in a temporary folder and replace the stored one.

    Raises:
        subprocess.CalledProcessError: The training failed.
    """
    place = FOLDER / name
    with tempfile.TemporaryDirectory() as folder:
        words = ["train", "tiny", "--name", name, "--threads", "1", "--no-summary"]
        command = [sys.executable, "-P", "-m", "sritool", *words, "--config", str(place / CONFIG)]
        subprocess.run(command, cwd=folder, check=True)
        run = Path(folder) / "runs" / name
        shutil.copyfile(run / METRICS, place / METRICS)
        save_checkpoint(portable(load_checkpoint(run / BEST)), place / BEST)
    print(f"{place / BEST}: {(place / BEST).stat().st_size:,} bytes")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=bundled_models())
    train_again(parser.parse_args().name)
