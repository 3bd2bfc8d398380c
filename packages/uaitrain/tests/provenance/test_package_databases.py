"""Reading package databases, well-formed ones and others."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packageurl import PackageURL
from uaitrain.provenance.packages import (
    DEB,
    PYPI,
    Package,
    System,
    is_database,
    read_database,
    read_system,
)

STATUS = "var/lib/dpkg/status"
METADATA = "usr/lib/python3/dist-packages/x-1.dist-info/METADATA"


def test_debians_own_database_is_read_as_dpkg_reads_it() -> None:
    """This machine's: dpkg-query is the oracle."""
    shown = subprocess.run(
        [
            *("dpkg-query", "-W", "-f"),
            "${db:Status-Status}|${Package}|${Version}|${Architecture}|${source:Package}\\n",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    expected = {
        tuple(line.split("|")[1:])
        for line in shown.stdout.splitlines()
        if line.startswith("installed|")
    }

    with open(f"/{STATUS}", "rb") as file:  # noqa: PTH123
        found = read_database(STATUS, file.read())

    assert len(expected) > 50
    assert {
        (p.name, p.version, p.architecture, p.source.partition("@")[0] or p.name) for p in found
    } == expected


def test_what_is_not_installed_is_left_out_and_a_list_of_one_needs_no_status() -> None:
    text = (
        "Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n"
        "Package: held\nStatus: hold ok installed\nVersion: 2\nArchitecture: all\n"
        "Source: origin (1.9)\nDescription: words\n more: words\n\n"
        "Package: half\nStatus: install ok half-installed\nVersion: 3\n"
    )
    assert read_database(STATUS, text.encode()) == (Package(DEB, "held", "2", "all", "origin@1.9"),)

    one = "var/lib/dpkg/status.d/tzdata"
    assert is_database(one)
    assert read_database(one, b"Package: tzdata\nVersion: 2024a\n") == (
        Package(DEB, "tzdata", "2024a"),
    )


@pytest.mark.parametrize(
    ("fields", "licence"),
    [
        ("License-Expression: MIT OR Apache-2.0\nLicense: other\n", "MIT OR Apache-2.0"),
        ("License: BSD\nClassifier: License :: OSI Approved :: MIT License\n", "BSD"),
        ("License: UNKNOWN\nClassifier: License :: OSI Approved :: MIT License\n", "MIT License"),
        (f"License: {'long ' * 50}\n", ""),
        ("", ""),
    ],
)
def test_a_python_package_tells_its_licence(fields: str, licence: str) -> None:
    text = f"Metadata-Version: 2.1\nName: Numpy\r\nVersion: 1.24\n{fields}\nName: not this\n"

    assert read_database(METADATA, text.encode()) == (
        Package(PYPI, "Numpy", "1.24", licence=licence),
    )


@pytest.mark.parametrize(
    ("path", "known"),
    [
        (STATUS, True),
        (METADATA, True),
        ("usr/lib/python3/dist-packages/six-1.16.egg-info", True),
        ("opt/venv/lib/python3.11/site-packages/six.egg-info/PKG-INFO", True),
        ("data/var/lib/dpkg/status", False),
        ("data/METADATA", False),
        ("data/six-1.16.egg-info", False),
    ],
)
def test_databases_are_known_by_their_path(path: str, known: bool) -> None:
    assert is_database(path) is known


def test_the_system_is_named() -> None:
    assert read_system(b'# x\nID=debian\nVERSION_ID="12"\nNAME=Debian\n') == System("debian", "12")
    assert read_system(b"\xff\x00") == System()


@given(st.binary(max_size=40), st.binary(max_size=40), st.sampled_from([STATUS, METADATA]))
def test_nothing_that_stands_there_is_fatal(name: bytes, version: bytes, path: str) -> None:
    data = b"Package: %s\nName: %s\nVersion: %s\n" % (name, name, version)
    for package in read_database(path, data):
        # What could not be written into a package URL is no package.
        assert PackageURL(package.kind, "debian", package.name, package.version).to_string()
