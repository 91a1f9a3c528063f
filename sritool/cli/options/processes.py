"""How many processes share the work of a command, and on which devices."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from sritool.cli.options.models import DeviceOptions, device_option
from sritool.cli.options.values import duration
from sritool.errors import UsageError

if TYPE_CHECKING:
    import torch

    from sritool.processes import Place, Processes


@dataclass(frozen=True)
class ProcessOptions(DeviceOptions):
    """Where the work is done, and by how many processes.

    Attributes:
        gpu: CUDA device by its number, like 0, or several, like 0,1,2: a process on each. Wins over --device.
        processes: Processes on this machine that share each batch; on CPUs, or on the first GPUs. [default: 1, or one
            for each --gpu]
        peer_timeout: Of several processes, end where one does not answer for so long: 90s, 10m, 1h. [default: 10m]
    """

    gpu: Annotated[str | None, device_option(metavar="N[,N…]", envvar="SRITOOL_GPU")] = None
    processes: Annotated[int | None, device_option(min=1, envvar="SRITOOL_PROCESSES")] = None
    peer_timeout: Annotated[
        float, device_option(parser=duration, metavar="TIME", envvar="SRITOOL_PEER_TIMEOUT")
    ] = 600.0

    def devices(self, place: Place | None) -> list[torch.device]:
        """Return the device of each process on this machine; `place` is which one this is of a job that has begun.

        Raises:
            UsageError: There are no such devices, or another number of processes than --processes says.
        """
        from sritool.model.device import devices_of_processes

        if place is not None and self.processes not in (None, place.local_size):
            raise UsageError(
                f"--processes {self.processes}, and torchrun started {place.local_size} on this machine; "
                "leave --processes out"
            )
        return devices_of_processes(self.device, self.gpu, place.local_size if place else self.processes)

    def join(self, place: Place | None, device: torch.device) -> Processes:
        """Meet the other processes of a job, if there are any."""
        from sritool.process_group import join

        return join(place, device, self.peer_timeout)

    def enough_threads(self, hidden: int, processes: int) -> int | None:
        """Return how many threads this process takes, one of several on this machine, by the generator's width.

        None: as PyTorch chooses.
        """
        from sritool.model.device import enough_threads, threads_of_process

        return self.threads or enough_threads(hidden) or threads_of_process(processes)

    @contextlib.contextmanager
    def measuring(self) -> Iterator[str]:
        """Yield the device's full name; within, the processes of a job share every measurement.

        Where several processes are asked for and the job has not begun, this one begins it, and ends with it. All but
        the first print and write nothing.

        Raises:
            UsageError: There are no such devices.
            typer.Exit: The job has ended.
        """
        from sritool.cli.job import ending_together, launch
        from sritool.cli.streams import silent
        from sritool.model.device import set_threads, threads_of_process
        from sritool.processes import measuring_together, place_in_job

        place = place_in_job()
        devices = self.devices(place)
        if place is None and len(devices) > 1:
            raise typer.Exit(launch(len(devices), sys.argv[1:]))
        where = devices[place.local_rank if place else 0]
        set_threads(self.threads or threads_of_process(len(devices)))
        processes = self.join(place, where)
        with (
            ending_together(processes),
            measuring_together(processes),
            contextlib.nullcontext() if processes.is_first else silent(),
        ):
            yield str(where)
