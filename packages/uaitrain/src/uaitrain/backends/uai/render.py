"""A job as the platform's call. Pure.

The platform starts ``/usr/bin/python <DockerCmd>`` and adds the accelerator and the four
directories itself; the manual's "CMD Used for deploying" is what it wants as ``DockerCmd``.
"""

from __future__ import annotations

import re

from uaitrain.backends import RUN_LABEL, Job
from uaitrain.backends.uai.options import NodeType, Options
from uaitrain.backends.uai.places import Place, place_of
from uaitrain.backends.uai.request import Lookup, Parameters, UaiRequest
from uaitrain.errors import UsageError
from uaitrain.oci.reference import Reference
from uaitrain.shell import quote
from uaitrain.spec import DATA_DIR, LOG_DIR, OUTPUT_DIR, PYTHON, WORK_DIR

TRAIN_MODE = "StandAlone"
DEFAULT_ACCELERATOR = "P40"
"""What the platform's documentation lists: 1-P40, 2-P40 and 4-P40."""

_PLATFORM_ADDS = (
    re.compile(r"--use_cpu=False"),
    re.compile(r"--num_gpus=[0-9]+"),
    *(
        re.compile(re.escape(f"--{name}={path}"))
        for name, path in (
            ("work_dir", WORK_DIR),
            ("data_dir", DATA_DIR),
            ("output_dir", OUTPUT_DIR),
            ("log_dir", LOG_DIR),
        )
    ),
)

_SAYS_NOTHING = {
    "UAITRAIN_RUN_ID": None,
    "UAITRAIN_SYNC_SECONDS": None,
    "UAITRAIN_DATA": None,
    "UAITRAIN_OUTPUT": None,
    "UAITRAIN_NODES": "1",
    "UAITRAIN_RANK": "0",
    "UAITRAIN_KEEP_LAST": "0",
}
"""Variables that a job may have here although the platform takes none: any value, or this one.
The run's id is its name there, staging is the platform's own."""


def render(job: Job, options: Options) -> UaiRequest:
    """Raises UsageError for a job that the platform cannot run."""
    _check(job)
    node_type = _node_type(job, options)
    data = _place(job, options.data, DATA_DIR, "UAITRAIN_DATA", "data")
    output = _place(job, options.output, OUTPUT_DIR, "UAITRAIN_OUTPUT", "output")
    lookups = (
        Lookup(
            "TrainModeId",
            "GetUAITrainAvailableTrainMode",
            "DataItem",
            {"TrainModeName": TRAIN_MODE},
            "TrainModeId",
        ),
        *_node_lookup(node_type),
        _storage_lookup("InputDataBackendId", data),
        _storage_lookup("OutputDataBackendId", output),
    )
    return UaiRequest(options.url, options.common, lookups, _parameters(job, options, data, output))


def _parameters(job: Job, options: Options, data: Place, output: Place) -> Parameters:
    parameters: dict[str, str | int] = {
        "TrainJobName": job.run_id,
        "TrainJobMemo": f"{RUN_LABEL}={job.run_id}",
        "CodeUhubPath": _image(job.image),
        "DockerCmd": " ".join(quote(word) for word in deploy_words(job.argv)),
        "DataUfilePath": data.path,
        "OutputUfilePath": output.path,
        "MaxExecuteTime": -(-job.seconds // 3600),
        "TrainWorkAmount": 1,
        "DistAIFrame": 0,
    }
    if options.node_type is not None and options.node_type.node_id:
        parameters["TrainWorkId"] = options.node_type.node_id
    if options.business_group:
        parameters["BusinessGroup"] = options.business_group
    return parameters


def deploy_words(argv: tuple[str, ...]) -> tuple[str, ...]:
    """The manual's deploying command within what a run executes. Raises UsageError."""
    words = argv[1:] if argv[:1] == (PYTHON,) else argv
    tail = words[-len(_PLATFORM_ADDS) :]
    if len(tail) == len(_PLATFORM_ADDS) and all(
        form.fullmatch(word) for form, word in zip(_PLATFORM_ADDS, tail, strict=True)
    ):
        words = words[: -len(_PLATFORM_ADDS)]
    if not words or not words[0].startswith(f"{WORK_DIR}/") or "--use_cpu=True" in words:
        raise UsageError(
            f"the platform cannot start {' '.join(argv)[:200]!r}",
            allowed=f"a main file below {WORK_DIR} and its arguments, on GPUs",
        )
    return words


def _check(job: Job) -> None:
    if not job.run_id:
        raise UsageError("a run on the platform needs a run id, which is its name there")
    if job.nodes != 1:
        raise UsageError(
            f"--nodes {job.nodes}",
            allowed="1: the platform's distributed training is for TensorFlow and MXNet",
        )
    if job.seconds <= 0:
        raise UsageError(
            "--time is missing: the platform wants to know when it shall stop a run",
            allowed="a time, counted in whole hours there",
            next_step="for example --time 24h",
        )
    if job.cpus or job.memory_bytes:
        raise UsageError(
            "--cpus and --memory: on the platform the node type decides",
            next_step="leave them at 0 and choose --node-type",
        )
    if job.secrets:
        raise UsageError(
            f"--secret {job.secrets[0]}: the platform brings no variables into a run",
            allowed="jobs that need none: data and results travel with the account's keys",
        )
    for name, value in sorted(job.environment.items()):
        if name not in _SAYS_NOTHING or _SAYS_NOTHING[name] not in (None, value):
            raise UsageError(
                f"{name}={value}: the platform brings no variables into a run",
                allowed="jobs that need none",
            )


def _image(text: str) -> str:
    """As the platform's documentation writes it: host, path and tag. A digest stands only where
    there is no tag."""
    reference = Reference.parse(text, default_registry="")
    if not reference.registry:
        raise UsageError(
            f"the image {text!r} lies on this machine only",
            allowed="an image in a registry that the platform reaches, such as uhub.ucloud.cn",
            next_step="pack with --image uhub.ucloud.cn/<registry>/<name> and --push",
        )
    named = reference.tag and reference.digest
    return (
        str(Reference(reference.registry, reference.repository, reference.tag)) if named else text
    )


def _node_type(job: Job, options: Options) -> NodeType:
    if not job.gpus:
        raise UsageError("a CPU run: the platform's nodes have GPUs", allowed="--gpus 1 or more")
    node_type = options.node_type or NodeType(job.gpus, DEFAULT_ACCELERATOR)
    if not node_type.node_id and node_type.gpus != job.gpus:
        raise UsageError(
            f"--gpus {job.gpus} on nodes of the type {node_type}",
            allowed="the same number of GPUs in both",
            next_step=f"--gpus {node_type.gpus}, or --node-type {job.gpus}-{node_type.accelerator}",
        )
    return node_type


def _node_lookup(node_type: NodeType) -> tuple[Lookup, ...]:
    if node_type.node_id:
        return ()
    where: Parameters = {
        "AcceleratorVersion": node_type.accelerator,
        "AcceleratorAmount": node_type.gpus,
    }
    action = "GetUAITrainAvailableResource"
    sent = {"NodeType": "Work"}
    return (Lookup("TrainWorkId", action, "DataSet", where, "NodeId", sent, ("TrainModeId",)),)


def _storage_lookup(parameter: str, place: Place) -> Lookup:
    return Lookup(
        parameter,
        "GetUAITrainAvailableBackend",
        "DataItem",
        {"DataBackendName": place.backend},
        "DataBackendId",
        needs=("TrainModeId",),
    )


def _place(job: Job, chosen: str, target: str, variable: str, setting: str) -> Place:
    """The setting of ``uai``, which wins over ``run``'s for all backends."""
    mounted = next((mount.source for mount in job.mounts if mount.target == target), "")
    own = job.environment.get(variable) or mounted
    if own and not chosen:
        return place_of(own, f"[run] {setting}")
    return place_of(chosen, f"[uai] {setting}")
