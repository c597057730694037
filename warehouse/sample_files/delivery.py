"""Puts a file where the pipeline looks for it: a folder or a Cloud Storage bucket. Equal bytes are left alone."""

import base64
import hashlib
import os
from pathlib import Path
from typing import Protocol

from google.api_core.exceptions import NotFound
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from google.cloud.storage.retry import DEFAULT_RETRY


class Target(Protocol):
    """Where files go. `put` and `remove` tell whether anything changed."""

    def put(self, name: str, content: bytes) -> bool: ...
    def remove(self, name: str) -> bool: ...


class Folder:
    """A folder on disk, made when missing."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, name: str, content: bytes) -> bool:
        path = self.root / name
        if path.exists() and path.read_bytes() == content:
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return True

    def remove(self, name: str) -> bool:
        path = self.root / name
        if not path.exists():
            return False
        path.unlink()
        return True


class Bucket:
    """A Cloud Storage bucket, made when missing; the emulator at DAYFILL_STORAGE_ENDPOINT when that is set."""

    def __init__(self, name: str, project: str) -> None:
        endpoint = os.environ.get("DAYFILL_STORAGE_ENDPOINT")
        if endpoint:
            os.environ["STORAGE_EMULATOR_HOST"] = endpoint
            client = storage.Client(project=project, credentials=AnonymousCredentials())
        else:
            client = storage.Client(project=project)
        self.bucket = client.lookup_bucket(name, retry=DEFAULT_RETRY.with_timeout(10)) or client.create_bucket(name, location="US")
        self.hashes: dict[str, str] = {blob.name: blob.md5_hash for blob in self.bucket.list_blobs()}

    def put(self, name: str, content: bytes) -> bool:
        md5 = base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
        if self.hashes.get(name) == md5:
            return False
        self.bucket.blob(name).upload_from_string(content, content_type="application/gzip")
        return True

    def remove(self, name: str) -> bool:
        try:
            self.bucket.delete_blob(name)
        except NotFound:
            return False
        return True
