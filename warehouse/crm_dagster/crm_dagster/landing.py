"""Reads a day's landing file from Cloud Storage."""

import gzip
import os
import zlib
from datetime import date

from google.api_core.exceptions import NotFound
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from .scrub import UnusableFile


class MissingFile(Exception):
    """The day's file isn't in the bucket; the message names it."""


def landing_uri(bucket: str, day: date) -> str:
    """Return where the file of `day` is expected."""
    return f"gs://{bucket}/conversions/{day.isoformat()}.csv.gz"


def read_landing_file(project_id: str, bucket: str, day: date) -> str:
    """Return the day's file as text. Raises MissingFile, or UnusableFile when it isn't whole gzip."""
    endpoint = os.environ.get("DAYFILL_STORAGE_ENDPOINT")
    if endpoint:
        os.environ["STORAGE_EMULATOR_HOST"] = endpoint
    client = storage.Client(project=project_id, credentials=AnonymousCredentials() if endpoint else None)
    uri = landing_uri(bucket, day)
    try:
        # Raw: an object marked as gzip-encoded would otherwise arrive unpacked, or not, depending on the server.
        content = client.bucket(bucket).blob(uri.removeprefix(f"gs://{bucket}/")).download_as_bytes(raw_download=True)
    except NotFound:
        raise MissingFile(f"The landing file {uri} is not there; deliver it and run the day again.") from None
    try:
        # Bytes that are no UTF-8 become U+FFFD, for which the scrub rejects their line.
        return gzip.decompress(content).decode("utf-8", errors="replace")
    except (OSError, EOFError, zlib.error):
        raise UnusableFile("it is not whole gzip") from None
