"""What is done when a chunk has been uploaded and that was verified: its local files go."""

import json
import shutil
from pathlib import Path

from .chunk import Chunk
from .export import chunk_manifests
from .folders import only_one, write_whole
from .refusal import Refusal
from .settings import Settings


def clean(settings: Settings, chunk: Chunk, checkpoint_file: Path | None) -> dict[str, int]:
    """Remove the chunk's CSV and Parquet files unless they are to be kept, and note its last day for people; return what was removed.

    Raises Refusal for a chunk that was generated but never exported whole. Running it again changes nothing.
    """
    source, listing = chunk.folder(settings), chunk_manifests(settings, chunk)
    counts = {"csv_files": 0, "partitions": 0}
    with only_one(settings.artifact_root), only_one(settings.target_root):
        if source.exists() and not listing.is_file():
            raise Refusal(f"{chunk.key} has CSV files but was not exported; nothing was removed.")
        if not settings.keep_local:
            for manifest in json.loads(listing.read_text(encoding="utf-8"))["manifests"] if listing.is_file() else []:
                file = settings.target_root / manifest
                # A partition that another chunk has taken over since is not ours to remove.
                if file.is_file() and json.loads(file.read_text(encoding="utf-8"))["chunk"] == chunk.key:
                    shutil.rmtree(file.parent)
                    counts["partitions"] += 1
            if source.exists():
                counts["csv_files"] = len(list(source.glob("*.csv")))
                shutil.rmtree(source)
            listing.unlink(missing_ok=True)
        if checkpoint_file is not None:
            write_whole(checkpoint_file, f"{chunk.last}\n")
    return counts
