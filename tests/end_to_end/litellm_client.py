"""litellm as a program of its own, since its pins do not go with those of the other clients: a JSON line in, a JSON line out.

In: `[function, keyword arguments]`. Out: `{"answer": …}`, a list of chunks for a stream, or `{"error": {class, status, message}}`.
"""

from __future__ import annotations

import json
import sys

import litellm

litellm.suppress_debug_info = True
litellm.telemetry = False


def called(function: str, options: dict[str, object]) -> object:
    answer = getattr(litellm, function)(num_retries=0, timeout=60, **options)
    if options.get("stream"):
        return [chunk.model_dump() for chunk in answer]
    return answer.model_dump()


def main() -> None:
    # What it prints itself is not for whoever reads the answers.
    out, sys.stdout = sys.stdout, sys.stderr
    print(json.dumps({"answer": "ready"}), file=out, flush=True)
    for line in sys.stdin:
        try:
            said: dict[str, object] = {"answer": called(*json.loads(line))}
        except Exception as error:  # noqa: BLE001 - that is what is asked about
            said = {
                "error": {
                    "class": type(error).__name__,
                    "status": getattr(error, "status_code", None),
                    "message": str(error),
                }
            }
        print(json.dumps(said, default=str), file=out, flush=True)


if __name__ == "__main__":
    main()
