"""Why this module exists: pushing a model to a hub is somebody's wish, never a default, and its token is a secret.

The token comes from ``HF_TOKEN`` or from a file, never from an argument that other users of a machine could read.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from protocol.errors import ConfigError, NetworkError

TOKEN_VARIABLE = "HF_TOKEN"
ENDPOINT_VARIABLE = "HF_ENDPOINT"
_TOKEN_CAP = 4096


def read_token(file: Path | None, environment: Mapping[str, str] = os.environ) -> str:
    """The token in ``file``, else in the environment. Raises ``ConfigError`` without one."""
    text = environment.get(TOKEN_VARIABLE, "")
    if file is not None:
        try:
            text = file.read_bytes()[:_TOKEN_CAP].decode().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"The token file {file} cannot be read.", "Nothing was pushed.", "Check its path and mode."
            ) from error
    if not text or any(not 32 < ord(letter) < 127 for letter in text):
        raise ConfigError(
            "There is no token for the hub.",
            "Nothing was written or pushed.",
            f"Set {TOKEN_VARIABLE}, or name a file that holds the token with --token-file.",
        )
    return text


def push(folder: Path, repo: str, token: str, *, private: bool, endpoint: str | None = None) -> str:
    """Upload ``folder`` as the model ``repo`` (made if missing); returns its address.

    Raises ``ConfigError`` for a name or token that the hub does not take, ``NetworkError`` where it does not answer.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, HTTPError, OfflineModeIsEnabled

    done = f"Nothing was pushed; the model is in {folder}."
    api = HfApi(endpoint=endpoint or os.environ.get(ENDPOINT_VARIABLE) or None, token=token)
    try:
        api.create_repo(repo, private=private, exist_ok=True)
        api.upload_folder(repo_id=repo, folder_path=folder, commit_message="A model trained in a swarm")
    except HFValidationError as error:
        raise ConfigError(f"{repo[:120]!r} is no name of a repository.", done, "Use OWNER/NAME.") from error
    except OfflineModeIsEnabled as error:
        raise NetworkError("The hub's library is set to be offline.", done, "Unset HF_HUB_OFFLINE.") from error
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        if status in (401, 403):
            raise ConfigError(
                f"The hub refused the token for {repo} ({status}).",
                done,
                "Use a token that may write to this repository.",
            ) from error
        if 400 <= status < 500:
            raise ConfigError(f"The hub refused {repo} ({status}).", done, "Check owner, name and quota.") from error
        raise NetworkError(f"The hub failed ({status or 'no answer'}).", done, "Try again later.") from error
    except (HTTPError, OSError) as error:
        raise NetworkError(f"The hub cannot be reached: {type(error).__name__}.", done, "Try again later.") from error
    return f"{api.endpoint}/{repo}"
