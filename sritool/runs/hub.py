"""Models on the Hugging Face hub: fetches `hf://user/name`, and pushes a folder.

Only huggingface_hub reads the token, if there is one: from HF_TOKEN, or from where `hf auth login` stored it.
Fetched files are read like any other file: see `untrusted_file`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from sritool._version import __version__
from sritool.data.corpora.hub import quietly, reason_of
from sritool.errors import CheckpointError, SritoolError, UsageError

SCHEME = "hf://"
HUB_FILE = "best.pt"
LOG_IN = "log in with: hf auth login"
_PART = r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}"
_NAME = re.compile(rf"{_PART}/{_PART}")
_ADDRESS = re.compile(rf"hf:/{{1,2}}({_PART}/{_PART})(?:@([A-Za-z0-9._/-]{{1,200}}))?")
_SNAPSHOT = re.compile(r"models--(.+?)--(.+)")


class HubModel(NamedTuple):
    """A model on the hub."""

    name: str  # user/name
    revision: str | None = None  # a branch, tag or commit; None: its main branch

    def __str__(self) -> str:
        return f"{SCHEME}{self.name}" + (f"@{self.revision}" if self.revision else "")


def hub_model(given: Path) -> HubModel | None:
    """Return the model that `hf://user/name` or `hf://user/name@revision` names; None for the name of a file.

    The address is given as a path, so it has lost one of its slashes.

    Raises:
        UsageError: It begins with `hf:/` but has neither form.
    """
    text = given.as_posix()
    if not re.match("hf:/", text):
        return None
    found = _ADDRESS.fullmatch(text)
    if found is None:
        named = text.replace("hf:/", "hf://", 1)
        raise UsageError(
            f"{named} names no model on the hub; write hf://user/name or hf://user/name@revision"
        )
    return HubModel(found[1], found[2])


def fetch_checkpoint(model: HubModel) -> Path:
    """Return the path of a model's checkpoint in the client's cache; fetch it if this version is not there.

    Raises:
        CheckpointError: There is no such model, or the user may not read it.
        SritoolError: The hub cannot be reached.
    """
    from huggingface_hub import errors, hf_hub_download

    try:
        with quietly(bars=False):
            file = hf_hub_download(
                model.name,
                HUB_FILE,
                revision=model.revision,
                library_name="sritool",
                library_version=__version__,
            )
    except Exception as error:  # the client has many errors, which change with its version
        reasons = {
            errors.GatedRepoError: f"{model} asks for consent first; give it on the model's page, and {LOG_IN}",
            errors.RepositoryNotFoundError: (
                f"there is no model {model}, or it is private; check the spelling of its name, or {LOG_IN}"
            ),
            errors.RevisionNotFoundError: f"{model} is not there: the model has no such revision; give another",
            errors.RemoteEntryNotFoundError: (
                f"{model} has no {HUB_FILE}; give a model that `sritool push` sent there"
            ),
        }
        for kind, reason in reasons.items():
            if isinstance(error, kind):
                raise CheckpointError(reason) from error
        raise _unreachable(f"fetch {model} from", error) from error
    return Path(file)


def name_in_cache(checkpoint: Path) -> str | None:
    """Return `user/name` of a checkpoint in the client's cache, or None for any other file."""
    folders = checkpoint.parts[-4:-1]
    found = _SNAPSHOT.fullmatch(folders[0]) if len(folders) == 3 and folders[1] == "snapshots" else None
    return f"{found[1]}/{found[2]}" if found else None


def check_hub_name(name: str) -> None:
    """Check the name of a model to push to.

    Raises:
        UsageError: The name does not have the form user/name.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} names no model on the hub; write user/name")


def push_folder(folder: Path, name: str, private: bool) -> str:
    """Push all files of a folder to the model user/name on the hub, as one commit.

    The model is created if it does not exist; `private` hides a newly created one from others.

    Returns:
        The URL of the model.

    Raises:
        SritoolError: The hub cannot be reached, or does not allow it.
    """
    from huggingface_hub import HfApi, errors

    api = HfApi(library_name="sritool", library_version=__version__)
    try:
        with quietly(bars=False):
            address = api.create_repo(name, private=private or None, exist_ok=True)
            api.upload_folder(repo_id=name, folder_path=folder, commit_message="Push a model of sritool")
    except errors.LocalTokenNotFoundError as error:
        raise SritoolError(f"cannot push to {name} without a token; {LOG_IN}") from error
    except Exception as error:
        if isinstance(error, errors.HfHubHTTPError) and error.response.status_code in (401, 403):
            raise SritoolError(
                f"the hub does not allow a push to {name}; {LOG_IN}, with a token that may write there"
            ) from error
        raise _unreachable(f"push to {name} on", error) from error
    return str(address)


def _unreachable(doing: str, error: Exception) -> SritoolError:
    return SritoolError(
        f"cannot {doing} the Hugging Face hub ({reason_of(error)}); try again when it can be reached"
    )
