"""Wrong values, and right ones changed, from random numbers that are given, so that each can be repeated."""

import io
import json
import zipfile

ODD = (
    *(
        None,
        True,
        False,
        0,
        -1,
        1,
        2**31,
        2**64,
        10**300,
        -(10**18),
        0.5,
        float("inf"),
        float("-inf"),
        float("nan"),
        1e308,
    ),
    *(
        "",
        " ",
        "0",
        "-1",
        "inf",
        "1e9999",
        "\0",
        "\n",
        "../../etc/passwd",
        "/etc/passwd",
        "file:///etc/passwd",
        "~",
        "~x",
    ),
    *(
        "os.system",
        "builtins.eval",
        "posix.system",
        "__import__('os').system('id')",
        "${HOME}",
        "$(id)",
        "{0.__class__}",
    ),
    *(
        "é",
        "\u202e",
        "\ud800",
        "a" * 10_000,
        "http://127.0.0.1:1/",
        "redis://u:p@h:99999/x",
        "%00",
        "-",
        "--",
        "--help",
    ),
)


def odd(random, depth=3):
    """Any value that JSON could hold, or nearly."""
    kind = random.randrange(8)
    if depth and kind == 0:
        return [odd(random, depth - 1) for _ in range(random.randrange(4))]
    if depth and kind == 1:
        return {str(odd(random, 0)): odd(random, depth - 1) for _ in range(random.randrange(4))}
    if kind == 2:
        return text(random)
    if kind == 3:
        return random.randrange(-(2**70), 2**70)
    return random.choice(ODD)


def text(random, most=40):
    return "".join(
        chr(random.choice((random.randrange(32, 127), random.randrange(0xD7FF)))) for _ in range(random.randrange(most))
    )


def noise(random, most=200):
    return bytes(random.randrange(256) for _ in range(random.randrange(most)))


def flipped(random, data):
    """The bytes with some changed, cut off, doubled, or replaced as a whole."""
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 8))):
        at = random.randrange(len(changed)) if changed else 0
        kind = random.randrange(6)
        if kind <= 2 and changed:
            changed[at] ^= 1 << random.randrange(8)
        elif kind == 3:
            del changed[at : at + random.choice((1, 4, 100, len(changed)))]
        elif kind == 4:
            changed[at:at] = changed[at : at + random.randrange(100)]
        else:
            changed[at:at] = noise(random, 20)
    return bytes(changed)


def places(document, path=()):
    """The paths to all values within."""
    items = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


def swapped(random, document):
    """The document (a copy) with nodes replaced by odd values, by each other, or missing."""
    document = json.loads(json.dumps(document))
    for _ in range(random.choice((1, 1, 2, 5))):
        found = list(places(document))
        if not found:
            break
        *path, last = random.choice(found)
        node = _at(document, path)
        kind = random.randrange(4)
        if kind == 0:
            del node[last]
        elif kind == 1:
            node[last] = json.loads(json.dumps(_at(document, random.choice(found))))
        else:
            node[last] = odd(random)
    return document


def _at(document, path):
    for step in path:
        document = document[step]
    return document


def rezipped(random, members):
    """An archive of the members with the schema's nodes swapped, entries changed, doubled, renamed or left out."""
    file = io.BytesIO()
    kind = random.randrange(5)
    with zipfile.ZipFile(file, "w", random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for name, content in members.items():
            wanted, held = name, content
            if name == "schema.json" and kind <= 2:
                held = json.dumps(swapped(random, json.loads(content)))
            elif kind == 3 and random.random() < 0.5:
                held = flipped(random, content)
            elif kind == 4:
                wanted = random.choice((name, *members, "../up", "/etc/passwd"))
            archive.writestr(wanted, held)
    return file.getvalue()
