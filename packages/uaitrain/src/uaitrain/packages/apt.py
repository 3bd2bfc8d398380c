"""The shell lines that make apt-get work in a container of a base, whatever its sources are."""

from __future__ import annotations

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
elif [ "$ID" = debian ]; then
  for part in debian:$VERSION_CODENAME debian:$VERSION_CODENAME-updates \\
    debian-security:$VERSION_CODENAME-security; do
    printf 'deb http://deb.debian.org/%s %s main\\n' "${part%%:*}" "${part#*:}"
  done >$sources
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
base's own sources; a Debian that has none gets Debian's."""


def name_mirrors(work: Path) -> None:
    """Tell the lines above the mirrors of the user's catalogue. Raises OSError."""
    (work / "mirrors").write_text("".join(f"{each}\n" for each in catalogue.mirrors()), "utf-8")
