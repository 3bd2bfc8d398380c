"""The manual's whole path on this machine, with real parts; what `make demo` runs.

MNIST is packed into two images with caffe_tool.py, the GPU image goes to a registry that asks for
a password, and the CPU command from uaitrain_cmd.txt trains LeNet with BVLC Caffe 1.0. The GPU
image stands on the CPU variant of the GPU base, because that has 3.0 GB.
"""

from __future__ import annotations

import os
import pty
import re
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "packages" / "uaitrain" / "tests"))

from support.engines import running_docker  # noqa: E402 - found through the line above
from support.registry import RunningRegistry, running_registry  # noqa: E402

EXAMPLE = ROOT / "examples" / "mnist"
STATE = ROOT / ".state" / "demo"
CPU_BASE = "caffe-1.0.0-debian11-cpu"
TORCH_BASE = "caffe-torch-debian12-cpu"
USER = "demo"
IMAGE = "caffe-mnist"
WANTED_ACCURACY = 0.97
CPU_HEADING = "CMD for CPU local test:"


def say(text: str) -> None:
    print(f"\n\033[1m== {text}\033[0m" if sys.stdout.isatty() else f"\n== {text}", flush=True)


@contextmanager
def timed(what: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    print(f"   {what}: {time.monotonic() - began:.1f} s", flush=True)


def uaitrain(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "uaitrain", *words], check=True)


def engine_environment(stack: ExitStack) -> dict[str, str]:
    """The user's Docker if it answers, else an engine of our own that ends with the demo."""
    asked = subprocess.run(["docker", "version"], capture_output=True, check=False)
    if asked.returncode == 0:
        print("   the Docker engine that runs here")
        return {}
    storage = STATE / "docker"
    storage.mkdir(parents=True, exist_ok=True)
    running = stack.enter_context(running_docker(storage, keep=True))
    print("   no Docker engine runs here: one was started for the demo and ends with it")
    return {"DOCKER_HOST": running.host}


def lay_out() -> Path:
    """The manual's folder: caffe_tool.py beside code/; data and results in folders of their own."""
    job = STATE / "mnist"
    shutil.rmtree(job, ignore_errors=True)
    shutil.copytree(EXAMPLE / "code", job / "code")
    shutil.copy2(ROOT / "uaitrain_tool" / "caffe" / "caffe_tool.py", job)
    data = STATE / "test" / "data"
    subprocess.run([sys.executable, str(EXAMPLE / "make_lmdb.py"), str(data)], check=True)
    for prototxt in (EXAMPLE / "code").glob("*.prototxt"):
        shutil.copy2(prototxt, data)
    shutil.rmtree(STATE / "test" / "output", ignore_errors=True)
    (STATE / "test" / "output").mkdir()
    return job


def pack(job: Path, registry: RunningRegistry, environment: dict[str, str]) -> None:
    words = [
        *(sys.executable, "caffe_tool.py", "pack"),
        *("--public_key=demo", "--private_key=demo"),
        *("--code_path=./code/", "--mainfile_path=train.py"),
        *(f"--uhub_username={registry.username}", "--uhub_registry=caffe-demo"),
        *(f"--uhub_imagename={IMAGE}", "--ai_arch_v=caffe-1.0.0"),
        *(f"--test_data_path={STATE / 'test' / 'data'}",),
        *(f"--test_output_path={STATE / 'test' / 'output'}",),
        *("--solver=/data/data/lenet_solver.prototxt",),
        *(f"--registry_host={registry.host}", f"--base_cpu={CPU_BASE}", f"--base_gpu={TORCH_BASE}"),
    ]
    shown = " \\\n       ".join(word for word in words[1:] if word != words[0])
    print(f"   $ python {shown}\n", flush=True)
    # The password goes through the environment: a command line would show it to everybody.
    secret = {"UAITRAIN_REGISTRY_PASSWORD": registry.password}
    subprocess.run(words, cwd=job, env=os.environ | environment | secret, check=True)


def show_registry(registry: RunningRegistry) -> None:
    image = f"docker://{registry.host}/caffe-demo/{IMAGE}:uaitrain"
    ask = ["skopeo", "inspect", "--tls-verify=false", "--format", "{{.Digest}}"]
    stranger = subprocess.run([*ask, "--no-creds", image], capture_output=True, check=False)
    print(f"   without the password: {'refused' if stranger.returncode else 'NOT REFUSED'}")
    authfile = STATE / "auth.json"
    try:
        subprocess.run(
            [
                *("skopeo", "login", "--tls-verify=false", "--authfile", str(authfile)),
                *("--username", registry.username, "--password-stdin", registry.host),
            ],
            input=registry.password.encode(),
            stdout=subprocess.DEVNULL,
            check=True,
        )
        known = subprocess.run(
            [*ask, "--authfile", str(authfile), image], capture_output=True, text=True, check=True
        )
    finally:
        authfile.unlink(missing_ok=True)
    print(f"   with it: {known.stdout.strip()}")


def train(job: Path, environment: dict[str, str]) -> float:
    """Run the CPU command as it stands in the file, in a terminal; the last test accuracy."""
    lines = (job / "uaitrain_cmd.txt").read_text().splitlines()
    command = lines[lines.index(CPU_HEADING) + 1]
    print(f"   $ {command}\n", flush=True)
    os.environ.update(environment)
    seen: list[bytes] = []

    def read(handle: int) -> bytes:
        data = os.read(handle, 65536)
        seen.append(data)
        return data if sys.stdout.isatty() else b""

    if sys.stdout.isatty():
        status = pty.spawn(["bash", "-c", command], read)
    else:
        status = _spawn_quietly(command, seen)
    output = b"".join(seen).decode(errors="replace")
    if os.waitstatus_to_exitcode(status):
        sys.exit(f"the training ended with {os.waitstatus_to_exitcode(status)}:\n{output[-3000:]}")
    found = re.findall(r"Test net output #\d+: accuracy = ([0-9.]+)", output)
    if not sys.stdout.isatty():
        telling = re.findall(r"Iteration \d+ \(.*|Test net output #\d+: accuracy.*", output)
        print("\n".join(f"   {line.strip()}" for line in telling))
    return float(found[-1])


def _spawn_quietly(command: str, seen: list[bytes]) -> int:
    """A terminal for the command, without one for us (as in CI)."""
    pid, handle = pty.fork()
    if pid == 0:
        os.execvp("bash", ["bash", "-c", command])  # noqa: S606 - the user's own command
    try:
        while data := os.read(handle, 65536):
            seen.append(data)
    except OSError:
        pass  # Linux says EIO where a terminal's other side has closed
    os.close(handle)
    return os.waitpid(pid, 0)[1]


def main() -> None:
    began = time.monotonic()
    STATE.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        say("1. The base images, built once: BVLC Caffe 1.0 for CPUs, and our engine on PyTorch")
        with timed("base with Caffe"):
            uaitrain("base", "build", "caffe-1.0.0", "--accelerator", "cpu")
        with timed("base with the engine"):
            uaitrain("base", "build", TORCH_BASE)
        say("2. A registry that asks for a password, on loopback, and a Docker engine")
        folder = STATE / "registry"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        registry = stack.enter_context(
            running_registry(folder, htpasswd=(USER, secrets.token_urlsafe(12)))
        )
        print(f"   registry {registry.host}, user {registry.username}, a new password")
        environment = engine_environment(stack)
        say("3. The manual's folder: code/, caffe_tool.py, and two LMDBs made from MNIST")
        job = lay_out()
        say("4. Pack both images and push the GPU image")
        print("   The GPU base has 3.0 GB, too much for a demo: the GPU image stands on its CPU")
        print("   variant, with the same engine on PyTorch's CPU build. For the real one:")
        print("   uaitrain base build caffe-1.0.0 --engine torch --accelerator gpu")
        with timed("pack and push"):
            pack(job, registry, environment)
        say("5. What the registry says")
        show_registry(registry)
        say("6. Train LeNet by the CPU command of uaitrain_cmd.txt")
        print(f"   {time.monotonic() - began:.1f} s until here")
        with timed("training"):
            accuracy = train(job, environment)
    say(f"test accuracy {accuracy:.4f}; the whole demo took {time.monotonic() - began:.0f} s")
    results = STATE / "test" / "output"
    print(f"   results: {results}")
    print("   " + "  ".join(sorted(path.name for path in results.iterdir())))
    if accuracy < WANTED_ACCURACY:
        sys.exit(f"LeNet should reach {WANTED_ACCURACY}")


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as failed:
        sys.exit(f"the demo stops: {Path(failed.cmd[1]).name} ended with {failed.returncode}")
