"""A job as the platform's call: whole, without a key, with the command that pack printed."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.jobs import base_layout, make_job
from support.registry import RunningRegistry
from support.uai_server import ACTIONS, PRIVATE_KEY, PUBLIC_KEY
from uai_jobs import DATA, OUTPUT, job, options, spec
from uaitrain import commands
from uaitrain.backends import Job, Mount, connect
from uaitrain.backends.uai.options import options_from
from uaitrain.backends.uai.places import UFILE, UFS, place_of
from uaitrain.backends.uai.render import deploy_words, render
from uaitrain.backends.uai.request import ADDED, CREATE
from uaitrain.engines.facts import LocalFacts
from uaitrain.errors import UsageError
from uaitrain.oci.image import Image
from uaitrain.spec import Resources

GOLDEN = """\
# POST https://api.ucloud.cn/, each call signed with the account's keys, which are not shown:
# PublicKey, Signature, TrainPublicKey, TrainPrivateKey are added when it is sent.
GetUAITrainAvailableTrainMode
  Region = cn-bj2
  Zone = cn-bj2-04
  gives TrainModeId: TrainModeId where TrainModeName = StandAlone
GetUAITrainAvailableResource
  Region = cn-bj2
  Zone = cn-bj2-04
  NodeType = Work
  TrainModeId = (found above)
  gives TrainWorkId: NodeId where AcceleratorVersion = P40, AcceleratorAmount = 1
GetUAITrainAvailableBackend
  Region = cn-bj2
  Zone = cn-bj2-04
  TrainModeId = (found above)
  gives InputDataBackendId: DataBackendId where DataBackendName = UFile
GetUAITrainAvailableBackend
  Region = cn-bj2
  Zone = cn-bj2-04
  TrainModeId = (found above)
  gives OutputDataBackendId: DataBackendId where DataBackendName = UFile
CreateUAITrainJob
  Region = cn-bj2
  Zone = cn-bj2-04
  TrainJobName = caffe-mnist-20261124-191500-3f2a1c
  TrainJobMemo = dev.uaitrain.run-id=caffe-mnist-20261124-191500-3f2a1c
  CodeUhubPath = uhub.service.ucloud.cn/caffe-demo/caffe-mnist:uaitrain
  DockerCmd = /data/train.py --solver=/data/data/lenet_solver.prototxt
  DataUfilePath = http://mnist.cn-bj.ufileos.com/data/
  OutputUfilePath = http://mnist.cn-bj.ufileos.com/output/run-1/
  MaxExecuteTime = 24
  TrainWorkAmount = 1
  DistAIFrame = 0
  TrainModeId = (found above)
  TrainWorkId = (found above)
  InputDataBackendId = (found above)
  OutputDataBackendId = (found above)
"""


def rendered(of: Job, **changes: Any) -> dict[str, Any]:
    return render(of, options_from(options(**changes))).to_json()


def test_the_manuals_example_is_rendered_whole() -> None:
    assert connect("uai", options()).render(job()).show() == GOLDEN


def test_nothing_rendered_holds_a_key_and_nothing_that_create_needs_is_missing() -> None:
    request = render(job(), options_from(options()))
    whole = request.to_json()
    text = request.show() + json.dumps(whole) + repr(request)
    required = {name for name, (_, needed) in ACTIONS[CREATE].items() if needed}

    assert PRIVATE_KEY not in text
    assert PUBLIC_KEY not in text
    assert required <= {*whole["parameters"], *whole["found_before"], *ADDED}


def printed(folder: Path) -> str:
    """The deploying command of a ``uaitrain_cmd.txt``, byte for byte."""
    lines = (folder / "uaitrain_cmd.txt").read_bytes().decode().splitlines()
    return lines[lines.index(commands.DEPLOY_HEADING) + 1].removeprefix(" ")


def test_the_command_is_the_one_that_pack_printed(
    tmp_path: Path, tiny: Image, registry: RunningRegistry
) -> None:
    small = make_job(tmp_path / "work", base_layout(tmp_path / "bases", tiny))
    small.environment |= {
        "DOCKER_HOST": f"unix://{tmp_path}/none.sock",
        "UAITRAIN_ENGINE": "docker",
    }
    params = "--note='two words' --tag=$HOME;x"
    done = small.pack(registry.host, train_params=params)
    assert done.returncode == 0, done.stderr
    arguments = ("--note=two words", "--tag=$HOME;x")
    packed = spec(solver="/data/solver.prototxt", arguments=arguments)

    assert rendered(job(packed))["parameters"]["DockerCmd"] == printed(small.folder)
    assert "'--note=two words'" in printed(small.folder)


WORD = st.text(
    st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), min_size=1, max_size=20
)


@given(st.lists(WORD, max_size=4), st.integers(1, 8))
def test_any_arguments_arrive_as_they_are_printed(arguments: list[str], gpus: int) -> None:
    of = spec(arguments=tuple(arguments), resources=Resources(gpus=gpus))
    told = rendered(job(of))["parameters"]["DockerCmd"]

    assert told == commands.render_commands(of, LocalFacts()).deploy.text


def test_a_shell_reads_the_command_as_the_words_that_run() -> None:
    of = spec(arguments=("--a=b c", "--d='$e'", "--f=\n"))
    told = rendered(job(of))["parameters"]["DockerCmd"]
    words = subprocess.run(
        ["bash", "-c", f"printf '%s\\0' {told}"], capture_output=True, check=True
    ).stdout

    assert words.decode().rstrip("\0").split("\0") == list(commands.deploy_argv(of))


def test_a_users_own_argument_that_looks_like_the_platforms_stays() -> None:
    of = spec(arguments=("--num_gpus=2", "--log_dir=/data/output/log"))

    assert deploy_words(commands.run_argv(of, "gpu")) == commands.deploy_argv(of)


def test_the_times_hours_are_rounded_up() -> None:
    hours = [rendered(job(seconds=s))["parameters"]["MaxExecuteTime"] for s in (1, 3600, 3601)]

    assert hours == [1, 1, 2]


def test_a_node_id_needs_no_looking_up() -> None:
    whole = rendered(job(), **{"uai.node_type": "1860001"})

    assert whole["parameters"]["TrainWorkId"] == 1860001
    assert "TrainWorkId" not in whole["found_before"]


def test_an_image_is_named_by_its_tag_as_the_platform_writes_it() -> None:
    digest = "sha256:" + "0" * 64
    both = rendered(job(image=f"uhub.ucloud.cn/demo/mnist:v1@{digest}"))
    alone = rendered(job(image=f"uhub.ucloud.cn/demo/mnist@{digest}"))

    assert both["parameters"]["CodeUhubPath"] == "uhub.ucloud.cn/demo/mnist:v1"
    assert alone["parameters"]["CodeUhubPath"] == f"uhub.ucloud.cn/demo/mnist@{digest}"


def test_project_and_business_group_are_sent_where_they_are_set() -> None:
    whole = rendered(job(), **{"uai.project": "org-abc", "uai.business_group": "vision"})

    assert whole["parameters"]["ProjectId"] == "org-abc"
    assert whole["lookups"][0]["parameters"]["ProjectId"] == "org-abc"
    assert whole["parameters"]["BusinessGroup"] == "vision"


def test_places_of_the_job_count_where_the_platform_reaches_them() -> None:
    ufs = "10.9.8.7:/ufs-ab12/mnist/"
    moved = job(
        mounts=(Mount(ufs, "/data/data"),),
        environment={"UAITRAIN_OUTPUT": OUTPUT},
    )
    whole = rendered(moved, **{"uai.data": "", "uai.output": ""})

    assert whole["parameters"]["DataUfilePath"] == ufs
    assert whole["parameters"]["OutputUfilePath"] == OUTPUT
    assert whole["lookups"][2]["where"] == {"DataBackendName": UFS}


def test_a_place_that_the_platform_does_not_reach_is_told_with_its_setting() -> None:
    """Not with the other one's, which is merely empty."""
    with pytest.raises(UsageError, match=r"\[run\] data: '/data/test/data'"):
        rendered(job(), **{"uai.data": ""})
    with pytest.raises(UsageError, match=r"\[uai\] output is missing"):
        rendered(job(mounts=()), **{"uai.output": ""})


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (DATA, UFILE),
        ("https://b-1.ufile.ucloud.com.cn/a/b.c/", UFILE),
        ("10.9.8.7:/ufs-ab12/", UFS),
        ("10.9.8.255:/ufs-ab12/a/b/", UFS),
    ],
)
def test_the_vendors_forms_of_places_are_known(text: str, kind: str) -> None:
    assert place_of(text, "data").backend == kind


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/data/test/data",
        "s3://mnist/data/",
        "http://mnist.cn-bj.ufileos.com/data",
        "http://mnist.cn-bj.ufileos.com/",
        "http://mnist.cn-bj.ufileos.com/a/../b/",
        "http://mnist.cn-bj.ufileos.com.evil.example/data/",
        "http://mnist.cn-bj.ufileos.com/da ta/",
        "10.9.8.256:/ufs-ab12/",
        "10.9.8.7:/data/",
    ],
)
def test_other_places_are_refused_with_the_forms_that_are_allowed(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        place_of(text, "[uai] data")

    assert "ufileos.com" in refused.value.allowed


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"run_id": ""}, "run id"),
        ({"nodes": 2}, "--nodes 2"),
        ({"seconds": 0}, "--time is missing"),
        ({"cpus": 8}, "node type decides"),
        ({"memory_bytes": 1 << 30}, "node type decides"),
        ({"secrets": ("WANDB_KEY",)}, "--secret WANDB_KEY"),
        ({"environment": {"MY_MODE": "fast"}}, "MY_MODE=fast"),
        ({"environment": {"UAITRAIN_KEEP_LAST": "3"}}, "UAITRAIN_KEEP_LAST=3"),
        ({"gpus": 0}, "a CPU run"),
        ({"image": "caffe-mnist:uaitrain"}, "this machine only"),
        ({"argv": ("/bin/bash", "-c", "cd /data")}, "cannot start"),
        ({"argv": commands.run_argv(spec(), "cpu")}, "cannot start"),
    ],
)
def test_what_the_platform_cannot_run_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        rendered(job(**changes))


def test_gpus_that_contradict_the_node_type_are_refused() -> None:
    with pytest.raises(UsageError, match="--gpus 1 on nodes of the type 4-P40") as refused:
        rendered(job(), **{"uai.node_type": "4-P40"})

    assert refused.value.next_step == "--gpus 4, or --node-type 1-P40"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("uai.url", "http://api.ucloud.cn/"),
        ("uai.url", "api.ucloud.cn"),
        ("uai.url", "https://user@api.ucloud.cn/"),
        ("uai.url", "https://api.ucloud.cn/?Action=x"),
        ("uai.region", ""),
        ("uai.zone", ""),
        ("uai.node_type", "P40"),
        ("uai.node_type", "0-P40"),
        ("uai.node_type", "1-P40; x"),
    ],
)
def test_settings_that_cannot_be_are_refused(key: str, value: str) -> None:
    with pytest.raises(UsageError, match=key.removeprefix("uai.")):
        connect("uai", options(**{key: value}))
