"""Published weights from the hub, downloaded once and then taken from its cache."""

from collections.abc import Sequence
from pathlib import Path

from zsad.errors import WeightsError


def weights(repo: str, names: Sequence[str]) -> Path:
    """The first of the files that the repository has, or, without a connection, that its cache has.

    Raises:
        WeightsError: there is none; the message says what to download and where to put it.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    failure: Exception | None = None
    for name in names:
        try:
            return Path(hf_hub_download(repo, name))
        except LocalEntryNotFoundError as error:
            failure = error
        except EntryNotFoundError:
            continue
        except Exception as error:  # the hub's client lets errors of several HTTP libraries through
            failure = error
            break
    raise _missing(repo, names[0], failure or f"none of {', '.join(names)} in the repository")


def companions(repo: str, names: Sequence[str], beside: Path) -> None:
    """Fetch what lies beside the weights in the repository, of which few have all.

    Raises:
        WeightsError: the connection fails, and nothing of them is in the cache: the weights would run under settings
            that nobody has checked.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    unreached: Exception | None = None
    for name in names:
        try:
            hf_hub_download(repo, name)
        except LocalEntryNotFoundError as error:
            unreached = error
        except EntryNotFoundError:
            continue
        except Exception as error:  # as above
            unreached = error
    if unreached is not None and not any(beside.with_name(name).is_file() for name in names):
        raise _missing(repo, "the .json files", unreached)


def _missing(repo: str, what: str, failure: object) -> WeightsError:
    wanted = what if what.endswith("files") else f"{what} and the .json files"
    return WeightsError(
        f"the weights of {repo} must be on this machine, downloadable or in the cache",
        failure,
        f"on a machine with a connection download {wanted} of huggingface.co/{repo}, "
        "bring them here in one folder, and say --weights FOLDER",
    )
