"""`corral serve`: from what the command line names to a running server."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from corral.cli import address, models_dir
from corral.cli import sources as reading
from corral.cli.exits import Exit, Failure, say
from corral.config.load import Source, further, load
from corral.config.model import Config
from corral.errors import ConfigError, Problem

if TYPE_CHECKING:
    from corral.host.watch import Watch

DEFAULT_CONFIG = Path("config.yaml")

NOTHING_TO_SERVE = (
    "no ./config.yaml here: name one (--config FILE), serve a folder of GGUF files "
    "(--models-dir DIR), or try `corral demo`"
)


@dataclass(frozen=True, slots=True)
class Named:
    """What a command line says about the configuration; it can be read any number of times."""

    configs: Sequence[Path] = ()
    """`./config.yaml` when nothing at all is named."""
    config_dir: Path | None = None
    models_dir: Path | None = None
    log_level: str | None = None
    """Instead of the configuration's."""
    lenient: bool = False
    """What llama-swap reads past is told, not refused."""

    def sources(self) -> list[Source]:
        """The texts, as they are now. Failure when there are none, or one cannot be read."""
        named = reading.files(self._files, self.config_dir)
        if not named and self.config_dir is not None:
            raise Failure("no configuration sources found", Exit.MISUSED)
        found = [reading.read(path) for path in named]
        return [*found, reading.models(self.models_dir)] if self.models_dir else found

    def config(self, sources: Sequence[Source]) -> Config:
        """What the texts mean together. Failure when they are wrong."""
        config = understand(sources, lenient=self.lenient)
        return config.model_copy(update={"log_level": self.log_level or config.log_level})

    def again(self) -> Config:
        """For a reload, away from the command line: whatever is wrong is a ConfigError."""
        try:
            return self.config(self.sources())
        except Failure as failure:
            if isinstance(failure.__cause__, ConfigError):
                raise failure.__cause__ from None
            raise ConfigError([Problem("", 0, 0, "", failure.message)]) from None

    def watch(self) -> Watch:
        """A watch over all of it, as it is now."""
        from corral.host import watch  # noqa: PLC0415 - not needed to tell what is wrong

        files = reading.files(self._files, self.config_dir)
        beside = further([reading.read(path) for path in files], os.environ)
        looks = [watch.file(path) for path in (*self._files, *map(Path, beside))]
        if self.config_dir:
            looks.append(watch.folder(self.config_dir, reading.YAML))
        if self.models_dir:
            looks.append(watch.folder(self.models_dir, (models_dir.SUFFIX,), contents=False))
        return watch.Watch(looks)

    @property
    def _files(self) -> Sequence[Path]:
        if self.configs or self.config_dir or self.models_dir:
            return self.configs
        if not DEFAULT_CONFIG.is_file():
            raise Failure(NOTHING_TO_SERVE, Exit.MISUSED)
        return (DEFAULT_CONFIG,)


def understand(texts: Sequence[Source], *, lenient: bool = False) -> Config:
    """The configuration; `lenient` as for `load`. Failure when it is wrong."""
    with mistakes_told():
        return load(texts, os.environ, lenient=lenient, beside=reading.beside(texts))


@contextmanager
def mistakes_told() -> Iterator[None]:
    """Within it a wrong configuration is a Failure (exit 2) that shows every problem on its own line."""
    try:
        yield
    except ConfigError as error:
        raise Failure(str(error), Exit.MISUSED, prefix="") from error


def run(
    named: Named, listen: str | None, tls: tuple[str, str] | None = None, *, watch: bool = False
) -> None:
    """Serve until a signal ends it; with `watch`, as the files are edited. Without `listen` it is the configuration that says where.
    Failure when the configuration or the address cannot be used."""
    if listen:
        _address(listen)  # told before a mistake in a file is
    if tls:
        _try(*tls)
    # Before they are read: what is edited meanwhile is seen then.
    watched = named.watch() if watch else None
    sources = named.sources()
    config = named.config(sources)
    listen = listen or config.listen or address.DEFAULT
    where = _address(listen)
    _introduce(config, where)
    from corral.app import Edits, serve  # noqa: PLC0415 - a wrong configuration is told without it

    try:
        serve(
            config,
            origin=Path(sources[0].name),
            listen=where,
            tls=tls,
            edits=Edits(named.again, watched),
            ready=lambda url: say(f"corral: listening on {url}"),
        )
    except OSError as error:
        raise Failure(f"cannot listen on {listen}: {_reason(error)}") from error


def _try(certificate: str, key: str) -> None:
    """Failure when no TLS can be spoken with these files: the server would not say which is wrong."""
    import ssl  # noqa: PLC0415 - 20 ms

    for file in (certificate, key):
        try:
            Path(file).read_bytes()
        except OSError as error:
            raise Failure(f"{file}: {error.strerror or error}") from error
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except ssl.SSLError as error:
        reason = (error.reason or "they cannot be read").replace("_", " ").lower()
        raise Failure(f"no TLS with {certificate} and {key}: {reason}") from error


def _address(listen: str) -> address.Address:
    try:
        return address.parse(listen)
    except ValueError as error:
        raise Failure(f"listen: {error}", Exit.MISUSED) from error


def summary(config: Config) -> str:
    """What was recognised: `native format, 3 models`."""
    count = len(config.models)
    return f"{config.format} format, {count} model{'' if count == 1 else 's'}"


def _introduce(config: Config, where: address.Address) -> None:
    """What was recognised, what was made of it, and who can reach it."""
    say(f"corral: {summary(config)}")
    for note in config.notes:
        say(f"corral: {note}")
    if not address.is_local(where[0]):
        guard = "a key is needed" if config.api_keys else "no key is asked for (apiKeys)"
        say(f"corral: other machines can reach this address; {guard}")


def _reason(error: OSError) -> str:
    """One line; a file that is missing is named."""
    if error.errno == errno.EADDRINUSE:
        return "the address is in use; is another corral running?"
    file = f": {error.filename}" if error.filename else ""
    return f"{error.strerror or error}{file}"
