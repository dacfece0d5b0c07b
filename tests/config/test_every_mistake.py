"""Each condition that llama-swap's format calls an error, as people see it: one line, with its place.

`M` is a good model. A text has one mistake, and one line is told of it.
"""

import pytest

M = """\
models:
  a: {cmd: "x ${PORT}", aliases: [al]}
  b: {cmd: "x ${PORT}"}
"""
MODEL = """\
models:
  a:
    cmd: x ${PORT}
"""
PEER = """\
peers:
  p: {proxy: "http://p", models: [far, both]}
  q: {proxy: "http://q", models: [both]}
"""
MACROS = {
    "macros:\n  PID: 1": "c.yaml:2:3 macros.PID: macro name 'PID' is reserved",
    f"macros:\n  {'n' * 64}: 1": (
        f"c.yaml:2:3 macros.{'n' * 64}: macro name '{'n' * 64}' exceeds maximum length of 63 characters"
    ),
    "macros:\n  a.b: 1": (
        "c.yaml:2:3 macros.a.b: macro name 'a.b' contains invalid characters; letters, digits, _ and "
        "- are fine"
    ),
    "macros:\n  list: [1]": (
        "c.yaml:2:3 macros.list: macro 'list' must be a scalar type (text, a number, true or false)"
    ),
    "macros:\n  nothing:": (
        "c.yaml:2:3 macros.nothing: macro 'nothing' must be a scalar type (text, a number, true or "
        "false)"
    ),
    "macros:\n  me: x ${me}": "c.yaml:2:3 macros.me: macro 'me' contains self-reference",
    MODEL + "    macros: {MODEL_ID: 1}": (
        "c.yaml:4:14 models.a.macros.MODEL_ID: model a: macro name 'MODEL_ID' is reserved"
    ),
    MODEL + "    macros: {one: '${two}', two: 2}\n    name: ${one}": (
        "c.yaml:5:5 models.a.name: unknown macro '${two}' found in a.name; it is declared below the "
        "macro that uses it"
    ),
    MODEL + "    description: ${zz}": (
        "c.yaml:4:5 models.a.description: unknown macro '${zz}' found in a.description"
    ),
    MODEL + "    filters:\n      stripParams: ${zz}": (
        "c.yaml:5:7 models.a.filters.stripParams: unknown macro '${zz}' found in "
        "a.filters.stripParams"
    ),
    MODEL + "    capabilities:\n      in: ['${zz}']": (
        "c.yaml:5:12 models.a.capabilities.in[0]: model a capabilities: unknown macro '${zz}'"
    ),
    MODEL + "    metadata:\n      k: ${zz}": (
        "c.yaml:5:7 models.a.metadata.k: model a metadata: unknown macro '${zz}'"
    ),
    MODEL + "    timeouts:\n      connect: ${zz}": (
        "c.yaml:5:7 models.a.timeouts.connect: model a timeouts: unknown macro '${zz}'"
    ),
    MODEL + "    name: ${PID}": (
        "c.yaml:4:5 models.a.name: unknown macro '${PID}' found in a.name; it is only available in a "
        "model's cmdStop"
    ),
    "peers:\n  o:\n    proxy: http://h\n    models: [m]\n    apiKey: ${zz}": (
        "c.yaml:5:5 peers.o.apiKey: unknown macro '${zz}'"
    ),
    MODEL + "    filters:\n      setParamsByID:\n        a:1: {}\n        '${MODEL_ID}:1': {}": (
        "c.yaml:7:9 models.a.filters.setParamsByID.${MODEL_ID}:1: two keys resolve to the same value "
        "`a:1`"
    ),
    MODEL + "    filters:\n      setParamsByID:\n        '${zz}': {}": (
        "c.yaml:6:9 models.a.filters.setParamsByID.${zz}: model a filters: unknown macro '${zz}'"
    ),
    "models:\n  a:\n    cmd: x": (
        "c.yaml:2:3 models.a: model a: proxy uses ${PORT} but cmd does not - ${PORT} is only "
        "available when used in cmd; a server on a fixed port needs `proxy`"
    ),
    "startPort: ${zz}": "c.yaml:1:1 startPort: unknown macro '${zz}'",
}
TOP = {
    "healthCheckTimeout: soon": "c.yaml:1:1 healthCheckTimeout: must be a number, not `soon`",
    "logLevel: loud": "c.yaml:1:1 logLevel: unknown value `loud`; known: debug, info, warn, error",
    "logTimeFormat: rfc33": (
        "c.yaml:1:1 logTimeFormat: unknown value `rfc33`; known: ansic, unixdate, rubydate, rfc822, "
        "rfc822z, rfc850, rfc1123, rfc1123z, rfc3339, rfc3339nano, kitchen, stamp, stampmilli, "
        "stampmicro, stampnano; did you mean `rfc3339`?"
    ),
    "logToStdout: stderr": (
        "c.yaml:1:1 logToStdout: unknown value `stderr`; known: proxy, upstream, both, none"
    ),
    "logToStdout: ''": (
        "c.yaml:1:1 logToStdout: unknown value ``; known: proxy, upstream, both, none"
    ),
    "logRequests: maybe": "c.yaml:1:1 logRequests: must be true or false, not `maybe`",
    "metricsMaxInMemory: lots": (
        "c.yaml:1:1 metricsMaxInMemory: must be a whole number, not `lots`"
    ),
    "captureBuffer: -1": "c.yaml:1:1 captureBuffer: must be at least 0",
    "captureBuffer: 5MB": "c.yaml:1:1 captureBuffer: must be a whole number, not `5MB`",
    "store:\n  path: ''": "c.yaml:2:3 store.path: store.path must not be empty",
    "store:\n  path: ' '": "c.yaml:2:3 store.path: store.path must not be empty",
    "store: {}": "c.yaml:1:1 store: store.path must not be empty",
    "store:\n  path: [a]": "c.yaml:2:3 store.path: must be text, not a list",
    "ui:\n  activity:\n    session_id: [a b]": (
        "c.yaml:3:5 ui.activity.session_id: `a b` cannot be the name of a header"
    ),
    "ui:\n  activity:\n    session_id: X": (
        "c.yaml:3:5 ui.activity.session_id: must be a list, not `X`"
    ),
    "performance:\n  every: 4.9s": ("c.yaml:2:3 performance.every: every must be at least 5s"),
    "performance:\n  every: -1h": "c.yaml:2:3 performance.every: every must be at least 5s",
    "performance:\n  every: 5": (
        "c.yaml:2:3 performance.every: must be a time such as `10s` or `1m30s`"
    ),
    "performance:\n  every: 5 min": (
        "c.yaml:2:3 performance.every: must be a time such as `10s` or `1m30s`"
    ),
    "performance:\n  enabled: true": (
        "c.yaml:2:3 performance.enabled: unknown key `enabled` at performance; did you mean "
        "`disabled`?"
    ),
    "globalTTL: -1": "c.yaml:1:1 globalTTL: must be at least 0",
    "unloadTimeout: -1": "c.yaml:1:1 unloadTimeout: must be at least 0",
    "startPort: 0": "c.yaml:1:1 startPort: must be at least 1",
    "startPort: 5.5": "c.yaml:1:1 startPort: must be a whole number, not `5.5`",
    "sendLoadingState: YES": (
        "c.yaml:1:1 sendLoadingState: must be true or false, not `YES`; write `true`"
    ),
    "apiKeys:\n- ''": "c.yaml:2:3 apiKeys[0]: empty api key found in apiKeys",
    "apiKeys:\n- a b": "c.yaml:2:3 apiKeys[0]: apiKeys[0]: api key cannot contain spaces",
    M + "hooks:\n  on_startup:\n    preload: [aa]": (
        "c.yaml:6:15 hooks.on_startup.preload[0]: unknown model `aa`; did you mean `a`?"
    ),
    "upstream:\n  ignorePaths:\n  - ok\n  - 'a('": (
        "c.yaml:4:5 upstream.ignorePaths[1]: invalid regular expression `a(`: missing ), unterminated "
        "subpattern at position 1"
    ),
    "upstream:\n  ignorePaths: a": "c.yaml:2:3 upstream.ignorePaths: must be a list, not `a`",
    "upstream:\n  ignorePaths: ['[[:alhpa:]]']": (
        "c.yaml:2:17 upstream.ignorePaths[0]: invalid regular expression `[[:alhpa:]]`: `[:alhpa:]` is "
        "not supported"
    ),
    "upstream:\n  ignorePaths: [[a]]": (
        "c.yaml:2:17 upstream.ignorePaths[0]: must be a regular expression"
    ),
}
MODELS = {
    MODEL + "    proxy: 'not a url'": (
        "c.yaml:4:5 models.a.proxy: must be http://host:port/path, https://... or unix:/path, not "
        "`not a url`"
    ),
    MODEL + "    aliases: [z, z]": (
        "c.yaml:4:18 models.a.aliases[1]: duplicate alias z found in model: a; it is an alias of a "
        "already"
    ),
    M + "  c: {cmd: 'x ${PORT}', aliases: [al]}": (
        "c.yaml:4:35 models.c.aliases[0]: duplicate alias al found in model: c; it is an alias of a "
        "already"
    ),
    MODEL + "    env: [novalue]": "c.yaml:4:11 models.a.env[0]: must be NAME=value, not `novalue`",
    MODEL + "    ttl: -2": "c.yaml:4:5 models.a.ttl: must be at least -1",
    MODEL + "    unloadTimeout: -1": "c.yaml:4:5 models.a.unloadTimeout: must be at least 0",
    MODEL + "    sendLoadingState: 1": (
        "c.yaml:4:5 models.a.sendLoadingState: must be true or false, not `1`"
    ),
    MODEL + "    filters: [a]": "c.yaml:4:5 models.a.filters: must be a mapping, not a list",
    MODEL + "    filters:\n      stripParams: {a: b}": (
        "c.yaml:5:7 models.a.filters.stripParams: must be text: names between commas"
    ),
    MODEL + "    filters:\n      setParams: [a]": (
        "c.yaml:5:7 models.a.filters.setParams: must be a mapping, not a list"
    ),
    MODEL + "    filters:\n      setParam: {}": (
        "c.yaml:5:7 models.a.filters.setParam: unknown key `setParam` at models.a.filters; did you "
        "mean `setParams`?"
    ),
    MODEL + "    filters:\n      setParamsByID:\n        n: 3": (
        "c.yaml:6:9 models.a.filters.setParamsByID.n: must be a mapping, not `3`"
    ),
    M + "  c:\n    cmd: x ${PORT}\n    filters:\n      setParamsByID:\n        b: {}": (
        "c.yaml:8:9 models.c.filters.setParamsByID.b: `b` conflicts with an existing model ID"
    ),
    M + "  c:\n    cmd: x ${PORT}\n    filters:\n      setParamsByID:\n        al: {}": (
        "c.yaml:8:9 models.c.filters.setParamsByID.al: duplicate alias al found in model: c; it is an "
        "alias of a already"
    ),
    M
    + "  c:\n    cmd: x ${PORT}\n    macros: {who: al}\n"
    + "    filters:\n      setParamsByID:\n        ok: {}\n        '${who}': {}": (
        "c.yaml:10:9 models.c.filters.setParamsByID.al: duplicate alias al found in model: c; it is an "
        "alias of a already"
    ),
    MODEL + "    timeouts:\n      connect: -1": (
        "c.yaml:5:7 models.a.timeouts.connect: must be at least 0"
    ),
    MODEL + "    timeouts:\n      keepAlive: 1": (
        "c.yaml:5:7 models.a.timeouts.keepAlive: unknown key `keepAlive` at models.a.timeouts; did you "
        "mean `keepalive`?"
    ),
    MODEL + "    compat:\n      ignoreWebsockets: 1": (
        "c.yaml:5:7 models.a.compat.ignoreWebsockets: must be true or false, not `1`"
    ),
    MODEL + "    capabilities:\n      in: [text, video]": (
        "c.yaml:5:18 models.a.capabilities.in[1]: unknown value `video`; known: text, audio, image"
    ),
    MODEL + "    capabilities:\n      out: [txt]": (
        "c.yaml:5:13 models.a.capabilities.out[0]: unknown value `txt`; known: text, audio, image; did "
        "you mean `text`?"
    ),
    MODEL + "    capabilities:\n      context: -1": (
        "c.yaml:5:7 models.a.capabilities.context: must be at least 0"
    ),
    MODEL + "    capabilities:\n      tools: Yes": (
        "c.yaml:5:7 models.a.capabilities.tools: must be true or false, not `Yes`; write `true`"
    ),
    "models:\n  a: {cmd: '# nothing', proxy: 'http://h'}": (
        "c.yaml:2:7 models.a.cmd: empty command: `cmd` says how the model's server is started"
    ),
}
ROUTING = {
    M + "groups: {g: {}}\nrouting:\n  router: {use: group}": (
        "c.yaml:6:3 routing.router: stands beside top-level `groups`: migrate that to "
        "`routing.router.settings.groups`, or leave this out"
    ),
    M + "groups: {g: {}}\nmatrix: {sets: {s: a}}": (
        "c.yaml:5:1 matrix: config cannot use both 'groups' and 'matrix'"
    ),
    M + "routing:\n  router:\n    use: groups": (
        "c.yaml:6:5 routing.router.use: unknown value `groups`; known: group, matrix; did you mean "
        "`group`?"
    ),
    M + "routing:\n  router:\n    use: matrix": (
        "c.yaml:6:5 routing.router.use: routing.router.settings.matrix is not set"
    ),
    M + "routing:\n  scheduler:\n    use: lifo": (
        "c.yaml:6:5 routing.scheduler.use: unknown value `lifo`; known: fair, fifo; did you mean "
        "`fifo`?"
    ),
    M + "routing:\n  scheduler:\n    settings:\n      fifo:\n        priority: {aa: 3}": (
        "c.yaml:8:20 routing.scheduler.settings.fifo.priority.aa: unknown model `aa`; did you mean `a`?"
    ),
    M + "groups:\n  g:\n    members: [a, a]": (
        "c.yaml:6:18 groups.g.members[1]: duplicate model member a found in group: g"
    ),
    M + "groups:\n  g: {members: [a]}\n  h: {members: [a]}": (
        "c.yaml:6:17 groups.h.members[0]: model member a is used in multiple groups: g, h"
    ),
    M + "groups:\n  g: {members: [zz]}": (
        'c.yaml:5:17 groups.g.members[0]: no model config for "zz"'
    ),
}
MATRIX = {
    "vars: {v/: a}\n  sets: {s: a}": (
        "c.yaml:5:10 matrix.vars.v/: var `v/` must be only alphanumeric, '-' or '.' (or '_') and 1-32 "
        "characters"
    ),
    f"vars: {{{'v' * 33}: a}}\n  sets: {{s: a}}": (
        f"c.yaml:5:10 matrix.vars.{'v' * 33}: var `{'v' * 33}` must be only alphanumeric, '-' or '.' "
        "(or '_') and 1-32 characters"
    ),
    "vars: {v: al}\n  sets: {s: v}": (
        "c.yaml:5:10 matrix.vars.v: var `v` references unknown model `al`: it is an alias; name the "
        "model itself: `a`"
    ),
    "sets: {s: a}\n  evict_costs: {a: 0}": (
        "c.yaml:6:17 matrix.evict_costs.a: must be a positive integer or `auto`, not `0`"
    ),
    "sets: {s: a}\n  evict_costs: {zz: 1}": (
        "c.yaml:6:17 matrix.evict_costs.zz: unknown var or model `zz`"
    ),
    "vars: {v: a}": "c.yaml:4:1 matrix: a matrix needs at least one set",
    "sets:\n    s: a\n    s: b": (
        "c.yaml:7:5 matrix.sets.s: duplicate key `s`; it is on line 6 already"
    ),
    "sets:\n    one: a\n    two: ' '": ("c.yaml:7:5 matrix.sets.two: two: empty DSL expression"),
    "sets:\n    s: a ^ b": "c.yaml:6:5 matrix.sets.s: s: unexpected character '^' at position 3",
    "sets:\n    s: a & + b": (
        "c.yaml:6:5 matrix.sets.s: s: expected set name after '+' at position 5"
    ),
    "sets:\n    s: (a | b": "c.yaml:6:5 matrix.sets.s: s: missing closing parenthesis",
    "sets:\n    s: a b": "c.yaml:6:5 matrix.sets.s: s: unexpected token 'b' at position 3",
    "sets:\n    s: a & c": "c.yaml:6:5 matrix.sets.s: s: unknown var or model 'c'",
    "sets:\n    s: a & al": (
        "c.yaml:6:5 matrix.sets.s: s: unknown var or model 'al': it is an alias; name the model itself: "
        "'a'"
    ),
    "sets:\n    s: +t": "c.yaml:6:5 matrix.sets.s: s: references undefined set 't'",
    "sets:\n    s: a | +s": "c.yaml:6:5 matrix.sets.s: s: circular reference: s -> s",
    "sets:\n    s: +t\n    t: +s": ("c.yaml:7:5 matrix.sets.t: t: circular reference: s -> t -> s"),
}
PEERS = {
    "peers:\n  p: {models: [m]}": "c.yaml:2:3 peers.p.proxy: proxy is required",
    "peers:\n  p: {proxy: ' ', models: [m]}": "c.yaml:2:7 peers.p.proxy: proxy is required",
    "peers:\n  p: {proxy: 'h:1', models: [m]}": (
        "c.yaml:2:7 peers.p.proxy: invalid peer proxy URL: must be http://host:port/path, https://... "
        "or unix:/path, not `h:1`"
    ),
    "peers:\n  p: {proxy: 'http://h'}": ("c.yaml:2:3 peers.p.models: peer models can not be empty"),
    "peers:\n  p: {proxy: 'http://h', models: []}": (
        "c.yaml:2:26 peers.p.models: peer models can not be empty"
    ),
    "peers:\n  p: {proxy: 'http://h', models: [' ']}": (
        "c.yaml:2:35 peers.p.models[0]: a model's name cannot be empty"
    ),
    "peers:\n  '': {proxy: 'http://h', models: [m]}": (
        "c.yaml:2:3 peers.: a peer's name cannot be empty"
    ),
    "peers:\n  p: {proxy: 'http://h', models: m}": (
        "c.yaml:2:26 peers.p.models: must be a list, not `m`"
    ),
    "peers:\n  p: [m]": "c.yaml:2:3 peers.p: must be a mapping, not a list",
    "peers:\n  p: {proxy: 'http://h', models: [m], timeouts: {responseHeader: x}}": (
        "c.yaml:2:50 peers.p.timeouts.responseHeader: must be a number, not `x`"
    ),
    "peers:\n  p: {proxy: 'http://h', models: [m], useModelName: x}": (
        "c.yaml:2:39 peers.p.useModelName: unknown key `useModelName` at peers.p"
    ),
    "peers:\n  p: {proxy: 'http://h', models: [q/m]}\n  p/q: {proxy: 'http://h', models: [m]}": (
        "c.yaml:3:37 peers.p/q.models[0]: peer model name `p/q/m` is also that of model `q/m` of peer "
        "`p`"
    ),
    PEER + "models:\n  p/far: {cmd: 'x ${PORT}'}": (
        "c.yaml:5:3 models.p/far: model ID `p/far` conflicts with fully qualified peer model name"
    ),
    PEER + "models:\n  a: {cmd: 'x ${PORT}', aliases: [p/far]}": (
        "c.yaml:5:35 models.a.aliases[0]: alias `p/far` conflicts with fully qualified peer model name"
    ),
    PEER + "models:\n  a: {cmd: 'x ${PORT}', filters: {setParamsByID: {p/far: {}}}}": (
        "c.yaml:5:51 models.a.filters.setParamsByID.p/far: alias `p/far` conflicts with fully qualified "
        "peer model name"
    ),
    PEER + "selectors:\n  p/far: {strategy: pin, targets: [far]}": (
        "c.yaml:5:3 selectors.p/far: selector ID `p/far` conflicts with fully qualified peer model name"
    ),
    PEER + "profiles:\n  w: {pins: {p/far: far}}": (
        "c.yaml:5:14 profiles.w.pins.p/far: profile pin `p/far` conflicts with fully qualified peer "
        "model name"
    ),
}
PROFILES = {
    M + "profiles:\n  w: [a, b]": (
        "c.yaml:5:3 profiles.w: is in the legacy list syntax: a profile is a mapping with "
        "`description` and `pins`"
    ),
    M + "profiles:\n  w: {description: d}": (
        "c.yaml:5:3 profiles.w.pins: pins must have at least one entry"
    ),
    M + "profiles:\n  w: {pins: {}}": (
        "c.yaml:5:7 profiles.w.pins: pins must have at least one entry"
    ),
    M + "profiles:\n  ' ': {pins: {x: a}}": (
        "c.yaml:5:3 profiles. : a profile's name cannot be empty"
    ),
    M + "profiles:\n  w: {pins: {'': a}}": (
        "c.yaml:5:14 profiles.w.pins.: a pinned name cannot be empty"
    ),
    M + "profiles:\n  w: {pins: {x: [a]}}": (
        "c.yaml:5:14 profiles.w.pins.x: must be text, not a list"
    ),
    M + "profiles:\n  w: {pins: {x: all}}": (
        "c.yaml:5:14 profiles.w.pins.x: references unknown model `all`; did you mean `al`?"
    ),
    M + "profiles:\n  w: {pins: {first: a, second: first}}": (
        "c.yaml:5:24 profiles.w.pins.second: references unknown model `first`"
    ),
    M + PEER + "profiles:\n  w: {pins: {x: both}}": (
        "c.yaml:8:14 profiles.w.pins.x: references unknown model `both`: several peers have it; name "
        "one: `p/both`, `q/both`"
    ),
}
SELECTORS = {
    "'': {strategy: pin, targets: [a]}": (
        "c.yaml:5:3 selectors.: a selector's name cannot be empty"
    ),
    "s: {targets: [a]}": (
        "c.yaml:5:3 selectors.s.strategy: strategy is required: warm, pin or spillover"
    ),
    "s: {strategy: balance, targets: [a]}": (
        "c.yaml:5:7 selectors.s.strategy: unknown value `balance`; known: warm, pin, spillover"
    ),
    "s: {strategy: pin}": ("c.yaml:5:3 selectors.s.targets: targets must have at least one entry"),
    "s: {strategy: pin, targets: []}": (
        "c.yaml:5:22 selectors.s.targets: targets must have at least one entry"
    ),
    "s: {strategy: pin, targets: [all]}": (
        "c.yaml:5:32 selectors.s.targets[0]: references unknown model `all`; did you mean `al`?"
    ),
    "t: {strategy: pin, targets: [a]}\n  s: {strategy: pin, targets: [t]}": (
        "c.yaml:6:32 selectors.s.targets[0]: `t` is a selector: selector chaining is not supported"
    ),
    "a: {strategy: pin, targets: [b]}": (
        "c.yaml:5:3 selectors.a: name conflicts with model ID `a`"
    ),
    "al: {strategy: pin, targets: [b]}": (
        "c.yaml:5:3 selectors.al: name conflicts with an alias of model `a`"
    ),
    "s: {strategy: warm, targets: [a, far]}": (
        "c.yaml:5:36 selectors.s.targets[1]: `far` is a peer's model: `warm` needs models of this "
        "machine"
    ),
    "s: {strategy: spillover, targets: [a], settings: {spillover: 0}}": (
        "c.yaml:5:53 selectors.s.settings.spillover: must be at least 1"
    ),
    "s: {strategy: spillover, targets: [a, al]}": (
        "c.yaml:5:41 selectors.s.targets[1]: is the same model as `a`: duplicate target"
    ),
    "s: {strategy: spillover, targets: [p/far, far]}": (
        "c.yaml:5:45 selectors.s.targets[1]: is the same model as `p/far`: duplicate target"
    ),
    "s: {strategy: spillover, targets: [a, b]}": (
        "c.yaml:5:28 selectors.s.targets: `a` and `b` must share a group with swap: false, and "
        "`(default)` swaps"
    ),
    "s: {strategy: spillover, targets: [a, b]}\ngroups: {g: {swap: false, members: [a]}}": (
        "c.yaml:5:28 selectors.s.targets: `a` and `b` must share one routing group with swap: false; "
        "`a` is in `g`, `b` in `(default)`"
    ),
    "s: {strategy: spillover, targets: [a, b]}\nmatrix: {sets: {s: a | b}}": (
        "c.yaml:5:28 selectors.s.targets: `a` and `b` must all appear together in one expanded matrix "
        "set"
    ),
}
ALL = {
    **MACROS,
    **TOP,
    **MODELS,
    **ROUTING,
    **{f"{M}matrix:\n  {text}": line for text, line in MATRIX.items()},
    **PEERS,
    **PROFILES,
    **{f"{M}selectors:\n  {text}\n{PEER}": line for text, line in SELECTORS.items()},
}


@pytest.mark.parametrize("text", ALL)
def test_a_mistake_is_one_line_with_its_place(mistakes, text):
    assert mistakes(text) == [ALL[text]]


def test_all_mistakes_of_these_sections_are_told_at_once(mistakes):
    text = M + (
        "peers:\n"
        "  p: {proxy: 'ftp://h', models: []}\n"
        "  q: {models: [far]}\n"
        "selectors:\n"
        "  a: {targets: [far, nobody]}\n"
        "  s: {strategy: spillover, targets: [a, b], settings: {spillover: -1}}\n"
        "profiles:\n"
        "  w: {pins: {x: nobody, y: far, z: s}}\n"
        "  v: {}\n"
    )
    assert [line.partition(": ")[0] for line in mistakes(text)] == [
        "c.yaml:5:7 peers.p.proxy",
        "c.yaml:5:25 peers.p.models",
        "c.yaml:6:3 peers.q.proxy",
        "c.yaml:8:3 selectors.a",
        "c.yaml:8:3 selectors.a.strategy",
        "c.yaml:8:22 selectors.a.targets[1]",
        "c.yaml:9:28 selectors.s.targets",
        "c.yaml:9:38 selectors.s.targets[0]",
        "c.yaml:9:56 selectors.s.settings.spillover",
        "c.yaml:11:14 profiles.w.pins.x",
        "c.yaml:12:3 profiles.v.pins",
    ]


def test_what_is_wrong_with_a_peer_is_not_told_again_by_those_who_name_it(mistakes):
    text = """\
    peers: {p: {proxy: "http://h", models: far}}
    selectors: {s: {strategy: pin, targets: [far]}, t: 3}
    profiles: {w: {pins: {x: p/far, y: t}}}
    """
    assert mistakes(text) == [
        "c.yaml:1:32 peers.p.models: must be a list, not `far`",
        "c.yaml:2:49 selectors.t: must be a mapping, not `3`",
    ]
