"""To and from the Hugging Face Hub: whole folders, by huggingface_hub (extra `hub`)."""

from pathlib import Path
from typing import Any

from mem3d.folders import FILES
from mem3d.publishing import CARD, PICTURE

_NEEDED = 'got no huggingface_hub, want it installed: pip install "mem3d[hub]"'


def download(repo: str, revision: str | None = None) -> Path:
    """Fetch a published folder into the hub's cache, or find it there.

    Only the files that `publishing.load_folder` reads are fetched.

    Raises:
        ValueError: huggingface_hub is not installed, or the repository cannot be had.
    """
    hub = _hub(repo)
    try:
        folder = hub.snapshot_download(repo, revision=revision, allow_patterns=list(FILES))
    except _refusals() as error:
        raise ValueError(
            f"{repo}: got neither a folder nor a download ({_line(error)}), want a folder written "
            "by save_pretrained or owner/name on the hub"
        ) from error
    return Path(folder)


def check_repo(repo: str) -> None:
    """Raise ValueError unless `repo` reads owner/name and huggingface_hub is installed."""
    _hub(repo)
    from huggingface_hub import utils

    names: Any = utils  # which does not export it in the open
    try:
        names.validate_repo_id(repo)
    except _refusals() as error:
        raise ValueError(f"repo: got {repo!r} ({_line(error)}), want owner/name") from error
    if "/" not in repo:
        raise ValueError(f"repo: got {repo!r}, want owner/name")


def upload(folder: Path, repo: str, *, private: bool = False) -> str:
    """Send a published folder to a repository, made if it is not there.

    Returns:
        Address of the commit.

    Raises:
        ValueError: huggingface_hub is not installed, the name is none, or the hub refuses.
    """
    check_repo(repo)
    hub = _hub(repo)
    try:
        api = hub.HfApi(library_name="mem3d")
        name = api.create_repo(repo, private=private, exist_ok=True).repo_id
        sent = api.upload_folder(
            repo_id=name,
            folder_path=folder,
            allow_patterns=[*FILES, CARD, PICTURE],
            commit_message="A trained Mem3D and its memory",
        )
    except _refusals() as error:
        raise ValueError(
            f"{repo}: the hub refused ({_line(error)}), want a network, a token (hf auth login) "
            "and a name that is yours"
        ) from error
    return str(sent.commit_url)


def _hub(repo: str) -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise ValueError(f"{repo}: {_NEEDED}") from error
    return huggingface_hub


def _refusals() -> tuple[type[Exception], ...]:
    """What huggingface_hub raises: of the network and the server, of a name, of the disk."""
    from huggingface_hub import errors

    names: Any = errors  # HTTPError is httpx's, which it hands on
    return (names.HTTPError, names.HFValidationError, OSError)


def _line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
