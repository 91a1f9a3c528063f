"""Commands that are killed and started again, and what must hold after each kill and at the end.

After every kill each file must be readable. At the end all files must be bit for bit those of an undisturbed process,
except for times, with no others left over. Training saves every second step, so it is saving most of the time.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from faults.harness import Broken
from faults.harness.killpoints import KILL_AT, STEPS, steps_in
from faults.harness.scene import SAVE_EVERY, Job, preprocess, train, write_texts
from faults.harness.zygote import Done, Zygote
from sritool.runs.checkpoint import load_checkpoint

KILLED = 137  # 128 + SIGKILL, as in a shell


class Laboratory:
    """Runs the program in a folder that has a corpus and a run."""

    def __init__(self, zygote: Zygote, folder: Path) -> None:
        self.zygote, self.folder = zygote, folder
        self.steps = folder / "steps"

    def do(self, command: tuple[object, ...], cwd: Path, **env: str) -> Done:
        """Run a command until it ends or is killed."""
        return self.zygote.run(command, cwd=cwd, env={STEPS: str(self.steps), **env})

    def must(self, command: tuple[object, ...], cwd: Path) -> Done:
        """Run a command undisturbed. Raises: Broken if it fails."""
        done = self.do(command, cwd)
        if done.code:
            raise Broken(f"sritool {' '.join(map(str, command))} ended with {done.code}: {done.err.strip()}")
        return done


@contextlib.contextmanager
def laboratory(zygote: Zygote) -> Iterator[Laboratory]:
    """A laboratory in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        lab = Laboratory(zygote, Path(name))
        base = lab.folder / "base"
        base.mkdir()
        write_texts(base)
        lab.must(preprocess(), base)
        lab.must(train("sri"), base)  # read by the commands other than training
        yield lab


class Once:
    """One command that is killed, and started again until it ends."""

    def __init__(self, lab: Laboratory, job: Job) -> None:
        self.lab, self.job = lab, job
        before = self.place()
        began = time.perf_counter()
        lab.must(job.command, before)
        self.seconds = time.perf_counter() - began
        self.expected = job.result(before)
        self.names = _names(before)
        shutil.rmtree(before)

    def place(self) -> Path:
        """Make a folder in the state before the command."""
        target = self.lab.folder / "place"
        shutil.copytree(self.lab.folder / "base", target)
        if self.job.name == "preprocess":
            shutil.rmtree(target / "data")
        if self.job.name.startswith("train"):
            shutil.rmtree(target / "runs", ignore_errors=True)
        self.lab.steps.unlink(missing_ok=True)
        return target

    def at_random(self, rng: random.Random, most: int) -> None:
        """Kill the command at random moments, at most this many times, and let it end."""
        place, kills, ended = self.place(), 0, False
        while kills < most and not ended:
            began = time.perf_counter()
            process = self.lab.zygote.start(self.command(kills), cwd=place, env={STEPS: str(self.lab.steps)})
            time.sleep(rng.uniform(0, self.seconds))
            with contextlib.suppress(ProcessLookupError):  # it has already ended
                process.send(signal.SIGKILL)
            done, done_in = process.wait(), time.perf_counter() - began
            if done.code == KILLED:
                kills += 1
                self.survive(place)
            else:
                self.ended_well(done)
                ended = True  # before its kill: it takes less time than expected
                self.seconds = self.seconds if kills else min(self.seconds, done_in)
        self.finish(place, kills, ended)

    def at_every_call(self, numbers: Iterator[int] | None = None) -> int:
        """Kill before one call after another, each time from the start; return the number of kills."""
        for kills, number in enumerate(numbers or itertools.count(1)):
            place = self.place()
            done = self.lab.do(self.command(0), place, **{KILL_AT: str(number)})
            if done.code != KILLED:
                self.ended_well(done)
                shutil.rmtree(place)
                return kills
            self.survive(place)
            self.finish(place, 1)
        return kills + 1

    def command(self, kills: int) -> tuple[object, ...]:
        return (*self.job.command, *(self.job.again if kills else ()))

    def ended_well(self, done: Done) -> None:
        if done.code:
            raise Broken(f"{self.job.name} ended with {done.code} after a kill: {done.err.strip()}")

    def survive(self, place: Path) -> None:
        """Check after a kill that every file is whole and that training lost only unsaved steps."""
        self.job.whole(place)
        if self.job.name.startswith("train"):
            last = place / self.job.folder / "last.pt"
            saved = load_checkpoint(last).progress.step if last.is_file() else 0
            lost = steps_in(self.lab.steps) - saved
            if lost > SAVE_EVERY:
                raise Broken(
                    f"{self.job.name}: {lost} steps lost by a kill, though it saves every {SAVE_EVERY}"
                )

    def finish(self, place: Path, kills: int, ended: bool = False) -> None:
        """Let the command end, and check that all is as without kills and no other files are left."""
        if not ended:
            self.ended_well(self.lab.do(self.command(kills), place))
        if self.job.result(place) != self.expected:
            raise Broken(f"{self.job.name} left something else after {kills} kills than without")
        if _names(place) != self.names:
            raise Broken(f"{self.job.name} left {sorted(_names(place) ^ self.names)} after {kills} kills")
        shutil.rmtree(place)


def _names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}
