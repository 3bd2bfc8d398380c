"""The shell lines that make apt-get work in a container of a base, whatever its sources are."""

from __future__ import annotations

import os
import re
from pathlib import Path

from uaitrain.bases import catalogue

READY = """\
sources=/run/uaitrain/sources.list
. /etc/os-release
if [ -s /run/uaitrain/mirrors ]; then
  while read -r line; do
    case $line in
      deb\\ *) printf '%s\\n' "$line" ;;
      *) printf 'deb %s %s main\\n' "$line" "$VERSION_CODENAME" ;;
    esac
  done </run/uaitrain/mirrors >$sources
elif cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | grep -Eq '^(deb|URIs:)'; then
  sources=
elif [ "$ID" = debian ] && [ -s /run/uaitrain/machine ]; then
  while read -r address part; do
    printf 'deb %s %s%s main\\n' "$address" "$VERSION_CODENAME" "$part"
  done </run/uaitrain/machine >$sources
else
  echo 'E: no package source' >&2
  exit 100
fi
export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
apt() {
  LC_ALL=C.UTF-8 apt-get -q -y \\
    ${sources:+-o Dir::Etc::SourceList=$sources -o Dir::Etc::SourceParts=-} \\
    -o Acquire::Check-Valid-Until=false -o Acquire::Retries=3 -o APT::Sandbox::User=root \\
    --no-install-recommends "$@"
}
apt update
"""
"""Defines ``apt`` and knows the packages. The mirrors of the user's catalogue come first, then the
base's own sources; a Debian that has none gets the mirrors of this machine."""

_ADDRESS = re.compile(r"(https?://[^\s]+?/(debian|debian-security))/?(?=\s|$)", re.MULTILINE)


def name_mirrors(work: Path) -> None:
    """Tell the lines above the mirrors that the user names, and this machine's. Raises OSError."""
    named = os.environ.get("UAITRAIN_DEBIAN_MIRROR", "")
    mirrors = (named,) if named else catalogue.mirrors()
    (work / "mirrors").write_text("".join(f"{each}\n" for each in mirrors), "utf-8")
    files = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    text = "".join(file.read_text("utf-8", "replace") for file in files if file.is_file())
    lines = {
        f"{address} {'-security' if kind != 'debian' else ''}\n"
        for address, kind in _ADDRESS.findall(text)
    }
    (work / "machine").write_text("".join(sorted(lines)), "utf-8")
