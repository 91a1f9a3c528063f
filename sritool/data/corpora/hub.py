"""Fetching the named corpora from the Hugging Face hub.

Every set is read from the hub's own Parquet conversion (``refs/convert/parquet``), by ``hf://`` addresses, because
``datasets`` 4 and later does not run loading scripts, which ``ptb`` has on its main branch, and because a local
folder of the same name cannot be mistaken for an address.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import logging
import os
import socket
import ssl
import sys
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sritool.errors import FULL, SritoolError

REVISION = "refs/convert/parquet"
_PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy")
_LATER = (429, 500, 502, 503, 504)  # temporary statuses
_NO_DATA = ("JSONDecodeError", "FileMetadataError")  # a web page instead of data


@dataclass(frozen=True)
class HubSet:
    """A data set on the hub: its id, its configuration, and its name for each of our splits."""

    hub_id: str
    config: str
    splits: Mapping[str, str]

    def data_files(self) -> dict[str, str]:
        """Return the addresses of each split's Parquet files."""
        base = f"hf://datasets/{self.hub_id}@{REVISION}/{self.config}"
        return {ours: f"{base}/{theirs}/*.parquet" for ours, theirs in self.splits.items()}

    def cache_folder(self) -> Path:
        """Return the folder where the hub's client caches the data set."""
        from huggingface_hub import constants

        return Path(constants.HF_HUB_CACHE) / f"datasets--{self.hub_id.replace('/', '--')}"


THREE = {"train": "train", "valid": "validation", "test": "test"}
TWO = {"train": "train", "test": "test"}

HUB_SETS = {
    "ptb": HubSet("ptb-text-only/ptb_text_only", "penn_treebank", THREE),
    "snli": HubSet("stanfordnlp/snli", "plain_text", THREE),
    "yahoo": HubSet("community-datasets/yahoo_answers_topics", "yahoo_answers_topics", TWO),
    "yelp": HubSet("fancyzhx/yelp_polarity", "plain_text", TWO),
}


def fetch(name: str) -> Mapping[str, Any]:
    """Fetch the splits of a named corpus as ``datasets.Dataset``, by our names for them.

    If the hub does not answer, gives up after some tries of HF_HUB_DOWNLOAD_TIMEOUT seconds each (10).

    Raises:
        SritoolError: The corpus cannot be fetched; the message says how to give local files instead.
    """
    import datasets

    source = HUB_SETS[name]
    advice = f"if you have the files, run: sritool preprocess {name} --from DIR"
    with explained(f"fetch {name}", advice, source):
        found: Mapping[str, Any] = datasets.load_dataset("parquet", data_files=source.data_files())
    return found


@contextlib.contextmanager
def explained(task: str, advice: str, source: HubSet | None = None) -> Iterator[None]:
    """Turn the client's errors into one line with the task, the reason and the advice, and silence its log.

    `task` is, for example, "read OWNER/NAME"; `source` is our corpus that is being fetched, if any.
    """
    try:
        with quietly(bars=True):
            yield
    except SritoolError:
        raise
    except Exception as error:  # the client has many errors, which change between versions
        raise SritoolError(
            f"cannot {task} from the Hugging Face hub ({reason_of(error, source)}); {advice}"
        ) from error


@contextlib.contextmanager
def quietly(bars: bool) -> Iterator[None]:
    """Silence the client's log and warnings while entered, and limit the time of its requests.

    Args:
        bars: Whether to show its progress bars, which appear only on a terminal.
    """
    import huggingface_hub.utils

    bound_requests()
    with contextlib.ExitStack() as undo:
        for logger in (logging.getLogger(name) for name in ("huggingface_hub", "datasets")):
            undo.callback(logger.setLevel, logger.level)
            logger.setLevel(logging.CRITICAL + 1)
        if not (bars and os.isatty(2)):
            for client in filter(None, (huggingface_hub.utils, sys.modules.get("datasets.utils"))):
                if not client.are_progress_bars_disabled():
                    undo.callback(client.enable_progress_bars)
                    client.disable_progress_bars()
        undo.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        yield


@functools.cache
def bound_requests() -> None:
    """Give all the client's requests for data a timeout, once per process; it lists files, say, without one."""
    import huggingface_hub
    from huggingface_hub import constants

    plain = huggingface_hub.get_session()

    def bounded(request: Any) -> None:
        if request.method not in ("GET", "HEAD"):  # the hub may take long to process uploads
            return
        limit = constants.HF_HUB_DOWNLOAD_TIMEOUT
        given = request.extensions.get("timeout") or {}
        request.extensions["timeout"] = {
            what: limit if given.get(what) is None else min(given[what], limit)
            for what in ("connect", "read", "write", "pool")
        }

    def client() -> Any:
        hooks = {**plain.event_hooks, "request": [*plain.event_hooks["request"], bounded]}
        return type(plain)(
            event_hooks=hooks, follow_redirects=True, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT
        )

    huggingface_hub.set_client_factory(client)


def reason_of(error: BaseException, source: HubSet | None = None) -> str:
    """Return what went wrong in plain words; the client's messages name functions, or quote part of a web page."""
    chain = list(_chain(error))
    kinds = {kind.__name__ for link in chain for kind in type(link).__mro__}
    if any("OfflineMode" in kind for kind in kinds):
        return "HF_HUB_OFFLINE is set, which forbids it"
    for status in (getattr(getattr(link, "response", None), "status_code", None) for link in chain):
        if isinstance(status, int) and status >= 400:
            return f"it answers with HTTP status {status}{'; try again later' if status in _LATER else ''}"
    if any("Timeout" in kind for kind in kinds):
        return f"no answer in time{_proxy()}"
    if any(isinstance(link, socket.gaierror) for link in chain):
        return f"its address cannot be resolved: no network?{_proxy()}"
    if any(isinstance(link, ssl.SSLError) for link in chain):
        return f"its certificate is not accepted: a login page of this network?{_proxy()}"
    for link in chain:
        if isinstance(link, OSError) and (link.filename or link.errno in (*FULL, errno.EROFS)):
            return f"{link.strerror}: {link.filename or 'where HF_HOME is'}"
    if kinds.intersection(_NO_DATA):
        return "the response is not the data: a login page of this network?"
    # The client never checks a cached file again.
    if source is not None and "ArrowInvalid" in kinds:
        return f"the response is not Parquet; once the network works, remove {source.cache_folder()} and try again"
    if any("not cached" in str(link) for link in chain):  # the client's message for anything it does not find
        return f"no such data set, or no network{_proxy()}"
    network = [link for link in chain if isinstance(link, OSError) and link.strerror]
    if network:
        return f"{network[-1].strerror}{_proxy()}"
    text = " ".join(str(chain[-1]).split()) or type(error).__name__
    return text if len(text) <= 120 else text[:119].rsplit(" ", 1)[0] + " …"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and its causes, back to the first one."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _proxy() -> str:
    """Return which environment variable sets a proxy, if any, for the end of a message."""
    variable = next((name for name in _PROXIES if os.environ.get(name)), None)
    return f", by way of {variable}" if variable else ""
