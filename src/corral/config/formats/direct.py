"""How a model of a router runs without it: one llama-server for it alone, told what the router would have told it.

From the weakest to the strongest: the router's own settings, `[*]`, the model's section, the router's `extra_args`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from corral.config.formats.hotmodel_file import HotFile, Router
from corral.config.formats.llama_options import arguments, united
from corral.config.formats.preset_ini import MODEL_SOURCES, Presets, Section

_THE_ROUTERS = frozenset(
    (
        "host",
        "port",
        "alias",
        "tags",
        "ui",
        "api-key",
        "api-key-file",
        "ssl-key-file",
        "ssl-cert-file",
    )
)
"""Options that are no business of a section: the router sets them for every model."""
_OF_ROUTERS = "models-"
_LONG_KNOWN = frozenset(("ctx_size", "parallel", "cache_type_k", "cache_type_v", "flash_attn"))


def direct_command(
    hot: HotFile, path: str, presets: Presets | None, section: Section | None
) -> list[str]:
    """The command. `path` is the model's file, where the section names none."""
    router = hot.router
    common = presets.common.plain() if presets else {}
    own = section.plain() if section else {}
    options = {
        name: value
        for name, value in united([_for_all(router), common, own]).items()
        if name not in _THE_ROUTERS and not name.startswith(_OF_ROUTERS)
    }
    sources = {name: options.pop(name) for name in list(options) if name in MODEL_SOURCES}
    host = router.host or hot.llama.host
    return [
        router.binary or hot.llama.binary,
        *arguments(sources or {"model": path}),
        *("--host", host, "--port", "${PORT}"),
        *arguments(options),
        *_for_a_model(router.extra_args),
    ]


def router_environment(router: Router) -> Iterator[tuple[str, str]]:
    """A router's own settings, as llama-server's variables. `cache_idle_slots` stands only where it is written: yes is llama-server's
    own default, and corral may know better."""
    for key, variable, value in _settings(router):
        if key != "cache_idle_slots" or key in router.model_fields_set:
            yield variable, value


def _for_all(router: Router) -> dict[str, str]:
    """Those that a server for one model is told: the newer options, which an older llama-server refuses, only if they are written."""
    told = _LONG_KNOWN | router.model_fields_set
    return {variable: value for key, variable, value in _settings(router) if key in told}


def _settings(router: Router) -> Iterator[tuple[str, str, str]]:
    """Each setting by its key, with its variable."""
    quiet = router.no_ui if router.no_webui is None else router.no_webui
    rows: Sequence[tuple[str, str, object]] = (
        ("ctx_size", "CTX_SIZE", router.ctx_size),
        ("parallel", "N_PARALLEL", router.parallel),
        ("cache_type_k", "CACHE_TYPE_K", router.cache_type_k),
        ("cache_type_v", "CACHE_TYPE_V", router.cache_type_v),
        ("flash_attn", "FLASH_ATTN", router.flash_attn),
        ("kv_unified", "KV_UNIFIED", router.kv_unified),
        ("cache_ram_mb", "CACHE_RAM", router.cache_ram_mb),
        ("cache_idle_slots", "CACHE_IDLE_SLOTS", router.cache_idle_slots),
        ("no_ui", "UI", not quiet),
        ("models_autoload", "MODELS_AUTOLOAD", "1" if router.models_autoload else ""),
    )
    for key, variable, value in rows:
        if value != "":
            said = str(int(value)) if isinstance(value, bool) else str(value)
            yield key, f"LLAMA_ARG_{variable}", said


def _for_a_model(words: Sequence[str]) -> Iterator[str]:
    """Without what only a router knows."""
    skipped = False
    for word in words:
        of_router = word.startswith(("--models-", "--no-models-"))
        if not of_router and not (skipped and not word.startswith("-")):
            yield word
        skipped = of_router
