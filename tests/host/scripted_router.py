"""A llama-server in router mode, as far as corral talks to it, that misbehaves on demand: `scripted_router.py PORT MODEL... [--wish WORD]...`.

A model's id says how it behaves: `never...` stays in `loading`, `broken...` fails with code 3, `full...` is refused, `heavy...` and `busy...` stay when
they are to be unloaded, `busy...` has a request in work for ever, `twin...` has the alias `double`. Every model that is loaded is a process with
`--port`, as there. Wishes: `deaf` (no events), `gappy` (the stream of events ends after each), `mute` (no reason in refusals), `startup=ID` (loads
it by itself), `plain` (a list without states), `stuck` (answers nothing but /health), `quiet` (says nothing of a server's end).
"""

import json
import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from urllib.parse import urlsplit

PORT, *WORDS = sys.argv[1:]
IDS = WORDS[: WORDS.index("--wish")] if "--wish" in WORDS else WORDS
WISHES = [word for flag, word in pairwise(WORDS) if flag == "--wish"]

CHILD = "import os, sys; os.write(1, b'ready\\n'); sys.stdin.read(); os._exit(1)"
DYING = "import os; os.write(1, b'loading\\nerror: no such file\\n'); os._exit(3)"

lock = threading.RLock()
changed = threading.Condition(lock)
events = []


def say(text):
    os.write(1, text.encode() + b"\n")


class Model:
    def __init__(self, name, number):
        self.id = name
        self.port = 40000 + number
        self.value = "unloaded"
        self.exit_code = None
        self.child = None

    def tell(self, kind="status_change", **data):
        events.append({"model": self.id, "event": kind, "data": {"status": self.value, **data}})
        changed.notify_all()

    def load(self):
        self.value, self.exit_code = "loading", None
        self.tell("model_status")
        code = DYING if self.id.startswith("broken") else CHILD
        self.child = subprocess.Popen(
            [sys.executable, "-S", "-c", code, "--port", str(self.port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        say(f"0.00 I srv load: spawning server instance with name={self.id} on port {self.port}")
        threading.Thread(target=self.watch, args=(self.child,), daemon=True).start()

    def watch(self, child):
        for line in child.stdout:
            say(f"[{self.port}] {line.decode().rstrip()} pid={child.pid}")
            with lock:
                if line == b"ready\n" and not self.id.startswith("never"):
                    self.value = "loaded"
                    self.tell()
        code = child.wait()
        with lock:
            self.value = "unloaded"
            self.exit_code = None if self.child is None else abs(code)
            self.child = None
            self.tell(exit_code=self.exit_code)
        if "quiet" not in WISHES:
            time.sleep(0.05)  # the log is written by a thread of its own
            say(f"0.01 I srv run: instance name={self.id} exited with status {code}")

    def unload(self):
        if self.id.startswith(("heavy", "busy")):
            return
        child, self.child = self.child, None
        if child:  # else it is going already
            child.kill()

    def listed(self):
        status = {"value": self.value, "args": ["llama-server", "--port", str(self.port)]}
        if self.exit_code:
            status |= {"failed": True, "exit_code": self.exit_code}
        aliases = ["double"] if self.id.startswith("twin") else []
        return {"id": self.id, "aliases": aliases, "object": "model", "status": status}


MODELS = {name: Model(name, number) for number, name in enumerate(IDS)}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *words):
        pass

    def do_GET(self):
        path, query = urlsplit(self.path)[2:4]
        if path == "/health":
            return self.answer(200, {"status": "ok"})
        if "stuck" in WISHES:
            time.sleep(3600)
        say(f"asked GET {self.path}")
        if path == "/models/sse":
            return self.stream()
        if path == "/models":
            with lock:
                listed = [one.listed() for one in MODELS.values()]
            if "plain" in WISHES:
                listed = [{"id": "x"}]
            return self.answer(200, {"object": "list", "data": listed})
        if path == "/slots":
            return self.answer(200, [{"is_processing": "model=busy" in query}])
        return self.answer(404, "File Not Found")

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        path = urlsplit(self.path).path
        say(f"asked POST {self.path} {body.decode()}")
        model = MODELS.get(json.loads(body)["model"])
        with lock:
            self.answer(*self.order(path, model))

    def order(self, path, model):
        if model is None:
            return 404, "File Not Found"
        if path == "/models/load":
            if model.value != "unloaded":
                return 400, "model is already running"
            if model.id.startswith("full"):
                return 500, "model limit reached, try again later"
            model.load()
            return 200, None
        if model.value == "unloaded":
            return 400, "model is not running"
        model.unload()
        return 200, None

    def answer(self, status, said):
        if isinstance(said, str):
            said = "oh" if "mute" in WISHES else {"error": {"code": status, "message": said}}
        data = json.dumps(said or {"success": True}).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def stream(self):
        if "deaf" in WISHES:
            return self.answer(404, "File Not Found")
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self.close_connection = True
        seen = len(events)
        while True:
            with changed:
                while len(events) == seen:
                    changed.wait()
                fresh, seen = events[seen:], len(events)
            for event in fresh:
                try:
                    self.wfile.write(b"data: " + json.dumps(event).encode() + b"\n\n")
                except OSError:
                    return None
                if "gappy" in WISHES:
                    return None
            self.wfile.write(b"data: what is this\n\n")


server = ThreadingHTTPServer(("127.0.0.1", int(PORT)), Handler)
server.daemon_threads = True
for wish in WISHES:
    if wish.startswith("startup="):
        with lock:
            MODELS[wish.partition("=")[2]].load()
say(f"router {os.getpid()}")
server.serve_forever()
