"""The config.json that runc and crun are started with (OCI runtime-spec, config.md). Pure.

What only the node knows is left open and filled in by ``run.sh``: ``@SCRATCH@`` is the run's
folder on the node, ``@TASK@`` the subfolder of a sweep's task, ``@USER@`` and ``@IDS@`` the
namespace and mapping of a normal user, who is root inside and themselves outside.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from uaitrain.backends import Mount
from uaitrain.spec import OUTPUT_DIR

_CAPABILITIES = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
]
_HIDDEN = ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"]


def config_text(root: str, mounts: Sequence[Mount], shm_bytes: int) -> str:
    """One line of JSON. The root is read-only: it is everybody's."""
    sets = ("bounding", "effective", "permitted")
    config: dict[str, Any] = {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": False,
            "user": {"uid": 0, "gid": 0},
            "args": ["/bin/sh", "/run/uaitrain/start"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "cwd": "/",
            "noNewPrivileges": True,
            "capabilities": dict.fromkeys(sets, _CAPABILITIES),
        },
        "root": {"path": root, "readonly": True},
        "mounts": [*_system(shm_bytes), *(_job(mount) for mount in mounts)],
        "linux": {
            "@IDS@": 0,
            "namespaces": ["@USER@", {"type": "pid"}, {"type": "mount"}, {"type": "ipc"}],
            "maskedPaths": _HIDDEN,
        },
    }
    return json.dumps(config)


def _system(shm_bytes: int) -> list[dict[str, Any]]:
    shm = ["nosuid", "noexec", "nodev", "mode=1777", f"size={shm_bytes}"]
    return [
        _mount("/proc", "proc", "proc"),
        _mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
        _mount("/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666"),
        _mount("/dev/shm", "tmpfs", "shm", *shm),  # noqa: S108 the container's
        _mount("/sys", "none", "/sys", "rbind", "nosuid", "noexec", "nodev", "ro"),
        _mount("/run/uaitrain", "bind", "@SCRATCH@/run", "rbind", "rw"),
        _mount("/tmp", "bind", "@SCRATCH@/tmp", "rbind", "rw"),  # noqa: S108 the container's
        _mount("/var/tmp", "bind", "@SCRATCH@/tmp", "rbind", "rw"),  # noqa: S108 the container's
        _mount("/etc/hosts", "bind", "/etc/hosts", "rbind", "ro"),
        _mount("/etc/resolv.conf", "bind", "/etc/resolv.conf", "rbind", "ro"),
    ]


def _job(mount: Mount) -> dict[str, Any]:
    task = "@TASK@" if mount.target == OUTPUT_DIR and not mount.read_only else ""
    mode = "ro" if mount.read_only else "rw"
    return _mount(mount.target, "bind", mount.source + task, "rbind", mode)


def _mount(target: str, kind: str, source: str, *options: str) -> dict[str, Any]:
    return {"destination": target, "type": kind, "source": source, "options": list(options)}
