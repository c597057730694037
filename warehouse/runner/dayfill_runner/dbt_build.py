"""Builds a dbt project again and again in one process, with what dbt has parsed of it kept as long as it is right."""

import dataclasses
import json
import os
import pickle
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .dbt_shortcuts import OF_OWN_BUILDS, take
from .output import Emit
from .sources import contents, installed_packages, source_files
from .warm import Unsupported

# Which of them a project is told differs from run to run; everything else of the environment is the same for all runs of a process.
PER_RUN = ("DAYFILL_KEY", "DAYFILL_LABELS", "DBT_TARGET_PATH", "DBT_LOG_PATH", "DAYFILL_PROTECTION")
_MOST_KEPT = 8


class DbtBuilds:
    """Carries out `{"options": […], "output": […], "selection": […]}`, which are the arguments of `dbt build`: those that parsing
    depends on, those that say where files are written, and the rest."""

    # dbt writes its own JSON lines.
    stdout_is_ours = False

    def __init__(self) -> None:
        _require_plain_dbt()
        try:
            from dbt.cli.main import dbtRunner
        except ImportError as error:
            raise Unsupported(f"dbt cannot be imported by {sys.executable}: {error}") from error
        take(OF_OWN_BUILDS)
        self._runner = dbtRunner
        self._packages = installed_packages()
        # By what it was parsed from: values of the environment that its files read, and the manifest as bytes, because a
        # build changes the one that it is given.
        self._kept: dict[str, tuple[dict[str, str | None], bytes]] = {}
        # The manifest of the latest build once more, read while nobody waits for it.
        self._ready: tuple[bytes, Any] = (b"", None)
        self._latest = b""

    def outdated(self) -> str | None:
        """Return why this process can no longer do what a new one would; None while it can."""
        return None if installed_packages() == self._packages else "the packages of the environment have changed"

    def run(self, ask: dict[str, Any], _emit: Emit) -> int:
        """Build; returns the exit code that dbt would have."""
        manifest, code = self._parsed(ask)
        if manifest is None:
            return code
        # The place for whatever watches the statements of a build.
        return _exit_code(self._runner(manifest=manifest).invoke(["build", *ask["options"], *ask["output"], *ask["selection"]]))

    def load(self, ask: dict[str, Any], _emit: Emit) -> int:
        """Parse the project; returns the exit code that dbt would have."""
        return self._parsed(ask)[1]

    def prepare(self) -> None:
        """Read the manifest of the latest build, which the next one is likely to want."""
        if self._latest:
            self._ready = (self._latest, _manifest(self._latest))

    def cancel(self, _emit: Emit) -> None:
        """dbt has nothing to put in order."""

    def _parsed(self, ask: dict[str, Any]) -> tuple[Any, int]:
        """Return the manifest, parsed now unless a kept one is right, and dbt's exit code; no manifest for a project that does not parse."""
        options = ask["options"]
        parsed_from = json.dumps([options, _project_state(options)], sort_keys=True)
        manifest = self._right(parsed_from)
        if manifest is None:
            outcome = self._runner().invoke(["parse", *options, *ask["output"], "--no-write-json"])
            if not outcome.success:
                return None, _exit_code(outcome)
            manifest = outcome.result
            self._keep(parsed_from, manifest)
        return manifest, 0

    def _right(self, parsed_from: str) -> Any:
        environment, manifest = self._kept.get(parsed_from, ({}, b""))
        if not manifest or any(os.environ.get(name) != value for name, value in environment.items()):
            return None
        self._latest = manifest
        (stored, ready), self._ready = self._ready, (b"", None)
        return ready if stored is manifest else _manifest(manifest)

    def _keep(self, parsed_from: str, manifest: Any) -> None:
        self._kept.pop(parsed_from, None)
        while len(self._kept) >= _MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        environment = {name: os.environ.get(name) for name in manifest.env_vars}
        self._latest = _bytes(manifest)
        self._kept[parsed_from] = (environment, self._latest)


def _bytes(manifest: Any) -> bytes:
    # Field by field: the way in which a manifest wants to be pickled itself forgets one of them. What begins with "_" is looked up anew.
    state = {field.name: getattr(manifest, field.name) for field in dataclasses.fields(manifest) if not field.name.startswith("_")}
    return pickle.dumps((type(manifest), state), protocol=pickle.HIGHEST_PROTOCOL)


def _manifest(stored: bytes) -> Any:
    made, state = pickle.loads(stored)
    manifest = made(**state)
    manifest.build_parent_and_child_maps()
    return manifest


def _require_plain_dbt() -> None:
    """Raise Unsupported unless the environment's `dbt` is what this process would run: not a program that does more, or another Python's."""
    program = Path(sys.executable).with_name("dbt")
    try:
        text = program.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise Unsupported(f"{program} is not a Python script") from None
    own = {str(Path(sys.executable).parent), str(Path(sys.executable).parent.resolve())}
    if "from dbt.cli.main import cli" not in text or not any(folder in text for folder in own):
        raise Unsupported(f"{program} is not the script that comes with dbt")


def _project_state(options: list[str]) -> dict[str, Any]:
    """Return what parsing the project depends on besides the options: its files, and variables of a run where its settings name them."""
    project = Path(_value(options, "--project-dir") or ".").absolute()
    settings = project / "dbt_project.yml"
    profiles = [Path(folder) / "profiles.yml" for folder in _profile_folders(options)]
    files = {file for folder in [project, *_folders_elsewhere(settings)] for file in source_files(folder)}
    told = {name: os.environ.get(name) for name in PER_RUN} if _settings_read_a_run([settings, *profiles]) else {}
    return {"files": contents(sorted(files | set(profiles))), "run": told}


def _profile_folders(options: list[str]) -> Iterable[str]:
    given = _value(options, "--profiles-dir") or os.environ.get("DBT_PROFILES_DIR")
    return [given] if given else [os.getcwd(), os.path.expanduser("~/.dbt")]


def _folders_elsewhere(settings: Path) -> list[Path]:
    """Return the folders outside the project that its settings name, such as `model-paths: [../models]`."""
    named = [folder for key, value in _yaml(settings).items() if str(key).endswith("-paths") and isinstance(value, list) for folder in value]
    folders = [(settings.parent / str(folder)).resolve() for folder in named]
    return [folder for folder in folders if not folder.is_relative_to(settings.parent.resolve())]


def _settings_read_a_run(files: list[Path]) -> bool:
    """Whether settings are made of what differs between runs. The query comment is: dbt renders it in each of them."""
    texts = [json.dumps({key: value for key, value in _yaml(file).items() if key != "query-comment"}, default=str) for file in files]
    return any(name in text for text in texts for name in PER_RUN)


def _yaml(file: Path) -> dict[Any, Any]:
    import yaml

    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return {}  # dbt says what is wrong with it
    return content if isinstance(content, dict) else {}


def _value(options: list[str], name: str) -> str | None:
    return options[options.index(name) + 1] if name in options else None


def _exit_code(outcome: Any) -> int:
    if outcome.success:
        return 0
    if outcome.exception is None:
        return 1
    # Any other exception has been told by dbt as an event.
    if type(outcome.exception).__name__ == "DbtUsageException":
        print(f"Error: {outcome.exception}", file=sys.stderr)
    return 2
