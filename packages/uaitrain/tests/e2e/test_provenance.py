"""`pack --push --sbom --sign`, and what cosign says of the result."""

from __future__ import annotations

import base64
import json
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from support.cosign import KEY_PASSWORD, SUITES, Cosign, cosign_of
from support.fault_proxy import Fault, running_fault_proxy
from support.images import client
from support.jobs import SmallJob, base_layout, make_job
from support.referrers_api import running_referrers_api
from support.registry import RunningRegistry
from support.tiny_image import layer_of
from uaitrain import registry as registries
from uaitrain.oci.digest import parse_digest
from uaitrain.oci.image import History, Image
from uaitrain.oci.layout import Layout
from uaitrain.oci.reference import Reference
from uaitrain.registry.push import push_image
from uaitrain.registry.referrers import fallback_tag, referrers

REPOSITORY = "team/mnist"
STATUS = (
    b"Package: bash\nStatus: install ok installed\nVersion: 5.2-1\nArchitecture: amd64\n\n"
    b"Package: libc6\nStatus: install ok installed\nVersion: 2.36-9\nSource: glibc\n"
    b"Architecture: amd64\n"
)
NUMPY = b"Metadata-Version: 2.1\nName: numpy\nVersion: 1.24.2\nLicense: BSD-3-Clause\n\nlong"


@pytest.fixture
def job(tmp_path: Path, tiny: Image) -> SmallJob:
    """On a base with packages, on a machine without an engine."""
    databases = {
        "var/lib/dpkg/status": STATUS,
        "usr/lib/os-release": b'ID=debian\nVERSION_ID="12"\n',
        "usr/lib/python3/dist-packages/numpy.egg-info/PKG-INFO": NUMPY,
    }
    base = tiny.append([layer_of(databases)], [History("packages")])
    made = make_job(tmp_path / "work", base_layout(tmp_path / "bases", base))
    (made.code / "vendored.dist-info").mkdir()
    (made.code / "vendored.dist-info" / "METADATA").write_text("Name: vendored\nVersion: 7\n")
    made.environment["UAITRAIN_ENGINE"] = "docker"
    made.environment["DOCKER_HOST"] = f"unix://{tmp_path}/no-docker.sock"
    made.environment["UAITRAIN_SIGN_PASSWORD"] = KEY_PASSWORD
    return made


def pack(job: SmallJob, host: str, *words: str, base: str = "") -> subprocess.CompletedProcess[str]:
    image = f"{host}/{REPOSITORY}:v1"
    bases = ("--base-cpu", base or job.base, "--base-gpu", base or job.base)
    settings = ("--solver", "/data/solver.prototxt", "--image", image, *bases)
    return job.uaitrain("pack", "--push", "--no-load", "--no-check", *settings, *words)


def packed(job: SmallJob, host: str, *words: str, base: str = "") -> str:
    """The pushed image with its digest."""
    done = pack(job, host, *words, base=base)
    assert done.returncode == 0, done.stderr
    assert KEY_PASSWORD not in done.stdout + done.stderr
    digest = registries.connect(host).get_manifest(REPOSITORY, "v1").digest
    return f"{host}/{REPOSITORY}@{digest}"


def predicate(shown: str) -> Mapping[str, Any]:
    """The predicate of the statement that ``cosign verify-attestation`` prints."""
    payload = json.loads(shown.splitlines()[0])["payload"]
    value: Mapping[str, Any] = json.loads(base64.b64decode(payload))["predicate"]
    return value


def test_cosign_accepts_what_pack_attaches(
    job: SmallJob,
    registry: RunningRegistry,
    cosign: Cosign,
    cosign_key: Path,
) -> None:
    image = packed(job, registry.host, "--sbom", "--sign", str(cosign_key))
    public = cosign_key.with_suffix(".pub")

    shown = json.loads(cosign.accepts("verify", public, image))
    assert {each["critical"]["image"]["docker-manifest-digest"] for each in shown} == {
        image.partition("@")[2]
    }
    words = ("--type", "slsaprovenance1")
    build = predicate(cosign.accepts("verify-attestation", public, image, *words))
    assert build["buildDefinition"]["externalParameters"]["main"] == "train.py"
    words = ("--type", "cyclonedx")
    parts = predicate(cosign.accepts("verify-attestation", public, image, *words))
    document = cosign.run("download", "sbom", "--allow-insecure-registry", image)
    assert document.returncode == 0, document.stderr
    assert json.loads(document.stdout) == parts
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(document.stdout) is None
    names = {component["name"] for component in parts["components"]}
    assert {"bash", "libc6", "numpy", "vendored", "debian", "/data/train.py"} <= names


def test_cosign_refuses_another_key(
    job: SmallJob,
    registry: RunningRegistry,
    cosign: Cosign,
    cosign_key: Path,
    tmp_path: Path,
) -> None:
    image = packed(job, registry.host, "--sbom", "--sign", str(cosign_key))
    cosign_of("sid").run("generate-key-pair", cwd=tmp_path)

    for command in (("verify",), ("verify-attestation", "--type", "slsaprovenance1")):
        other = cosign.verify(command[0], tmp_path / "cosign.pub", image, *command[1:])
        assert other.returncode != 0


def test_a_signature_alone_needs_no_sbom(
    job: SmallJob,
    registry: RunningRegistry,
    cosign: Cosign,
    cosign_key: Path,
) -> None:
    image = packed(job, registry.host, "--sign", str(cosign_key))

    cosign.accepts("verify", cosign_key.with_suffix(".pub"), image)
    tags = registries.connect(registry.host).tags(REPOSITORY)
    assert not [tag for tag in tags if tag.endswith((".sbom", ".att"))]


def test_a_second_pack_writes_nothing_and_a_second_signer_is_added(
    job: SmallJob,
    registry: RunningRegistry,
    cosign: Cosign,
    cosign_key: Path,
    tmp_path: Path,
) -> None:
    words = ("--sbom", "--sign", str(cosign_key))
    packed(job, registry.host, *words)
    # The proxy is another host, and a signature names the host: the first pack through it writes.
    with running_fault_proxy(registry.host) as proxy:
        packed(job, proxy.host, *words)
        proxy.requests.clear()
        done = pack(job, proxy.host, *words, "--json")

        assert {r.partition(" ")[0] for r in proxy.requests} <= {"GET", "HEAD"}
        attached = json.loads(done.stdout)["attachments"]
        assert len(attached) == 8
        assert all(each["unchanged"] and not each["sent_bytes"] for each in attached)

    other = tmp_path / "other.pem"
    subprocess.run(
        ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(other)],
        check=True,
    )
    public = tmp_path / "other.pub"
    subprocess.run(
        ["openssl", "ec", "-in", str(other), "-pubout", "-out", str(public)],
        check=True,
        capture_output=True,
    )
    image = packed(job, registry.host, "--sbom", "--sign", str(other))
    for key in (public, cosign_key.with_suffix(".pub")):
        cosign.accepts("verify", key, image)


def test_a_base_in_a_registry_is_read_once_and_the_sbom_is_the_same(
    job: SmallJob, registry: RunningRegistry
) -> None:
    folder, name = job.base.removeprefix("oci:").rsplit(":", 1)
    base = Layout(Path(folder)).image(name)
    push_image(client(registry.host), base, Reference.parse(f"{registry.host}/bases/tiny:1"))
    with running_fault_proxy(registry.host) as proxy:
        reference = f"{proxy.host}/bases/tiny:1"
        blobs = rf"GET /v2/bases/tiny/blobs/{base.layers[-1].descriptor.digest}"
        image = packed(job, proxy.host, "--sbom", base=reference)
        assert proxy.count(blobs) == 1
        digest = parse_digest(image.partition("@")[2])
        first = registries.connect(proxy.host).get_manifest(
            REPOSITORY,
            f"{fallback_tag(digest)}.sbom",
        )
        (job.code / "helper.py").write_text("RATE = 0.02\n")
        packed(job, proxy.host, "--sbom", base=reference)
        assert proxy.count(blobs) == 1
        (job.code / "helper.py").write_text("RATE = 0.01\n")
        # Another machine: nothing is remembered.
        job.environment["UAITRAIN_CACHE"] = str(job.folder / "other-cache")
        assert packed(job, proxy.host, "--sbom", base=reference) == image
        again = registries.connect(proxy.host).get_manifest(
            REPOSITORY,
            f"{fallback_tag(digest)}.sbom",
        )
        assert again.digest == first.digest


def test_a_registry_with_the_referrers_api_needs_no_tags(
    job: SmallJob,
    registry: RunningRegistry,
    cosign_key: Path,
) -> None:
    with running_referrers_api(registry.host) as api:
        image = packed(job, api.host, "--sbom", "--sign", str(cosign_key))
        digest = parse_digest(image.partition("@")[2])
        own = registries.connect(api.host)

        assert own.head_manifest(REPOSITORY, fallback_tag(digest)) is None
        kinds = [e["artifactType"] for e in referrers(own, REPOSITORY, digest)]
        assert sorted(kinds) == [
            "application/vnd.cyclonedx+json",
            *["application/vnd.dev.sigstore.bundle.v0.3+json"] * 3,
            "application/vnd.in-toto+json",
        ]
        public = cosign_key.with_suffix(".pub")
        cosign_of("sid").accepts("verify", public, image)


def test_what_a_garbage_collection_took_is_put_back(
    job: SmallJob, registry: RunningRegistry, cosign_key: Path
) -> None:
    """Debian's registry takes what has no tag of its own, lists or not."""
    words = ("--sbom", "--sign", str(cosign_key))
    image = packed(job, registry.host, *words)
    digest = parse_digest(image.partition("@")[2])
    registry.stop()
    swept = ["docker-registry", "garbage-collect", "--delete-untagged", str(registry.config)]
    subprocess.run(swept, check=True, capture_output=True)
    registry.start()
    own = registries.connect(registry.host)
    listed = [entry["digest"] for entry in referrers(own, REPOSITORY, digest)]
    left = [own.head_manifest(REPOSITORY, each) is not None for each in listed]
    for suite in SUITES:
        cosign_of(suite).accepts("verify", cosign_key.with_suffix(".pub"), image)

    packed(job, registry.host, *words)

    assert left == [True, False, False, False, False]
    assert all(own.head_manifest(REPOSITORY, each) for each in listed)


def test_a_failed_attachment_leaves_the_image_and_says_so(
    job: SmallJob, registry: RunningRegistry
) -> None:
    fault = Fault(r"PUT /v2/team/mnist/manifests/sha256:", times=99, status=403)
    with running_fault_proxy(registry.host, fault) as proxy:
        done = pack(job, proxy.host, "--sbom")
        fault.times = 0

        assert done.returncode == 6
        assert f"{proxy.host}/team/mnist:v1 is pushed, but its SBOM is not attached" in done.stderr
        assert "Traceback" not in done.stderr
        assert registries.connect(proxy.host).get_manifest(REPOSITORY, "v1")
        assert job.commands_file.exists()
        packed(job, proxy.host, "--sbom")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--sbom",), "--sbom attaches to a pushed image"),
        (("--sign", "none.pem"), "--sign attaches to a pushed image"),
        (("--push", "--sign", "none.pem"), "cannot read 'none.pem'"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_done(
    job: SmallJob, words: tuple[str, ...], said: str
) -> None:
    image = "127.0.0.1:1/team/mnist:v1"
    done = job.uaitrain("pack", "--no-check", "--image", image, "--base-cpu", job.base, *words)

    assert done.returncode == 2
    assert said in done.stderr
    assert not job.commands_file.exists()


def test_a_wrong_password_and_none_are_told_apart(job: SmallJob, cosign_key: Path) -> None:
    job.environment["UAITRAIN_SIGN_PASSWORD"] = "s3cr3t-wrong"  # noqa: S105 made up
    wrong = pack(job, "127.0.0.1:1", "--sign", str(cosign_key))
    del job.environment["UAITRAIN_SIGN_PASSWORD"]
    none = pack(job, "127.0.0.1:1", "--sign", str(cosign_key))

    assert (wrong.returncode, none.returncode) == (2, 2)
    assert "the password does not open the key" in wrong.stderr
    assert "s3cr3t-wrong" not in wrong.stderr
    assert "nobody is there to be asked" in none.stderr
    assert "UAITRAIN_SIGN_PASSWORD" in none.stderr


def test_at_a_terminal_the_password_is_asked_for_and_not_shown(
    job: SmallJob, registry: RunningRegistry, cosign_key: Path
) -> None:
    del job.environment["UAITRAIN_SIGN_PASSWORD"]
    image = f"{registry.host}/{REPOSITORY}:v1"
    words = ["--image", image, "--base-cpu", job.base, "--base-gpu", job.base, "--no-check"]
    words += ["--push", "--no-load", "--sign", str(cosign_key), "--solver", "/data/solver.prototxt"]
    command = shlex.join([sys.executable, "-m", "uaitrain", "pack", *words])
    # script gives the command a terminal of its own.
    with subprocess.Popen(
        ["script", "--quiet", "--return", "--command", command, "/dev/null"],
        cwd=job.folder,
        env=job.whole_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin
        assert process.stdout
        shown = b""
        while b"password of the signing key: " not in shown:
            piece = process.stdout.read1()
            assert piece, shown
            shown += piece
        process.stdin.write(KEY_PASSWORD.encode() + b"\n")
        process.stdin.flush()
        shown += process.stdout.read()

    assert process.returncode == 0, shown
    assert KEY_PASSWORD.encode() not in shown
    assert b"signature for cosign 2 (" in shown
