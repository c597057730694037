"""Start the Cloud Storage emulator: gcp-storage-emulator with preconditions and safe writes.

    python warehouse/emulators/storage.py --port 9023 --data-dir DIR

An object lies at DIR/bucket/name, where the BigQuery emulator finds it as gs://bucket/name
(its --storage-root is this --data-dir). It is ready when `GET /` answers 200.

Stock ignores `ifGenerationMatch`, serves one connection at a time, writes its index in place, so that a kill in the
middle of it loses every object, and tells a resumable upload of which it has nothing that it has the first byte. What it
knows of its objects is in object_store.py.
"""

import argparse
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from functools import partial, wraps
from http import HTTPStatus
from http.server import ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from typing import Any

import gcp_storage_emulator.server as server
import gcp_storage_emulator.storage as storage
from gcp_storage_emulator.handlers import objects
from object_store import ObjectStore

REPAIRED_VERSION = "2026.7.19"

_one_at_a_time = threading.Lock()


def _write_whole(store: storage._FileStore, name: str, content: bytes) -> None:
    """Write a file so that it is either the old or the new one, whenever the process is killed."""
    path = store._disk_path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.unfinished")
    unfinished.write_bytes(content)
    os.replace(unfinished, path)


def _generation(request: server.Request, store: storage.Storage) -> str:
    """Generation of the object that a request is about to write or read; "0" if there is none."""
    query, params = request.query, request.params
    bucket = params.get("dest_bucket_name") or params["bucket_name"]
    name = params.get("dest_object_id") or params.get("object_id") or query.get("name", [None])[0]
    if name is None and "upload_id" in query:
        name = store.resumable.get(query["upload_id"][0], {}).get("name")
    if name is None and isinstance(request.data, dict):
        name = request.data.get("meta", request.data).get("name")
    return store.objects.get(bucket, {}).get(name, {}).get("generation", "0")


def _resume_incomplete(response: server.Response, store: storage.Storage, upload_id: str, fallback_end: int = 0) -> None:
    """Which bytes of a resumable upload are there: no range when none are."""
    response.status = objects.GoogleHTTPStatus.RESUME_INCOMPLETE
    received = store.get_resumable_byte_count(upload_id)
    if received > 0:
        response["Range"] = f"bytes=0-{received - 1}"


class _Server(ThreadingHTTPServer):
    request_queue_size = 128  # connections that wait to be taken; stock resets the sixth


def _guarded(handle: Callable[..., None]) -> Callable[..., None]:
    """The handler, one request at a time, refusing with 412 when `ifGenerationMatch` names another generation."""

    @wraps(handle)
    def guarded(request: server.Request, response: server.Response, store: storage.Storage, *rest: Any) -> None:
        _ = request.data  # read the body before taking the lock: clients can be slow
        with _one_at_a_time:
            expected = request.query.get("ifGenerationMatch")
            if expected and expected[0] != _generation(request, store):
                message = "At least one of the pre-conditions you specified did not hold."
                response.status = HTTPStatus.PRECONDITION_FAILED
                reason = {"domain": "global", "reason": "conditionNotMet", "message": message}
                response.json({"error": {"code": 412, "message": message, "errors": [reason]}})
                return
            handle(request, response, store, *rest)

    return guarded


def _repair() -> None:
    """Put the repairs in place. Exits when the installed emulator is another version."""
    installed = version("gcp-storage-emulator")
    if installed != REPAIRED_VERSION:
        sys.exit(
            f"gcp-storage-emulator {installed} is installed, but the repairs fit {REPAIRED_VERSION} only: "
            "install warehouse/requirements.lock."
        )
    storage.STORAGE_DIR = ""  # objects right under the data directory
    storage._FileStore.write_bytes = _write_whole
    for _, methods in server.HANDLERS:
        for method, handle in methods.items():
            methods[method] = _guarded(handle)
    objects.insert = _guarded(objects.insert)  # the router calls it by this name too
    objects._resumable_incomplete = _resume_incomplete


def main() -> None:
    """Read the command line and serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(
        prog="storage.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--port", type=int, required=True, help="port of the JSON API")
    parser.add_argument("--host", default="127.0.0.1", help="address to bind (default: %(default)s)")
    parser.add_argument("--data-dir", type=Path, required=True, help="where buckets and objects are kept")
    arguments = parser.parse_args()

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    _repair()
    store = ObjectStore(data_dir=str(arguments.data_dir.resolve()))
    address = (arguments.host, arguments.port)
    try:
        httpd = _Server(address, partial(server.RequestHandler, store))
    except OSError as error:
        sys.exit(f"{arguments.host}:{arguments.port} cannot be used ({error.strerror}): name another --port.")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: threading.Thread(target=httpd.shutdown).start())
    print(f"Cloud Storage emulator on http://{arguments.host}:{httpd.server_port}", file=sys.stderr)
    httpd.serve_forever()


if __name__ == "__main__":
    main()
