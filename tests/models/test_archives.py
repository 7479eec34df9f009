"""What unpacks to more than it may is refused before skops sees it, and so is what is not what it says."""

import io
import json
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
import scipy.sparse
import skops.io
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import FunctionTransformer

from inferq_core.errors import ArtifactRejected
from inferq_models.archives import check_archive
from inferq_models.formats import Format, open_artifact, unapproved_types

MIB = 1 << 20
X, Y = load_iris(return_X_y=True)
HONEST = skops.io.dumps(LogisticRegression(max_iter=500).fit(X, Y))


def entries(data=HONEST):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(members, compression=zipfile.ZIP_DEFLATED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return file.getvalue()


def with_entry(name, content, compression=zipfile.ZIP_DEFLATED):
    return packed([*entries().items(), (name, content)], compression)


def array(values):
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def claiming(shape):
    """An array's file whose header asks for more than it holds."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": shape})
    return file.getvalue() + b"\0" * 64


def padded_schema():
    members = entries()
    members["schema.json"] = members["schema.json"] + b" " * 40 * MIB
    return packed(members.items())


def lying_about_sizes():
    """The directory and the header say 100 bytes of what inflates to 40 MiB."""
    data = bytearray(with_entry("bomb", b"\0" * 40 * MIB))
    for at in range(len(data) - 4):
        if data[at : at + 4] == struct.pack("<L", 40 * MIB):
            data[at : at + 4] = struct.pack("<L", 100)
    return bytes(data)


def repeated():
    """One array of 1 MiB that forty nodes of the schema name."""
    members = entries()
    schema = json.loads(members["schema.json"])
    schema["padding"] = [{"file": "big.npy", "__id__": number} for number in range(40)]
    members["schema.json"] = json.dumps(schema).encode()
    members["big.npy"] = array(np.zeros(MIB, np.uint8))
    return packed(members.items())


BOMBS = {
    "an entry that nothing uses": with_entry("padding", b"\0" * 40 * MIB),
    "an array": with_entry("big.npy", array(np.zeros(40 * MIB, np.uint8))),
    "a padded schema": padded_schema(),
    "an archive in the archive": with_entry("matrix.npz", packed([("data.npy", array(np.zeros(40 * MIB, np.uint8)))])),
    "many entries": packed([*entries().items(), *((f"{number}", b"\0" * MIB) for number in range(40))]),
    "one array named often": repeated(),
}
FORGERIES = {
    "sizes that lie": (lying_about_sizes(), "cannot be read"),
    "bzip2": (with_entry("bomb", b"\0" * 40 * MIB, zipfile.ZIP_BZIP2), "more than|never uses"),
    "a small entry in LZMA": (with_entry("bomb", b"\0", zipfile.ZIP_LZMA), "never uses"),
    "an array that claims a terabyte": (with_entry("a.npy", claiming((1 << 37,))), "damaged or crafted"),
    "such an array under another name": (with_entry("harmless", claiming((1 << 37,))), "damaged or crafted"),
    "an array of objects": (with_entry("a.npy", array(np.array([1, "a"], dtype=object))), "damaged or crafted"),
    "no zip": (b"PK\x03\x04 and nothing", "not in skops format"),
    "no schema": (packed([("a", b"")]), "not in skops format"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_without_its_memory(name):
    tracemalloc.start()
    try:
        with pytest.raises(ArtifactRejected, match=r"unpacks to more than 16,777,216 bytes.*INFERQ_MAX_ARTIFACT_BYTES"):
            open_artifact(BOMBS[name], Format.SKOPS, (), trust_pickle=False, max_bytes=16 * MIB)
        assert tracemalloc.get_traced_memory()[1] < 16 * MIB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_before_its_types_are_listed(name):
    with pytest.raises(ArtifactRejected, match="unpacks to more than"):
        unapproved_types(BOMBS[name], max_bytes=16 * MIB)


@pytest.mark.parametrize("name", FORGERIES)
def test_what_is_not_what_it_says_is_refused(name):
    data, reason = FORGERIES[name]
    with pytest.raises(ArtifactRejected, match=reason):
        open_artifact(data, Format.SKOPS, (), trust_pickle=False, max_bytes=16 * MIB)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_entries_of_one_name_are_refused():
    with pytest.raises(ArtifactRejected, match="two entries of one name"):
        check_archive(packed([*entries().items(), ("schema.json", b"{}")]), 16 * MIB)


def test_honest_archives_pass():
    sparse = skops.io.dumps(FunctionTransformer(kw_args={"by": scipy.sparse.eye_array(50, format="csr")}))
    for data in (HONEST, sparse, skops.io.dumps(LogisticRegression().fit(X, Y), compression=zipfile.ZIP_DEFLATED)):
        check_archive(data, MIB)
