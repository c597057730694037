"""The storage emulator's record of its objects: a small file each, and never other than what lies on disk.

Stock writes one index of all objects at each change, which takes longer with every object, and goes on telling size and
checksums of an object whose file was changed or removed since. Cloud Storage's checksums are those of the bytes it has.
"""

import base64
import hashlib
import json
import time
from collections.abc import Iterator
from typing import Any

import gcp_storage_emulator.storage as storage
import google_crc32c
from gcp_storage_emulator.exceptions import NotFound

RECORDS = ".objects"


class ObjectStore(storage.Storage):
    """Objects in `<data dir>/<bucket>/<name>`, their records in `<data dir>/.objects/<bucket>/<name>.json`."""

    def __init__(self, data_dir: str) -> None:
        self._on_disk: dict[tuple[str, str], list[int]] = {}  # time and size of each file when it was last looked at
        super().__init__(data_dir=data_dir)

    def _read_config_from_file(self) -> None:
        super()._read_config_from_file()
        for bucket, names in self.objects.items():  # an index that stock wrote
            for name in list(names):
                self._as_it_is(bucket, name)
        root = self._store._disk_path(RECORDS)
        for file in root.rglob("*.json") if root.is_dir() else ():
            record = json.loads(file.read_bytes())
            bucket, name = record["object"]["bucket"], record["object"]["name"]
            if bucket in self.buckets:
                self.objects.setdefault(bucket, {})[name] = record["object"]
                self._on_disk[bucket, name] = record["on_disk"]

    def _write_config_to_file(self) -> None:
        objects, self.objects = self.objects, {}
        try:
            super()._write_config_to_file()
        finally:
            self.objects = objects

    def create_file(self, bucket_name: str, file_name: str, content: bytes, file_obj: Any, file_id: Any = None) -> None:
        if bucket_name not in self.buckets:
            raise NotFound
        self._store.write_bytes(self._object_path(bucket_name, file_name), content)
        self.objects.setdefault(bucket_name, {})[file_name] = file_obj
        self._record(bucket_name, file_name, file_obj)
        if file_id:
            self.delete_resumable_file_obj(file_id)
            self._delete_file(storage.RESUMABLE_DIR, self.safe_id(file_id))
            self._write_config_to_file()

    def patch_object(self, bucket_name: str, file_name: str, file_obj: Any) -> None:
        if file_name in self.objects.get(bucket_name, {}):
            self.objects[bucket_name][file_name] = file_obj
            self._record(bucket_name, file_name, file_obj)

    def delete_file(self, bucket_name: str, file_name: str) -> None:
        """Deleted is gone: there is no week of keeping a copy."""
        self.get_file_obj(bucket_name, file_name)
        self._forget(bucket_name, file_name)
        self._delete_file(bucket_name, file_name)

    def get_file_obj(self, bucket_name: str, file_name: str) -> Any:
        file_obj = self._as_it_is(bucket_name, file_name)
        if file_obj is None:
            raise NotFound(f"Object with name '{file_name}' does not exist in bucket '{bucket_name}'")
        return file_obj

    def _list_live_candidates(self, bucket_name: str, prefix: str | None = None) -> list[tuple[str, Any]]:
        return list(self._live(bucket_name, prefix or ""))

    def _live(self, bucket_name: str, prefix: str) -> Iterator[tuple[str, Any]]:
        for name in [name for name in self.objects.get(bucket_name, {}) if name.startswith(prefix)]:
            file_obj = self._as_it_is(bucket_name, name)
            if file_obj is not None:
                yield name, file_obj

    def _as_it_is(self, bucket: str, name: str) -> Any:
        """The object's resource; of a file that was changed behind the emulator's back a new generation. None without one."""
        file_obj = self.objects.get(bucket, {}).get(name)
        if file_obj is None:
            return None
        path = self._store._disk_path(self._object_path(bucket, name))
        try:
            found = path.stat()
            if self._on_disk.get((bucket, name)) == [found.st_mtime_ns, found.st_size]:
                return file_obj
            content = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            self._forget(bucket, name)
            return None
        checksums = {
            "md5Hash": base64.b64encode(hashlib.md5(content).digest()).decode(),
            "crc32c": base64.b64encode(google_crc32c.Checksum(content).digest()).decode(),
        }
        if any(file_obj[key] != value for key, value in checksums.items()):
            file_obj = {**file_obj, **checksums, "size": str(len(content)), "generation": str(time.time_ns())}
            self.objects[bucket][name] = file_obj
        self._record(bucket, name, file_obj)
        return file_obj

    def _record(self, bucket: str, name: str, file_obj: Any) -> None:
        found = self._store._disk_path(self._object_path(bucket, name)).stat()
        self._on_disk[bucket, name] = [found.st_mtime_ns, found.st_size]
        record = {"object": file_obj, "on_disk": self._on_disk[bucket, name]}
        self._store.write_bytes(self._record_path(bucket, name), json.dumps(record).encode())

    def _forget(self, bucket: str, name: str) -> None:
        del self.objects[bucket][name]
        self._on_disk.pop((bucket, name), None)
        try:
            self._store.remove_file(self._record_path(bucket, name))
        except FileNotFoundError:
            pass  # from before there were records

    def _record_path(self, bucket: str, name: str) -> str:
        return f"{RECORDS}/{bucket}/{name}.json"
