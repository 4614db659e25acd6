"""Published weights from the hub, downloaded once and then taken from its cache."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from zsad.errors import WeightsError

SECONDS = 10.0
"""How long the hub may take to answer; it is asked once, and where it does not answer the cache has to do."""


@dataclass(frozen=True)
class Repository:
    """A repository of the hub.

    Attributes:
        name: ``"owner/name"``.
        files: what it holds; ``None`` where it could not be asked, which ``failure`` says in a line.
    """

    name: str
    files: frozenset[str] | None
    failure: str = ""

    def fetch(self, file: str) -> Path | None:
        """The file, downloaded where it is not in the cache yet; ``None`` where there is none.

        Raises:
            WeightsError: the download fails.
        """
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import LocalEntryNotFoundError

        if self.files is not None and file not in self.files:
            return None
        try:
            return Path(hf_hub_download(self.name, file, etag_timeout=SECONDS, local_files_only=self.files is None))
        except LocalEntryNotFoundError as error:
            if self.files is None:
                return None
            raise missing(self, file, _line(error)) from error
        except Exception as error:  # the hub's client lets errors of several HTTP libraries through
            raise missing(self, file, _line(error)) from error

    def first(self, names: Sequence[str]) -> Path:
        """The first of the files that the repository has, or, without a connection, that its cache has.

        Raises:
            WeightsError: there is none; the message says what to download and where to put it.
        """
        for name in names:
            if found := self.fetch(name):
                return found
        raise missing(self, names[0], self.failure or f"none of {', '.join(names)} in the repository")


def ask(name: str) -> Repository:
    """What a repository holds, by one request that is not repeated."""
    from huggingface_hub import HfApi

    try:
        listed = HfApi().model_info(name, timeout=SECONDS).siblings or []
    except Exception as error:  # as above
        return Repository(name, None, _line(error))
    return Repository(name, frozenset(one.rfilename for one in listed))


def missing(repository: Repository, what: str, failure: str) -> WeightsError:
    """The error for what is neither in the repository nor in the cache, with the way around."""
    repo, wanted = repository.name, what if what.endswith("files") else f"{what} and the .json files"
    return WeightsError(
        f"the weights of {repo} must be on this machine, downloadable or in the cache",
        failure,
        f"check the name; on a machine with a connection download {wanted} of huggingface.co/{repo}, "
        "bring them here in one folder, and say --weights FOLDER",
    )


def _line(error: Exception) -> str:
    """What the client says in many lines, in one."""
    from huggingface_hub.errors import GatedRepoError, OfflineModeIsEnabled, RepositoryNotFoundError

    if isinstance(error, OfflineModeIsEnabled):
        return "no connection, for HF_HUB_OFFLINE is set"
    if isinstance(error, GatedRepoError):
        return "a repository whose terms have to be accepted on its page, by the account of HF_TOKEN"
    if isinstance(error, RepositoryNotFoundError):
        return "no such repository, or a private one"
    said = str(error).strip()
    return f"{type(error).__name__}: {said.splitlines()[0][:200]}" if said else type(error).__name__
