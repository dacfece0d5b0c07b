"""The HTTP server, its endpoints, the log, and what the program prints and leaves."""

from __future__ import annotations

from corral.engines.flags.kinds import (
    ACTION,
    CONTENT,
    COUNT,
    FOLDER,
    INTEGER,
    LIST,
    MORE,
    NUMBER,
    PATH,
    SWITCH,
    TEXT,
    WORD,
    Kind,
    chosen,
    content,
    extend,
    integer,
    put,
    words,
)
from corral.engines.flags.row import Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

_POOLING = "LLAMA_POOLING_TYPE_"


def _hosts(text: str) -> list[str]:
    return words(text) or _nobody()


def _nobody() -> list[str]:
    raise ValueError("needs an address")


def _keys(path: str) -> list[str]:
    """The keys of a file: one on each line, `#` begins a comment."""
    return [line for line in content(path).splitlines() if line and not line.startswith("#")]


def _listed_origins(wheel: ModuleType, params: Any, path: str, value: Any) -> None:
    """Origins that the user chose stay as they are when tools are enabled."""
    put(wheel, params, path, value)
    put(wheel, params, "cors_origins_explicit", value=True)


def _sleep(text: str) -> int:
    seconds = int(INTEGER.parse(text))
    if seconds == 0 or seconds < -1:
        raise ValueError("at least 1 second, or -1 for never")
    return seconds


HOSTS = Kind("ADDRESS,...", _hosts)
KEYS = Kind("FILE", _keys, extend)
ORIGINS = Kind("ORIGIN,...", str, _listed_origins)
SLEEP = Kind("SECONDS", _sleep)
POOLING = chosen(
    {word: _POOLING + word.upper() for word in ("none", "mean", "cls", "last", "rank")}
)
EVERYTHING = 2**31 - 1

# A table is read in rows.
# fmt: off
SERVING: tuple[Flag, ...] = (
    Flag("-h --usage --help", "show this text", kind=ACTION, value="help"),
    Flag("--version", "show the versions of this program and of llama.cpp", kind=ACTION, value="version"),
    Flag("--list-devices", "show the devices that llama.cpp can use here", kind=ACTION, value="devices"),
    Flag("--completion-bash", "a completion script", "", SWITCH),
    Flag("--host", "the addresses to listen on, or paths of UNIX sockets ending in .sock", "hostnames", HOSTS, "LLAMA_ARG_HOST"),
    Flag("--port", "the port to listen on, 0 for any free one", "port", integer(0, 65535), "LLAMA_ARG_PORT"),
    Flag("--reuse-port", "share the port with other processes", "reuse_port", SWITCH, "LLAMA_ARG_REUSE_PORT"),
    Flag("--path", "serve the files of this folder", "public_path", TEXT, "LLAMA_ARG_STATIC_PATH"),
    Flag("--api-prefix", "what every path begins with, without a slash at its end", "api_prefix", TEXT, "LLAMA_ARG_API_PREFIX"),
    Flag("--api-key", "keys of which a client must show one", "api_keys", MORE, "LLAMA_API_KEY"),
    Flag("--api-key-file", "such keys from a file, one on each line", "api_keys", KEYS, "LLAMA_ARG_API_KEY_FILE"),
    Flag("--ssl-key-file", "the private key for TLS", "ssl_file_key", PATH, "LLAMA_ARG_SSL_KEY_FILE"),
    Flag("--ssl-cert-file", "the certificate for TLS", "ssl_file_cert", PATH, "LLAMA_ARG_SSL_CERT_FILE"),
    Flag("--cors-origins", "the origins a browser may come from", "cors_origins", ORIGINS, "LLAMA_ARG_CORS_ORIGINS"),
    Flag("--cors-methods", "the methods a browser may use", "cors_methods", TEXT, "LLAMA_ARG_CORS_METHODS"),
    Flag("--cors-headers", "the headers a browser may send", "cors_headers", TEXT, "LLAMA_ARG_CORS_HEADERS"),
    Flag("--cors-credentials", "let a browser send credentials", "cors_credentials", SWITCH, "LLAMA_ARG_CORS_CREDENTIALS", off="--no-cors-credentials"),
    Flag("-to --timeout", "seconds to wait for a client to read or write", "timeout_read timeout_write", COUNT, "LLAMA_ARG_TIMEOUT"),
    Flag("--sse-ping-interval", "seconds between pings in a silent stream, -1 for none", "sse_ping_interval", INTEGER, "LLAMA_ARG_SSE_PING_INTERVAL"),
    Flag("--threads-http", "threads for HTTP", "n_threads_http", INTEGER, "LLAMA_ARG_THREADS_HTTP"),
    Flag("--sleep-idle-seconds", "free the model after so many idle seconds, -1 for never", "sleep_idle_seconds", SLEEP),
    Flag("--metrics", "serve GET /metrics", "endpoint_metrics", SWITCH, "LLAMA_ARG_ENDPOINT_METRICS"),
    Flag("--props", "serve POST /props", "endpoint_props", SWITCH, "LLAMA_ARG_ENDPOINT_PROPS"),
    Flag("--slots", "serve GET /slots", "endpoint_slots", SWITCH, "LLAMA_ARG_ENDPOINT_SLOTS", off="--no-slots"),
    Flag("--slot-save-path", "the folder where slots are saved", "slot_save_path", FOLDER, "LLAMA_ARG_SLOT_SAVE_PATH"),
    Flag("-sps --slot-prompt-similarity", "how alike prompts must be to share a slot, 0 to 1", "slot_prompt_similarity", NUMBER),
    Flag("--media-path", "the folder that file:// URLs may name files of", "media_path", FOLDER),
    Flag("--embedding --embeddings", "serve embeddings, nothing else", "embedding", SWITCH, "LLAMA_ARG_EMBEDDINGS"),
    Flag("--rerank --reranking", "serve reranking", "embedding", SWITCH, "LLAMA_ARG_RERANKING", also=(("pooling_type", _POOLING + "RANK"),)),
    Flag("--pooling", "how embeddings are pooled", "pooling_type", POOLING, "LLAMA_ARG_POOLING"),
    Flag("--embd-normalize", "how embeddings are normalised", "embd_normalize", INTEGER),
    Flag("--image-min-tokens", "the fewest tokens an image takes", "image_min_tokens", INTEGER, "LLAMA_ARG_IMAGE_MIN_TOKENS"),
    Flag("--image-max-tokens", "the most tokens an image takes", "image_max_tokens", INTEGER, "LLAMA_ARG_IMAGE_MAX_TOKENS"),
    Flag("--mtmd-batch-max-tokens", "image tokens in one batch", "mtmd_batch_max_tokens", INTEGER, "LLAMA_ARG_MTMD_BATCH_MAX_TOKENS"),
    Flag("--video-fps", "frames taken from a second of video", "video_fps", NUMBER, "LLAMA_ARG_VIDEO_FPS"),
    Flag("--video-timestamp-interval", "milliseconds between timestamps in a video", "video_timestamp_interval_ms", COUNT, "LLAMA_ARG_VIDEO_TIMESTAMP_INTERVAL"),
    Flag("--video-ffmpeg-dir", "where ffmpeg is", "video_ffmpeg_bin_dir", TEXT, "LLAMA_ARG_VIDEO_FFMPEG_DIR"),
    Flag("--webui --ui", "serve llama.cpp's web page", "ui", SWITCH, "LLAMA_ARG_UI", off="--no-webui --no-ui"),
    Flag("--webui-config --ui-config", "settings for the web page", "ui_config_json", Kind("JSON"), "LLAMA_ARG_UI_CONFIG"),
    Flag("--webui-config-file --ui-config-file", "settings for the web page, from a file", "ui_config_json", CONTENT, "LLAMA_ARG_UI_CONFIG_FILE"),
    Flag("--webui-mcp-proxy --ui-mcp-proxy", "let the web page reach MCP servers", "ui_mcp_proxy", SWITCH, "LLAMA_ARG_UI_MCP_PROXY", off="--no-webui-mcp-proxy --no-ui-mcp-proxy"),
    Flag("--tools", "tools that the server runs itself, or all", "server_tools", LIST, "LLAMA_ARG_TOOLS"),
    Flag("--tools-runtime", "where those tools run", "server_tools_runtime", WORD, "LLAMA_ARG_TOOLS_RUNTIME"),
    Flag("--mcp-servers-config", "MCP servers, from a file", "mcp_servers_config", PATH, "LLAMA_ARG_MCP_SERVERS_CONFIG"),
    Flag("--mcp-servers-json", "MCP servers", "mcp_servers_json", Kind("JSON"), "LLAMA_ARG_MCP_SERVERS_JSON"),
    Flag("-ag --agent", "all tools, and the web page's MCP proxy", "ui_mcp_proxy", SWITCH, "LLAMA_ARG_AGENT", off="-no-ag --no-agent", also=(("server_tools", ["all"]),)),
    Flag("--models-dir", "router: the models' folder", "", TEXT, "LLAMA_ARG_MODELS_DIR"),
    Flag("--models-preset", "router: the models' settings", "", TEXT, "LLAMA_ARG_MODELS_PRESET"),
    Flag("--models-max", "router: models loaded at once", "", INTEGER, "LLAMA_ARG_MODELS_MAX"),
    Flag("--models-autoload", "router: load models on demand", "", SWITCH, "LLAMA_ARG_MODELS_AUTOLOAD", off="--no-models-autoload"),
    Flag("-lv --verbosity --log-verbosity", "how much is logged: 1 errors, 2 warnings, 3 information, 5 everything", "verbosity", INTEGER, "LLAMA_ARG_LOG_VERBOSITY"),
    Flag("-v --log-verbose --verbose", "log everything", "verbosity", SWITCH, value=EVERYTHING),
    Flag("--log-disable", "log nothing", "verbosity", SWITCH, value=-1),
    Flag("--log-file", "log to a file too", "", TEXT, "LLAMA_ARG_LOG_FILE"),
    Flag("--log-jsonl", "log as JSON", "", SWITCH, "LLAMA_ARG_LOG_JSONL", off="--no-log-jsonl"),
    Flag("--log-colors", "colours in the log", "", TEXT, "LLAMA_ARG_LOG_COLORS"),
    Flag("--log-prefix", "prefixes in the log", "", SWITCH, "LLAMA_ARG_LOG_PREFIX", off="--no-log-prefix"),
    Flag("--log-timestamps", "times in the log", "", SWITCH, "LLAMA_ARG_LOG_TIMESTAMPS", off="--no-log-timestamps"),
    Flag("--log-prompts-dir", "write every prompt to this folder", "path_prompts_log_dir", TEXT),
)
# fmt: on
