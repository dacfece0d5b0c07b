"""What the filters of a configuration make of requests, against the same in plain Python; whole, in pieces and byte by byte."""

import copy
import json
from contextlib import suppress
from urllib.parse import parse_qsl, urlencode

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.config.relaying import Filters
from corral.dialects.body import JSON, URLENCODED, layout, read
from corral.dialects.changes import INSIDE_LIMIT, Changes, Scan
from corral.dialects.filters import Rewrite
from corral.dialects.paths import parse
from corral.errors import InvalidRequest
from corral.wire.splice import Splice, growth


def rewrite(model="", strip=(), put=None, by_id=None):
    filters = Filters.model_construct(
        strip_params=tuple(sorted(strip)), set_params=put or {}, set_params_by_id=by_id or {}
    )
    return Rewrite(filters, model)


def in_pieces(changes, body, how=JSON, size=1):
    """The body with the changes, scanned and then sent in pieces."""
    pieces = [body[at : at + size] for at in range(0, len(body), size)] or [b""]
    scan = Scan(changes, how)
    for piece in pieces:
        scan.feed(piece)
    scan.end()
    edits = scan.edits()
    splicer = Splice(edits)
    changed = b"".join(map(splicer.feed, pieces))
    assert len(changed) == len(body) + growth(edits)
    return changed


# --- which changes ---


def test_nothing_to_do_is_none():
    assert rewrite().changes("a") is None
    assert rewrite(by_id={"b": {"x": 1}}).changes("a") is None
    assert rewrite(strip=["model"], put={"model": 1, "model.x": 2}).changes("a") is None


def test_a_name_that_a_selector_chose_is_told_unless_the_configuration_says_another():
    assert rewrite().changes("b", model="b") == Changes("b")
    assert rewrite("real").changes("b", model="b") == Changes("real")
    assert rewrite(strip=["x"]).changes("b", model="b") == Changes("b", {"x": None})


@pytest.mark.parametrize(
    ("options", "name", "before", "after"),
    [
        ({"model": "real"}, "a", {"model": "a", "x": 1}, {"model": "real", "x": 1}),
        ({"strip": ["x", "y"]}, "a", {"model": "a", "x": 1, "z": 2}, {"model": "a", "z": 2}),
        ({"put": {"x": 1, "n": None}}, "a", {"x": [2]}, {"x": 1, "n": None}),
        # what is set counts more than what is taken out, and what is set for the name most
        ({"strip": ["x"], "put": {"x": 1}}, "a", {"x": 5}, {"x": 1}),
        (
            {"put": {"x": 1, "y": 1}, "by_id": {"hot": {"x": 2}}},
            "hot",
            {"model": "hot"},
            {"model": "hot", "x": 2, "y": 1},
        ),
        ({"put": {"x": 1}, "by_id": {"hot": {"x": 2}}}, "a", {}, {"x": 1}),
        # the model's name is nobody's but useModelName's
        (
            {
                "strip": ["model"],
                "put": {"model": "no", "model.x": 1},
                "by_id": {"a": {"model": 1}},
            },
            "a",
            {"model": "a"},
            {"model": "a"},
        ),
        # inside of fields
        (
            {"put": {"kwargs.thinking": False}},
            "a",
            {"kwargs": {"thinking": True, "x": 1}},
            {"kwargs": {"thinking": False, "x": 1}},
        ),
        ({"put": {"kwargs.thinking": False}}, "a", {}, {"kwargs": {"thinking": False}}),
        ({"put": {"kwargs.thinking": False}}, "a", {"kwargs": 5}, {"kwargs": {"thinking": False}}),
        ({"strip": ["o.x"]}, "a", {"o": {"x": 1, "y": 2}}, {"o": {"y": 2}}),
        ({"strip": ["o.x"]}, "a", {"o": 1}, {"o": 1}),
        ({"strip": ["o.x"]}, "a", {}, {}),
        ({"strip": ["stop.0"]}, "a", {"stop": [1, 2]}, {"stop": [2]}),
        ({"put": {"stop.-1": "x"}}, "a", {"stop": ["y"]}, {"stop": ["y", "x"]}),
        ({"put": {r"a\.b": 1}}, "a", {"a": {"b": 2}}, {"a": {"b": 2}, "a.b": 1}),
        ({"put": {"0": 1}}, "a", {}, {"0": 1}),
        # the whole of a field, then its inside
        ({"strip": ["o"], "put": {"o.x": 1}}, "a", {"o": {"y": 2}}, {"o": {"x": 1}}),
        ({"put": {"o": {"y": 1}, "o.x": 2}}, "a", {"o": {"z": 3}}, {"o": {"y": 1, "x": 2}}),
        ({"put": {"o.x": 2}, "by_id": {"a": {"o": 3}}}, "a", {"o": {"z": 3}}, {"o": 3}),
    ],
)
def test_what_becomes_of_a_body(options, name, before, after):
    body = json.dumps(before).encode()
    changes = rewrite(**options).changes(name)
    done = changes.apply(body) if changes else body
    assert json.loads(done) == after
    if changes:
        for size in (1, 3, 1000):
            assert json.loads(in_pieces(changes, body, size=size)) == after


def test_values_of_any_kind_are_set():
    value = {"a": [1, 2.5, None, True, "ü\n"], "big": 2**70, "é": {}}
    done = rewrite(put={"x": value}).changes("a").apply(b"{}")
    assert json.loads(done) == {"x": value}


def test_what_changes_within_a_whole_that_is_known_is_known_once_and_for_all():
    changes = rewrite(strip=["o"], put={"o.x": 1, "p": {"y": [0]}, "p.y.0": 2}).changes("a")
    assert changes.fixed == {"o": b'{"x":1}', "p": b'{"y":[2]}'}
    assert not changes.inside


def test_filters_that_fit_no_body_say_so_with_the_first_request():
    changes = rewrite(put={"o": [1], "o.x": 2}).changes("a")
    for attempt in (changes.apply, lambda body: in_pieces(changes, body)):
        with pytest.raises(InvalidRequest, match="`x` of what is a list"):
            attempt(b'{"o":{}}')


def test_a_field_given_twice_is_changed_as_a_whole():
    body = b'{"x":1,"y":2,"x":3,"o":{"a":1},"o":{"b":1}}'
    changes = rewrite(strip=["x"], put={"o.c": 1}).changes("a")
    for done in (changes.apply(body), in_pieces(changes, body)):
        assert json.loads(done) == {"y": 2, "o": {"b": 1, "c": 1}}
        assert b'"x"' not in done
    assert rewrite("m").changes("a").apply(b'{"model":"a","model":"b"}') == b'{"model":"m"}'


# --- against plain Python ---

NAMES = st.sampled_from(["model", "stream", "x", "y", "o", "o.x", "messages", 'q"uote', "ünï"])
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.sampled_from(['"x": 1', '{"x":1}', "\\", '\\"', "}", ","]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
PATHS = st.sampled_from(
    ["x", "y", "o", "o.x", "o.x.y", r"o\.x", "messages", "messages.0", "model", "new", 'q"uote']
)
FILTERS = st.fixed_dictionaries(
    {
        "model": st.sampled_from(["", "real/näme"]),
        "strip": st.sets(PATHS, max_size=3),
        "put": st.dictionaries(PATHS, VALUES, max_size=3),
        "by_id": st.dictionaries(
            st.sampled_from(["a", "b"]), st.dictionaries(PATHS, VALUES, max_size=2), max_size=2
        ),
    }
)


def plainly(body, options, name):
    """The same in plain Python; only objects and lists that are there, as in the reference of `test_paths.py`."""
    body = copy.deepcopy(body)
    if options["model"]:
        body["model"] = options["model"]
    steps = [(path, None, True) for path in sorted(options["strip"])]
    for params in (options["put"], options["by_id"].get(name, {})):
        steps += [(path, params[path], False) for path in sorted(params)]
    for path, value, gone in steps:
        first, *rest = [step.name for step in parse(path)]
        if first != "model":
            _change(body, first, rest, value, gone=gone)
    return body


def _change(inside, first, rest, value, *, gone):
    key = _key(inside, first, grow=not gone)
    if key is None:
        return
    old = inside[key] if isinstance(inside, list) else inside.get(key)
    if rest and (isinstance(old, dict | list) or not gone):
        if not isinstance(old, dict | list):
            old = inside[key] = [] if rest[0].isdigit() else {}
        _change(old, rest[0], rest[1:], value, gone=gone)
    elif gone and not rest:
        del inside[key]
    elif not gone:
        inside[key] = copy.deepcopy(value)


def _key(inside, name, *, grow):
    """The index or name; None: nothing is there, nor is it to be made."""
    if isinstance(inside, dict):
        return name if grow or name in inside else None
    if grow and not name.isdigit():
        raise InvalidRequest("a list has no names")
    if grow:
        inside.extend([None] * (int(name) + 1 - len(inside)))
    return int(name) if name.isdigit() and int(name) < len(inside) else None


@given(
    st.dictionaries(NAMES, VALUES, max_size=6),
    FILTERS,
    st.sampled_from(["a", "c"]),
    st.sampled_from([None, 1]),
    st.integers(1, 60),
    st.booleans(),
)
def test_the_same_as_in_plain_python(body, options, name, indent, size, ascii_only):
    text = json.dumps(body, indent=indent, ensure_ascii=ascii_only).encode()
    changes = rewrite(**options).changes(name) or Changes()
    try:
        expected = plainly(body, options, name)
    except InvalidRequest:
        for attempt in (changes.apply, lambda text: in_pieces(changes, text, size=size)):
            with pytest.raises(InvalidRequest):
                attempt(text)
        return
    assert json.loads(changes.apply(text)) == expected
    assert json.loads(in_pieces(changes, text, size=size)) == expected


@given(st.dictionaries(NAMES, VALUES, max_size=6), FILTERS, st.integers(1, 60))
def test_what_no_filter_names_keeps_its_bytes(body, options, size):
    members = {name: json.dumps(value, indent=1).encode() for name, value in body.items()}
    inside = b" ,\n".join(json.dumps(name).encode() + b" :\t" + members[name] for name in members)
    text = b" {\n " + inside + b"\n} "
    changes = rewrite(**options).changes("a") or Changes()
    touched = {*changes.members, *changes.inside}
    with suppress(InvalidRequest):
        for done in (changes.apply(text), in_pieces(changes, text, size=size)):
            assert all(raw in done for name, raw in members.items() if name not in touched)


def test_a_body_that_needs_no_change_is_the_same_object():
    body = b'{ "model" : "a" }'
    changes = rewrite(strip=["x", "o.x"]).changes("a")
    assert changes.apply(body) is body
    scan = Scan(changes)
    scan.feed(body)
    scan.end()
    assert scan.edits() == []


@pytest.mark.parametrize("size", [1, 2, 3, 100])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"{}", b'{"new":1}'),
        (b"{ }", b'{"new":1 }'),
        (b'{"x":0}', b'{"new":1}'),
        (b'{ "x" : 0 }', b'{"new":1}'),
        (b'{"x":0,"x":[1,{}],"y":""}', b'{"new":1}'),
        (b'{"a":0}', b'{"new":1,"a":0}'),
        (b'{"x":0,"a":0}', b'{"new":1,"a":0}'),
        (b'{"a":0,"x":0}', b'{"new":1,"a":0}'),
        (b'{"a":0,"x":0,"y":0}', b'{"new":1,"a":0}'),
        (b'{"x":0,"a":0,"y":0,"b":0,"x":0}', b'{"new":1,"a":0,"b":0}'),
        (b'{"a":0, "x":0 , "b":0 , "y":0 }', b'{"new":1,"a":0, "b":0  }'),
    ],
)
def test_commas_in_a_body_that_comes_in_pieces(before, after, size):
    changes = rewrite(strip=["x", "y"], put={"new": 1}).changes("a")
    done = in_pieces(changes, before, size=size)
    assert json.loads(done) == json.loads(after)
    assert done.replace(b" ", b"") == after.replace(b" ", b"")
    without = in_pieces(rewrite(strip=["x", "y"]).changes("a"), before, size=size)
    assert json.loads(without) == {
        name: value for name, value in json.loads(after).items() if name != "new"
    }


def test_a_member_in_pieces_of_which_something_changes_is_bounded():
    long = b'{"o":{"x":"' + b"a" * INSIDE_LIMIT + b'"}}'
    with pytest.raises(InvalidRequest, match=f"more than {INSIDE_LIMIT} bytes"):
        in_pieces(rewrite(put={"o.y": 1}).changes("a"), long, size=65536)
    done = in_pieces(rewrite(put={"o": 1}).changes("a"), long, size=65536)
    assert done == b'{"o":1}'


# --- what is no JSON, and forms ---


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"null", b"{", b'{"a":1,}', b'{"a":1} x', b"model=a", b'{"x":' + b"[" * 10_000],
)
def test_broken_json_is_said_so(body):
    changes = rewrite("m", strip=["x"], put={"o.y": 1}).changes("a")
    for attempt in (changes.apply, lambda body: in_pieces(changes, body)):
        with pytest.raises(InvalidRequest) as caught:
            attempt(body)
        assert "\n" not in caught.value.message


@pytest.mark.parametrize("value", [b"{", b"{nonsense}", b"[1,]", b'{"a":\xff}', b"[" * 3000])
def test_a_broken_field_of_which_something_changes_is_said_so(value):
    changes = rewrite(put={"o.y": 1}, strip=["o.0"]).changes("a")
    for attempt in (changes.apply, lambda body: in_pieces(changes, body)):
        with pytest.raises(InvalidRequest):
            attempt(b'{"o":' + value + b"}")


@given(st.binary(max_size=40) | st.text('{}[]",:\\o.xmodel tru0', max_size=40).map(str.encode))
def test_nothing_but_invalid_request_is_raised(body):
    changes = rewrite("m", strip=["x"], put={"o.y": 1, "t": 2}).changes("a")
    for how in (JSON, URLENCODED):
        for attempt in (changes.apply, lambda body, how: in_pieces(changes, body, how, 3)):
            with suppress(InvalidRequest):
                attempt(body, how)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).filter(str.strip)


@given(
    st.lists(st.tuples(st.sampled_from(["x", "file", "prompt"]), TEXTS), max_size=4), TEXTS, TEXTS
)
def test_only_the_name_changes_in_an_urlencoded_form(others, old, new):
    body = urlencode([*others, ("model", old), *others]).encode()
    changes = rewrite(new, strip=["x"], put={"prompt": 1}).changes("a")
    done = changes.apply(body, URLENCODED)
    assert done == in_pieces(changes, body, URLENCODED, 2)
    assert parse_qsl(done.decode()) == [*others, ("model", new), *others]
    around = urlencode(others).encode()
    assert done.startswith(around)
    assert done.endswith(around)


@pytest.mark.parametrize("query", [b"", b"autoload=false", b"a=%2F&b"])
def test_a_form_without_a_name_gets_one(query):
    done = rewrite("né w").changes("a").apply(query, URLENCODED)
    assert done.endswith(query)
    assert read(done, URLENCODED).model == "né w"
    changes = rewrite(put={"x": 1}).changes("a")
    assert changes.apply(query, URLENCODED) == query


def upload(data, file):
    request = httpx.Request("POST", "http://x/", data=data, files={"file": ("a.wav", file)})
    return request.read(), layout("form", request.headers["content-type"])


FILES = st.binary(max_size=200) | st.just(b'\r\n--x\r\nname="model"\r\n\r\nfake\r\n')


@given(FILES, TEXTS, TEXTS, st.integers(1, 90))
def test_only_the_name_changes_in_an_upload(file, old, new, size):
    old, new = (text.replace("\r", "") or "a" for text in (old, new))
    body, how = upload({"model": old, "stream": "true"}, file)
    changes = rewrite(new, put={"stream": False}).changes("a")
    done = changes.apply(body, how)
    assert done == in_pieces(changes, body, how, size)
    name = b'name="model"\r\n\r\n%b\r\n'
    assert done == body.replace(name % old.encode(), name % new.encode(), 1)


def test_an_upload_without_a_name_gets_one():
    body, how = upload({"language": "de"}, b"sound")
    done = rewrite("whisper").changes("a").apply(body, how)
    assert done.endswith(body)
    assert read(done, how).model == "whisper"
    assert rewrite(strip=["language"]).changes("a").apply(body, how) == body
