"""One tree of settings, read from the environment: ``IQA_`` and two underscores between levels.

The names in the tables of the README are fixed: manifests and tests of other teams use them. A wrong or unknown setting stops
the start with one line that names it.
"""

from __future__ import annotations

import os
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from pydantic_settings import SettingsError as SourceError

from engines.engine_set import DEFAULT_DIRECTORY, EngineNames
from engines.runtime.tensorrt import GpuOptions
from worker import setting_values
from worker.errors import SettingsError
from worker.setting_groups import Group, ProbeSettings, TracingSettings
from worker.setting_words import PREFIX, wrong_names, wrong_values
from worker.topic_names import check_topic_names

__all__ = [
    "DecodeSettings",
    "EngineSettings",
    "FetchSettings",
    "HttpSettings",
    "KafkaSettings",
    "ProbeSettings",
    "ProjectionSettings",
    "RedisSettings",
    "RetrySettings",
    "S3Settings",
    "Settings",
    "TopicSettings",
    "TracingSettings",
    "WorkerSettings",
    "load_settings",
]

Network = IPv4Network | IPv6Network
Topic = Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]{1,249}$")]


class KafkaSettings(Group):
    """Brokers and the consumer group.

    ``instance_id`` makes members static (KIP-345): a pod that comes back under its name within the session's time-out takes up
    its partitions without a rebalance. ``protocol`` ``consumer`` has the broker assign partitions (KIP-848, Kafka 4); the
    session's time-out and heartbeats are the broker's then.
    """

    bootstrap_servers: Annotated[str, AfterValidator(setting_values.check_servers)] = "localhost:9092"
    group_id: str = Field(default="iqa-workers", min_length=1)
    delivery: Literal["exactly_once", "at_least_once"] = "exactly_once"
    transactional_id: str | None = Field(
        default=None,
        min_length=1,
        description="With exactly_once; a name that a pod keeps over restarts. Else a new one each time.",
    )
    instance_id: str | None = Field(
        default=None,
        pattern=r"^[a-zA-Z0-9._-]{1,200}$",
        description="A name that a pod keeps over restarts: static membership.",
    )
    protocol: Literal["classic", "consumer"] = Field(default="classic", description="Of groups; consumer is KIP-848's.")
    properties: dict[str, str] = Field(default_factory=dict, description="Any librdkafka property, underscores for dots.")
    properties_file: Path | None = Field(default=None, description="The same, one key=value a line; the place for secrets.")

    @field_validator("properties")
    @classmethod
    def _properties(cls, value: dict[str, str]) -> dict[str, str]:
        if empty := [name for name, content in value.items() if not content.strip()]:
            raise ValueError(f"{PREFIX}KAFKA__PROPERTIES__{empty[0].upper()}: must not be empty; unset it for the default")
        return value

    def librdkafka(self) -> dict[str, Any]:
        """Every property for a librdkafka client; the environment wins over the file.

        Raises:
            SettingsError: the file cannot be read, or holds a line that is none of key=value.

        """
        found: dict[str, Any] = {"bootstrap.servers": self.bootstrap_servers}
        if self.properties_file:
            found |= setting_values.read_properties(self.properties_file, "IQA_KAFKA__PROPERTIES_FILE")
        found |= {key.replace("_", "."): value for key, value in self.properties.items()}
        return found


class TopicSettings(Group):
    """Names of topics. No two may be one: a worker would read its own verdicts, and librdkafka dies of equal names."""

    uploads: Topic = "image.uploads"
    verdicts: Topic = "image.quality.verdicts"
    dead_letters: Topic = "image.uploads.dlq"
    retry: Topic = Field(default="image.uploads.retry", description="Prefix of the retry topics.")

    @model_validator(mode="after")
    def _differ(self) -> Self:
        prefix = f"{PREFIX}TOPICS__"
        names = {f"{prefix}{field.upper()}": str(getattr(self, field)) for field in type(self).model_fields}
        names[f"{prefix}DEAD_LETTERS with .parked"] = f"{self.dead_letters}.parked"
        check_topic_names(names, f"{prefix}RETRY")
        return self


class RetrySettings(Group):
    """What failed for a passing reason (a host that is down, an engine out of memory) is tried again later."""

    delays_s: Annotated[tuple[Annotated[float, Field(gt=0, le=86_400)], ...], NoDecode] = Field(
        default=(30.0, 300.0, 1800.0), max_length=9, description="One retry topic for each; none turns retries off."
    )

    @field_validator("delays_s", mode="before")
    @classmethod
    def _delays(cls, value: object) -> object:
        return tuple(float(part) for part in setting_values.split_list(value)) if isinstance(value, str) else value

    @field_validator("delays_s")
    @classmethod
    def _rising(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if list(value) != sorted(value):
            raise ValueError("must not fall: each retry waits as long as the one before it, or longer")
        return value


class RedisSettings(Group):
    """Redis or Valkey. Without a URL nothing is cached and repeats are judged again."""

    url: str | None = None
    url_file: Path | None = Field(default=None, description="A file with the URL, for secrets; wins over the URL.")
    verdict_ttl_s: int = Field(default=30 * 86_400, ge=1, le=36_500 * 86_400)
    content_ttl_s: int = Field(default=30 * 86_400, ge=1, le=36_500 * 86_400)
    timeout_s: float = Field(default=1.0, gt=0, le=60)

    def resolved_url(self) -> str | None:
        """The URL to use, from the file if there is one."""
        if self.url_file is None:
            return self.url or None
        return setting_values.read_secret(self.url_file, "IQA_REDIS__URL_FILE")


class FetchSettings(Group):
    """How bytes are fetched."""

    connect_timeout_s: float = Field(default=3.0, gt=0, le=60)
    total_timeout_s: float = Field(default=10.0, gt=0, le=300)
    max_bytes: int = Field(default=20_000_000, ge=1)
    max_redirects: int = Field(default=3, ge=0, le=20)
    attempts: int = Field(default=2, ge=1, le=5, description="Tries for failures that may pass, all within one event.")
    per_host: int = Field(
        default=0, ge=0, le=256, description="Threads that may wait for one host at once; 0: a quarter of them, two at least."
    )
    allow_networks: Annotated[tuple[Network, ...], NoDecode] = ()
    allow_hosts: Annotated[tuple[str, ...], NoDecode, AfterValidator(setting_values.check_hosts)] = Field(
        default=(), description="Names that may be fetched from wherever they lead; .example.org means all below it."
    )
    allow_ports: Annotated[tuple[Annotated[int, Field(ge=1, le=65_535)], ...], NoDecode] = Field(
        default=(80, 443), description="Ports of public addresses; allowed networks and hosts may use any."
    )
    proxy: Annotated[SecretStr | None, AfterValidator(setting_values.check_proxy)] = Field(
        default=None, description="http://[user:password@]host:port for http and https; the environment's is ignored."
    )
    allow_files: Annotated[tuple[Path, ...], NoDecode] = Field(default=(), description="Folders that file: URLs may name.")

    @model_validator(mode="after")
    def _timeouts(self) -> Self:
        # The default is no wish of anybody's: a shorter total is enough by itself.
        if "connect_timeout_s" in self.model_fields_set and self.connect_timeout_s > self.total_timeout_s:
            told = f"{self.connect_timeout_s:g} is more than IQA_FETCH__TOTAL_TIMEOUT_S, {self.total_timeout_s:g}"
            raise ValueError(f"IQA_FETCH__CONNECT_TIMEOUT_S: {told}")
        return self

    @field_validator("allow_networks", mode="before")
    @classmethod
    def _networks(cls, value: object) -> object:
        return tuple(ip_network(part) for part in setting_values.split_list(value)) if isinstance(value, str) else value

    @field_validator("allow_hosts", "allow_ports", mode="before")
    @classmethod
    def _parts(cls, value: object) -> object:
        return tuple(setting_values.split_list(value)) if isinstance(value, str) else value

    @field_validator("allow_files", mode="before")
    @classmethod
    def _folders(cls, value: object) -> object:
        return tuple(Path(part) for part in setting_values.split_list(value)) if isinstance(value, str) else value


class S3Settings(Group):
    """Where ``s3:`` URLs may lead. Without keys, the client's own chain applies: environment, web identity, instance."""

    buckets: Annotated[tuple[Annotated[str, Field(pattern=r"^[a-z0-9.-]{3,63}$")], ...], NoDecode] = Field(
        default=(), description="That objects are taken from; none by default."
    )
    endpoint: str | None = Field(default=None, pattern=r"^https?://", description="Of a store that is not Amazon's.")
    region: str = "us-east-1"
    access_key_id: str | None = None
    secret_access_key: SecretStr | None = None
    secret_access_key_file: Path | None = Field(default=None, description="A file with it, for secrets; wins.")
    anonymous: bool = Field(default=False, description="Requests without a signature, for public buckets.")

    @model_validator(mode="after")
    def _keys(self) -> Self:
        secret = self.secret_access_key or self.secret_access_key_file
        if bool(self.access_key_id) != bool(secret):
            raise ValueError("IQA_S3__ACCESS_KEY_ID: goes with IQA_S3__SECRET_ACCESS_KEY or its file, and these with it")
        return self

    def secret(self) -> str | None:
        """The secret key, from the file if there is one."""
        if self.secret_access_key_file is None:
            return self.secret_access_key.get_secret_value() if self.secret_access_key else None
        return setting_values.read_secret(self.secret_access_key_file, "IQA_S3__SECRET_ACCESS_KEY_FILE")

    @field_validator("buckets", mode="before")
    @classmethod
    def _buckets(cls, value: object) -> object:
        return tuple(setting_values.split_list(value)) if isinstance(value, str) else value


class DecodeSettings(Group):
    """What may be decoded."""

    max_pixels: int = Field(default=50_000_000, ge=1, le=150_000_000, description="Width times height by the header.")
    isolate: bool = Field(default=True, description="In child processes: a decoder that dies takes nothing along.")
    timeout_s: float = Field(default=15.0, gt=0, le=300, description="For one picture, in a child.")
    memory_bytes: int = Field(default=1_500_000_000, ge=100_000_000, description="That a child may allocate.")


class HttpSettings(Group):
    """``/livez``, ``/readyz``, ``/metrics``."""

    # Probes and scrapes come from outside the pod.
    host: str = Field(default="0.0.0.0", pattern=r"^[!-~]{1,253}$", description="A name or an address of this machine.")  # noqa: S104
    port: int = Field(default=8080, ge=0, le=65_535, description="0 takes any free port; the log says which.")


class EngineSettings(Group):
    """Which engines, and where fetched ones lie."""

    directory: Path = DEFAULT_DIRECTORY
    quality: str = EngineNames.quality
    text_detection: str = EngineNames.text_detection
    text_recognition: str = EngineNames.text_recognition

    @property
    def names(self) -> EngineNames:
        """As ``engines`` wants them."""
        return EngineNames(self.quality, self.text_detection, self.text_recognition)


class GpuSettings(Group):
    """How a GPU is used, where ``runtime`` is ``tensorrt``."""

    batch: int = Field(default=8, ge=1, le=256, description="Pictures in one batch, at most.")
    lanes: int = Field(default=2, ge=1, le=16, description="Batches on the GPU at once, each with its own memory.")
    graphs: int = Field(default=4, ge=0, le=64, description="Input shapes per lane that are kept as CUDA graphs.")
    precision: Literal["half", "single"] = "half"

    @property
    def options(self) -> GpuOptions:
        """As ``engines`` wants them."""
        return GpuOptions(self.batch, self.lanes, self.graphs, self.precision)


class WorkerSettings(Group):
    """Threads, bounds and budgets of one worker."""

    threads: int = Field(default=16, ge=1, le=256, description="Events on their way at once; most of them wait for hosts.")
    cpu_slots: int = Field(default=0, ge=0, le=256, description="Decodes and inferences at once; 0: the CPU quota.")
    max_in_flight: int = Field(
        default=256, ge=1, description="Events taken from Kafka and not yet finished, shared evenly among the partitions."
    )
    max_in_flight_bytes: int = Field(default=32_000_000, ge=1, description="Of events and their results, until published.")
    max_event_bytes: int = Field(
        default=8_000_000,
        ge=1_000,
        description="Key, body and headers of an event that is parsed; larger ones are dead letters.",
    )
    publish_interval_ms: int = Field(default=200, ge=10, le=60_000)
    drain_timeout_s: float = Field(
        default=20.0, gt=0, le=86_400, description="Budget for what is in flight at shutdown or revocation."
    )
    start_timeout_s: float = Field(default=600.0, gt=0, le=86_400, description="A start that takes longer hangs: /livez fails.")
    source: str = Field(default="/iqa/worker", min_length=1, description="CloudEvents source of what is published.")

    @model_validator(mode="after")
    def _slots(self) -> Self:
        if self.cpu_slots > self.threads:
            told = f"{self.cpu_slots} is more than IQA_WORKER__THREADS, {self.threads}: each slot is held by a thread"
            raise ValueError(f"IQA_WORKER__CPU_SLOTS: {told}")
        return self


class ProjectionSettings(Group):
    """Verdicts topic to Redis."""

    enabled: bool = Field(default=True, description="Off where a deployment of its own does it.")
    batch: int = Field(default=500, ge=1, le=10_000)


class Settings(BaseSettings):
    """Everything that can be set."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True, hide_input_in_errors=True
    )

    kafka: KafkaSettings = KafkaSettings()
    topics: TopicSettings = TopicSettings()
    retry: RetrySettings = RetrySettings()
    redis: RedisSettings = RedisSettings()
    fetch: FetchSettings = FetchSettings()
    s3: S3Settings = S3Settings()
    decode: DecodeSettings = DecodeSettings()
    http: HttpSettings = HttpSettings()
    engines: EngineSettings = EngineSettings()
    gpu: GpuSettings = GpuSettings()
    worker: WorkerSettings = WorkerSettings()
    projection: ProjectionSettings = ProjectionSettings()
    tracing: TracingSettings = TracingSettings()
    probe: ProbeSettings = ProbeSettings()
    profile: str = Field(default="recruitment", description="A shipped profile's name, or the path of a .yaml file.")
    profiles: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Of other services: names, .yaml files or folders of them; all that ship if none is given."
    )
    shadow_profile: str | None = Field(default=None, description="Judges on the side what the one of its name judges.")
    text: Literal["lazy", "strict", "always"] = "lazy"  # lazy is strict without pictures that surely have none
    runtime: Literal["auto", "onnx", "openvino", "tensorrt"] = "auto"
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @property
    def retry_topics(self) -> list[str]:
        """One for each delay: ``image.uploads.retry.1`` and so on."""
        return [f"{self.topics.retry}.{number}" for number in range(1, len(self.retry.delays_s) + 1)]

    @field_validator("*", mode="before")
    @classmethod
    def _unless_empty(cls, value: object, info: ValidationInfo) -> object:
        return setting_values.unless_empty(cls.model_fields[info.field_name or ""], value)

    @field_validator("profiles", mode="before")
    @classmethod
    def _profiles(cls, value: object) -> object:
        return tuple(setting_values.split_list(value)) if isinstance(value, str) else value


def load_settings() -> Settings:
    """Read the settings from the environment.

    Raises:
        SettingsError: one line that names every wrong setting.

    """
    wrong = wrong_names(Settings, os.environ)
    told = [f"{name}: {message}" for name, message in wrong.items()]
    try:
        settings = Settings()
    except ValidationError as error:
        known = {name.upper() for name in wrong}
        values = [each for each in wrong_values(Settings, error) if each[0] not in known]
        told += [f"{name}: {message}" if name else message for name, message in values]
        raise SettingsError("; ".join(told)) from error
    except SettingsError as error:
        raise SettingsError("; ".join([*told, str(error)])) from error
    except SourceError as error:
        # Its own words name no variable. The only one that takes several values at once is this.
        hint = f"{PREFIX}KAFKA__PROPERTIES: not JSON; set {PREFIX}KAFKA__PROPERTIES__NAME=value for each"
        raise SettingsError("; ".join(told) or (hint if '"kafka"' in str(error) else " ".join(str(error).split()))) from error
    if told:
        raise SettingsError("; ".join(told))
    if settings.kafka.properties or settings.kafka.properties_file:
        from worker.stream.properties import check_properties

        check_properties(settings.kafka)
    longest_s = float(settings.kafka.librdkafka().get("max.poll.interval.ms", 300_000)) / 1000
    if settings.worker.drain_timeout_s >= longest_s:
        reason = f"must be under {longest_s:g}: the group gives away the partitions of who does not poll for longer"
        raise SettingsError(f"IQA_WORKER__DRAIN_TIMEOUT_S: {reason} (max.poll.interval.ms)")
    return settings
