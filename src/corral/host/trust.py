"""Whom corral believes that they are who they say, where it speaks TLS to others."""

from __future__ import annotations

import functools
import ssl
from pathlib import Path

_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
"""Where systems keep whom they trust. Python may have been built for another place."""


@functools.cache
def trusted() -> ssl.SSLContext:
    """Whom this system trusts, as `SSL_CERT_FILE` and `SSL_CERT_DIR` say where they are set. Made once: it reads a file."""
    context = ssl.create_default_context()
    if not context.cert_store_stats()["x509_ca"] and not ssl.get_default_verify_paths().capath:
        for bundle in filter(Path.exists, map(Path, _BUNDLES)):
            context.load_verify_locations(bundle)
            break
    # Python 3.13 began to refuse what many a home-made authority leaves out; other programs on the system do not.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.set_alpn_protocols(["http/1.1"])
    return context
