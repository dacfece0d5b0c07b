"""Logs, activity, captures and samples, as they take effect."""

import pytest

from corral.config.observing import Performance


def test_everything_has_a_default(loaded):
    config = loaded("")
    assert (config.log_level, config.log_to_stdout, config.log_time_format) == ("info", "proxy", "")
    assert (config.store_path, config.capture_buffer) == (None, 5 << 20)
    assert config.metrics_max_in_memory == 1000
    assert config.ui.activity.session_id == ("X-Session-ID", "X-Litellm-Session-Id")
    assert config.performance == Performance(disabled=False, every="5s")


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("logToStdout: Both", "log_to_stdout", "both"),
        ("logTimeFormat: ' RFC3339 '", "log_time_format", "rfc3339"),
        ("logTimeFormat: ''", "log_time_format", ""),
        ("captureBuffer: 0", "capture_buffer", 0),
        ("metricsMaxInMemory: 0", "metrics_max_in_memory", 1000),
        ("metricsMaxInMemory: -5", "metrics_max_in_memory", 1000),
        ("metricsMaxInMemory: 7", "metrics_max_in_memory", 7),
        ("store: {path: ' a.db '}", "store_path", "a.db"),
        ("store:", "store_path", None),
        ("logRequests: true", "log_level", "info"),
    ],
)
def test_a_key_takes_effect(loaded, text, key, value):
    assert getattr(loaded(text), key) == value


@pytest.mark.parametrize(
    ("text", "headers"),
    [
        ("[]", ()),
        ("['', ' ']", ()),
        ("[X-A, ' x-a ', X-B]", ("X-A", "X-B")),
        ("", ("X-Session-ID", "X-Litellm-Session-Id")),
    ],
)
def test_session_headers(loaded, text, headers):
    assert loaded(f"ui: {{activity: {{session_id: {text}}}}}").ui.activity.session_id == headers


@pytest.mark.parametrize(("text", "seconds"), [("0", 5), ("0s", 5), ("5s", 5), ("2m", 120)])
def test_the_time_between_samples(loaded, text, seconds):
    assert loaded(f"performance: {{every: {text}}}").performance.every == seconds
