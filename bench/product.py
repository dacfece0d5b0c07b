"""A whole corral in front of a server that runs already: what `warm.py --app` measures as the product.

    python bench/product.py PORT UPSTREAM_URL

One model, named `m`, whose process is a sleeper; its `proxy` is the upstream. The first request loads it.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

CONFIG = """
models:
  m: {{cmd: "sleep 86400", proxy: "{upstream}", checkEndpoint: none}}
logLevel: error
"""


def main() -> None:
    port, upstream = sys.argv[1:3]
    folder = Path(tempfile.gettempdir()) / f"corral-bench-{port}"
    folder.mkdir(exist_ok=True)
    config = folder / "config.yaml"
    config.write_text(CONFIG.format(upstream=upstream))
    listen = f"127.0.0.1:{port}"
    os.execv(
        sys.executable,
        [sys.executable, "-m", "corral", "serve", "--config", str(config), "--listen", listen],
    )


if __name__ == "__main__":
    main()
