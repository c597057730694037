"""The YAML configuration: its schema, its errors, and the fingerprint of what the rows follow from."""

import hashlib
import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from . import GENERATOR_VERSION
from .refusal import Refusal

DEFAULT_CONFIG = "gen_config/ecom_sales_gen_quick.yaml"

Messiness = Literal["none", "light", "medium_mess", "heavy_mess"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Lookups(_Part):
    """Who buys and what is sold: made once, used by all chunks."""

    num_customers: int = Field(300_000, ge=1, le=10_000_000, description="customers in all; they sign up evenly over the range")
    num_products: int = Field(3_000, ge=5, le=1_000_000, description="products in all, evenly over the five categories")
    signup_start: date = Field(date(2019, 1, 1), description="day on which the first customer signs up")
    signup_end: date = Field(date(2026, 1, 5), description="day on which the last customer signs up")

    @model_validator(mode="after")
    def _in_order(self) -> "Lookups":
        if self.signup_end < self.signup_start:
            raise ValueError(f"signup_end {self.signup_end} lies before signup_start {self.signup_start}")
        return self


class Volumes(_Part):
    """How much happens on a day."""

    carts_per_day: int = Field(107_000, ge=1, le=10_000_000, description="carts per day before `scale`; single days differ by up to 10 percent")
    max_items_per_cart: int = Field(6, ge=1, le=60, description="items per cart, 1 to so many")
    order_percent: int = Field(35, ge=0, le=100, description="percent of carts that become an order")
    return_percent: int = Field(8, ge=0, le=100, description="percent of orders of which something comes back")
    return_window: int = Field(30, ge=1, le=90, description="days after the order within which it may come back")


class Settings(_Part):
    """Everything that a configuration file may say. Units are in the descriptions and in README.md."""

    seed: str = Field("ecom", min_length=1, description="another seed gives other rows")
    start_date: date = Field(date(2020, 1, 1), description="first day of the first chunk")
    end_date: date = Field(date(2026, 1, 8), description="last day of the last chunk")
    messiness_level: Messiness = Field("medium_mess", description="how messy the CSV files are")
    scale: Decimal = Field(Decimal(1), gt=0, le=1000, description="factor on carts_per_day; 0.01 is a hundredth of the volume")
    lookups: Lookups = Lookups()
    volumes: Volumes = Volumes()
    artifact_root: Path = Field(Path("artifacts"), description="folder of the CSV files")
    target_root: Path = Field(Path("output/raw"), description="folder of the Parquet files before their upload")
    keep_local: bool = Field(False, description="whether `clean` leaves the chunk's CSV and Parquet files where they are")
    min_free_disk: int = Field(1_073_741_824, ge=0, description="bytes that a chunk must leave free on the disk")
    memory_limit: int = Field(2_147_483_648, ge=67_108_864, description="bytes of memory that DuckDB may use before it turns to the disk")

    @model_validator(mode="after")
    def _in_order(self) -> "Settings":
        if self.end_date < self.start_date:
            raise ValueError(f"end_date {self.end_date} lies before start_date {self.start_date}")
        if self.lookups.signup_start > self.start_date:
            raise ValueError(f"nobody has signed up by start_date {self.start_date}: lookups.signup_start is {self.lookups.signup_start}")
        return self

    def lookups_fingerprint(self) -> str:
        """Return what the lookups follow from, as 16 hex digits."""
        return fingerprint({"version": GENERATOR_VERSION, "seed": self.seed, "lookups": self.lookups.model_dump(mode="json")})

    def rows_fingerprint(self, lookups_sha256: dict[str, str]) -> str:
        """Return what a chunk's rows follow from, besides its days and its id state, as 16 hex digits.

        `lookups_sha256` are the checksums of the lookup files by table.
        """
        said = self.model_dump(mode="json", include={"seed", "messiness_level", "volumes"})
        return fingerprint({"version": GENERATOR_VERSION, **said, "scale": str(self.scale.normalize()), "lookups": lookups_sha256})


def fingerprint(value: Any) -> str:
    """Return the first 16 hex digits of the SHA-256 of a JSON value, whatever the order of its names."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def load_settings(path: str, overrides: dict[str, Any]) -> Settings:
    """Read a configuration file and put the overrides (dotted names) in.

    A relative path that does not lead anywhere from here is looked for among the files of this package.
    Raises Refusal naming the file, the setting and what was expected.
    """
    file = next((place for place in (Path(path), Path(__file__).parent / path) if place.is_file()), None)
    if file is None:
        raise Refusal(f"There is no configuration file {path}; --config names one, such as {DEFAULT_CONFIG}.")
    try:
        said = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise Refusal(f"{path} is no YAML file that can be read: {' '.join(str(error).split())}") from None
    if not isinstance(said, dict):
        raise Refusal(f"{path} holds no settings; expected lines such as messiness_level: medium_mess.")
    for name, value in overrides.items():
        _put(said, name, value)
    try:
        return Settings.model_validate(said)
    except ValidationError as error:
        raise Refusal("\n".join(_sentence(path, problem) for problem in error.errors(include_url=False))) from None


def _put(said: dict[str, Any], name: str, value: Any) -> None:
    *parts, last = name.split(".")
    for part in parts:
        inner = said.setdefault(part, {})
        if not isinstance(inner, dict):
            raise Refusal(f"{name} cannot be set: {part} holds no settings.")
        said = inner
    said[last] = value


def _sentence(path: str, problem: Any) -> str:
    name = ".".join(map(str, problem["loc"]))
    if problem["type"] == "extra_forbidden":
        group: Any = Settings
        for part in problem["loc"][:-1]:
            group = group.model_fields[part].annotation
        return f"{path}: there is no setting {name}; known are {', '.join(group.model_fields)}."
    said = problem["msg"].removeprefix("Value error, ")
    place = f"{path}: {name}: " if name else f"{path}: "
    given = "" if problem["type"] == "value_error" else f"; it says {problem['input']!r}"
    return f"{place}{said[0].lower()}{said[1:]}{given}."
