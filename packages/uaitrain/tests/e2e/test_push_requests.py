"""What the whole command asks a registry for."""

from __future__ import annotations

from support.fault_proxy import running_fault_proxy
from support.jobs import SmallJob
from support.registry import RunningRegistry


def test_an_unchanged_job_is_asked_for_once_and_a_new_one_twice_a_blob(
    job: SmallJob, registry: RunningRegistry
) -> None:
    tag = "/v2/caffe-demo/caffe-mnist/manifests/uaitrain"
    with running_fault_proxy(registry.host) as proxy:
        assert job.pack(proxy.host, "--no-load").returncode == 0
        first, proxy.requests = proxy.requests, []
        assert job.pack(proxy.host, "--no-load").returncode == 0
        second, proxy.requests = proxy.requests, []
        (job.code / "helper.py").write_text("RATE = 0.02\n")
        assert job.pack(proxy.host, "--no-load").returncode == 0
        third = proxy.requests

    blobs = sum(request.startswith("POST") for request in first)
    # The base's layer is larger than a question for it.
    heads = sum(request.startswith("HEAD") for request in first)
    # The tag is asked for while uploads are begun, and set last.
    assert (first.count(f"GET {tag}"), first[-1]) == (1, f"PUT {tag}")
    assert len(first) == 2 + 2 * blobs + heads
    assert heads <= 1
    assert second == [f"GET {tag}"]
    # The layer with the edited file and the config.
    assert (third.count(f"GET {tag}"), third[-1]) == (1, f"PUT {tag}")
    assert sorted(request.split()[0] for request in third) == [
        *("GET", "POST", "POST", "PUT", "PUT", "PUT")
    ]
