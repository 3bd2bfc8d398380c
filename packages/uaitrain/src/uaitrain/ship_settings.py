"""What ``uaitrain submit`` can be told beside the job itself: one visible table.

The keys stand in ``uaitrain.toml`` beside the job's, the flags belong to ``submit`` alone. The
first word of a key is its table: ``run`` is for every backend, the others are the backend's.
"""

from __future__ import annotations

from uaitrain.setting import LIST, NUMBER, TEXT, Setting

SHIP_SETTINGS = (
    Setting("run.data", "--run-data", "where the data lies for the run: path or URI", "", TEXT,
            "PLACE"),
    Setting("run.output", "--run-output", "where the results go: path or URI", "", TEXT, "PLACE"),
    Setting("run.endpoint", "--endpoint", "S3 endpoint of s3:// places (default: AWS)", "", TEXT,
            "URL"),
    Setting("run.secrets", "--secret", "one more environment variable that the run gets, never "
            "shown", (), LIST, "NAME"),
    Setting("run.keep_last", "--keep-last", "snapshots to keep, the best one apart; 0 all", 0,
            NUMBER, "N"),
    Setting("run.sync", "--sync", "seconds between two copies of results to a URI", 30, NUMBER,
            "SECONDS"),
    Setting("run.nodes", "--nodes", "machines of a run", 1, NUMBER, "N"),
    Setting("run.cpus", "--cpus", "CPU cores on each node; 0 the backend's default", 0, NUMBER,
            "N"),
    Setting("run.memory", "--memory", "memory on each node, such as 16g", "", TEXT, "SIZE"),
    Setting("run.time", "--time", "time limit, such as 90m, 12h or 2d; 0 none", "", TEXT, "TIME"),
    Setting("local.engine", "--container-engine", "docker or podman (default: the first that "
            "answers)", "", TEXT, "NAME"),
    Setting("local.network", "--network", "network of the engine, such as host (default: its "
            "own)", "", TEXT, "NAME"),
    Setting("kubernetes.kubeconfig", "--kubeconfig", "kubeconfig file (default: $KUBECONFIG, else "
            "~/.kube/config, else the pod's own account)", "", TEXT, "FILE"),
    Setting("kubernetes.context", "--kube-context", "context of the kubeconfig (default: its "
            "current one)", "", TEXT, "NAME"),
    Setting("kubernetes.namespace", "--namespace", "namespace (default: the context's)", "", TEXT,
            "NAME"),
    Setting("kubernetes.gpu", "--gpu-resource", "resource that stands for a GPU",
            "nvidia.com/gpu", TEXT, "NAME"),
    Setting("kubernetes.user", "--run-as", "who the container runs as, never root (default: you, "
            "for root 1000:1000)", "", TEXT, "UID[:GID]"),
    Setting("kubernetes.grace", "--grace-period", "seconds between SIGTERM and SIGKILL", 120,
            NUMBER, "SECONDS"),
    Setting("kubernetes.keep", "--keep-job", "seconds for which a Job that is over is kept; 0 "
            "until it is deleted", 604800, NUMBER, "SECONDS"),
    Setting("kubernetes.retries", "--retries", "how often a killed pod is replaced", 10, NUMBER,
            "N"),
    Setting("kubernetes.pull_secrets", "--pull-secret", "one more Secret with a registry's login",
            (), LIST, "NAME"),
    Setting("kubernetes.secret", "--existing-secret", "Secret that holds the run's secret "
            "variables already", "", TEXT, "NAME"),
    Setting("kubernetes.service_account", "--service-account", "service account of the pods "
            "(default: the namespace's)", "", TEXT, "NAME"),
    Setting("kubernetes.node_selector", "--node-selector", "one more label that a node must have",
            (), LIST, "KEY=VALUE"),
    Setting("kubernetes.tolerations", "--toleration", "one more taint that a node may have", (),
            LIST, "KEY[=VALUE][:EFFECT]"),
    Setting("kubernetes.priority_class", "--priority-class", "priority class of the pods", "",
            TEXT, "NAME"),
    Setting("kubernetes.runtime_class", "--runtime-class", "runtime class of the pods, such as "
            "nvidia", "", TEXT, "NAME"),
    Setting("kubernetes.labels", "--kube-label", "one more label of the Job and its pods, such as "
            "a queue", (), LIST, "KEY=VALUE"),
    Setting("kubernetes.annotations", "--annotation", "one more annotation of the Job and its "
            "pods", (), LIST, "KEY=VALUE"),
    Setting("slurm.folder", "--slurm-folder", "folder that every node sees: images, logs", "",
            TEXT, "DIR"),
    Setting("slurm.layout", "--slurm-layout", "OCI layout to read images from (default: their "
            "registry)", "", TEXT, "DIR"),
    Setting("slurm.partition", "--partition", "Slurm partition", "", TEXT, "NAME"),
    Setting("slurm.account", "--account", "Slurm account", "", TEXT, "NAME"),
    Setting("slurm.qos", "--qos", "Slurm quality of service", "", TEXT, "NAME"),
    Setting("slurm.gres", "--gres", "what a GPU is called, such as gpu:a100 (default: "
            "--gpus-per-node)", "", TEXT, "NAME"),
    Setting("slurm.array", "--array", "a sweep: how many tasks, or which, such as 0-9%2", "",
            TEXT, "TASKS"),
    Setting("slurm.runtime", "--slurm-runtime", "what runs the image on the nodes", "auto", TEXT,
            "NAME"),
    Setting("slurm.grace", "--grace", "seconds that a run gets for its last snapshot", 120,
            NUMBER, "SECONDS"),
    Setting("slurm.retries", "--slurm-retries", "new attempts of a run that was killed", 3, NUMBER,
            "N"),
    Setting("slurm.setup", "--slurm-setup", "one more shell line for the nodes, such as module "
            "load apptainer", (), LIST, "LINE"),
    Setting("slurm.options", "--sbatch-option", "one more option of sbatch, such as --exclude=n7",
            (), LIST, "OPTION"),
    Setting("uai.url", "--api-url", "address of UCloud's API", "https://api.ucloud.cn/", TEXT,
            "URL"),
    Setting("uai.region", "--region", "region of the platform", "cn-bj2", TEXT, "NAME"),
    Setting("uai.zone", "--zone", "availability zone in it", "cn-bj2-04", TEXT, "NAME"),
    Setting("uai.project", "--project", "project id (default: the account's own)", "", TEXT, "ID"),
    Setting("uai.profile", "--profile", "profile in ~/.ucloud whose keys are taken (default: the "
            "environment's)", "", TEXT, "NAME"),
    Setting("uai.node_type", "--node-type", "GPUs and their kind, such as 1-P40, or a node id "
            "(default: as many P40 as --gpus)", "", TEXT, "TYPE"),
    Setting("uai.data", "--uai-data", "folder on UFile or UFS that becomes /data/data", "", TEXT,
            "PLACE"),
    Setting("uai.output", "--uai-output", "folder on UFile or UFS for the results", "", TEXT,
            "PLACE"),
    Setting("uai.business_group", "--business-group", "business group, which must exist there", "",
            TEXT, "NAME"),
)  # fmt: skip
"""Places are paths where the job runs, or URIs (``s3://bucket/prefix``, ``file:///path``)."""


def table(name: str) -> tuple[Setting, ...]:
    """The settings of the table ``name``."""
    return tuple(each for each in SHIP_SETTINGS if each.table == name)
