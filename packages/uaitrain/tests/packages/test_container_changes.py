"""What an engine's diff means for a layer."""

from __future__ import annotations

from uaitrain.packages.container import read_changes


def test_logs_caches_and_byte_code_stay_out_and_lone_deletions_count() -> None:
    text = (
        "C /usr\nC /usr/bin\nA /usr/bin/tree\nC /var\nC /var/log\nA /var/log/dpkg.log\n"
        "A /usr/lib/x/__pycache__\nA /usr/lib/x/__pycache__/a.pyc\nD /usr/share/old\n"
        "D /usr/share/old/file\nC /etc/ld.so.cache\nA /run/uaitrain\nA /.dockerenv\n"
    )

    changed, gone = read_changes(text)

    assert "usr/bin/tree" in changed
    assert "etc/ld.so.cache" in changed
    assert gone == ["usr/share/old"]
    assert [name for name in changed if "log" in name or "pyc" in name or "run" in name] == []
