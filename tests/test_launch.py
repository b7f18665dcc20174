"""The scripts of launch/ with a fake gcloud, srun and python; no JAX, no network."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="the scripts for TPU hosts need flock, setsid and /proc"
)

ROOT = Path(__file__).parent.parent
SCRIPTS = sorted((ROOT / "launch").iterdir())
QUOTING = ["--config.a=two  words", "--config.b='single' \"double\"", "--config.c=$HOME `id` \\", "*", "größe 🎨", ""]

# Replaces the trainer. Line N of the file script-w-I is what it does at its Nth start on host w-I.
TRAINER = """#!/usr/bin/env bash
trap '[[ $task != obey ]] || exit 75' TERM
cd "$FAKE_GCLOUD"
printf '%s\\0' "$@" >"arguments-$HOSTNAME"
read -r task <"script-$HOSTNAME"
sed -i 1d "script-$HOSTNAME"
echo "trainer: $task $LIBTPU_INIT_ARGS"
[[ $task != preempt ]] || echo SUSPENDING >state
[[ $task != leave ]] || { sleep 30 & echo $! >left; exit 75; }
[[ $task =~ ^[0-9]+$ ]] && exit "$task"
for _ in {1..1500}; do sleep 0.02; done
"""

# Replaces python3 of a host: creates an environment whose python is the trainer above.
PYTHON3 = """#!/usr/bin/env bash
echo "python3 $*" >>"$FAKE_GCLOUD/installed"
[[ $* != "-m uv venv "* ]] || { mkdir -p .venv/bin && cp "$FAKE_GCLOUD/trainer" .venv/bin/python; }
"""


def write_script(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def wait_until(*conditions: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not all(condition() for condition in conditions):
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository that contains only launch/."""
    root = tmp_path_factory.mktemp("a checkout")
    shutil.copytree(ROOT / "launch", root / "launch")
    (root / ".gitignore").write_text("dist/\n")
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@t", "-c", "commit.gpgsign=false"]
    for arguments in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message=all"]):
        subprocess.run([*git, *arguments], cwd=root, check=True)
    return root


class Cloud:
    """A folder that holds the state of tests/fake_gcloud, and methods that run the scripts with it."""

    def __init__(self, folder: Path, checkout: Path, hosts: int):
        self.folder, self.checkout = folder, checkout
        write_script(folder / "bin" / "gcloud", (ROOT / "tests" / "fake_gcloud").read_text())
        write_script(folder / "bin" / "python3", PYTHON3)
        write_script(folder / "trainer", TRAINER)
        (folder / "hosts").write_text(str(hosts))
        self.environment = {
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
            "HOME": str(folder),
            "LC_ALL": "C.UTF-8",
            "FAKE_GCLOUD": str(folder),
            "POLL": "0.02",
            "BACKOFF": "0",
            "WORKDIR": "gs://bucket/my runs",
        }

    def run(self, script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [self.checkout / "launch" / script, *arguments],
            cwd=self.folder,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=30,
        )

    def tpu_vm(self, *arguments: str, code: int = 0, **environment: str) -> str:
        done = self.run("tpu_vm.sh", *arguments, **environment)
        assert done.returncode == code, done.stderr
        return done.stdout

    def plan(self, *tasks: str, host: int = 0) -> None:
        """Sets what the trainer does at each of its starts."""
        (self.folder / f"script-w-{host}").write_text("".join(f"{task}\n" for task in tasks))

    def calls(self) -> list[str]:
        """The calls of gcloud since the last call of this method, one word for each, without queries of states."""
        file = self.folder / "calls"
        lines = file.read_text().splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        words = ("create", "delete", "scp", "install", "start", "status", "stop", "tail", "rsync")
        return [next(word for word in words if f" {word}" in line) for line in lines if " describe " not in line]

    def arguments(self, host: int = 0) -> list[str]:
        """The arguments of the trainer after `-m colorgan.main`."""
        words = (self.folder / f"arguments-w-{host}").read_text().split("\0")[:-1]
        assert words[:2] == ["-m", "colorgan.main"]
        return words[2:]

    def installed(self) -> list[str]:
        return (self.folder / "installed").read_text().splitlines()

    def kill_all(self) -> None:
        for file in self.folder.glob("host-*/colorgan-run/pid"):
            with contextlib.suppress(ProcessLookupError):
                group = os.getpgid(int(file.read_text()))
                assert group != os.getpgid(0)
                os.killpg(group, signal.SIGKILL)


@pytest.fixture
def cloud(tmp_path: Path, checkout: Path) -> Iterator[Cloud]:
    cloud = Cloud(tmp_path, checkout, hosts=1)
    yield cloud
    cloud.kill_all()


@pytest.fixture
def pod(tmp_path: Path, checkout: Path) -> Iterator[Cloud]:
    pod = Cloud(tmp_path, checkout, hosts=2)
    yield pod
    pod.kill_all()


def test_shellcheck() -> None:
    linter = Path(sys.executable).parent / "shellcheck"
    scripts = [*SCRIPTS, ROOT / "tests" / "fake_gcloud"]
    done = subprocess.run([linter, *scripts], capture_output=True, text=True)
    assert not done.returncode, done.stdout


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_help_is_the_header(script: Path) -> None:
    done = subprocess.run(["bash", script, "--help"], capture_output=True, text=True, check=True)
    header = script.read_text().partition("\n\n")[0].splitlines()[1:]
    assert [line.removeprefix("#").removeprefix(" ") for line in header] == done.stdout.splitlines()
    assert f"launch/{script.name} " in done.stdout
    assert not done.stderr


@pytest.mark.parametrize("script", ["tpu_vm.sh", "tpu_worker.sh", "local_processes.sh"])
@pytest.mark.parametrize("arguments", [[], ["fly"]])
def test_unknown_subcommand_is_an_error(cloud: Cloud, script: str, arguments: list[str]) -> None:
    done = cloud.run(script, *arguments)
    assert done.returncode == 2
    assert re.search("use one of|comes first", done.stderr)
    assert done.stderr.count("\n") == 1
    assert not cloud.calls()


# tpu_vm.sh, and tpu_worker.sh, which runs on the hosts


def test_create_setup_run_wait_delete(pod: Cloud) -> None:
    pod.plan("0", host=0)
    pod.plan("0", host=1)
    assert pod.tpu_vm("state") == "MISSING\n"
    pod.tpu_vm(
        "create", NAME="mine", ZONE="there", ACCELERATOR="v6e-16", SPOT="1", PROJECT="p", CREATE_FLAGS="--tags=a --x"
    )
    create = next(line for line in (pod.folder / "calls").read_text().splitlines() if " create " in line)
    assert create == (
        "compute tpus queued-resources create mine --node-id=mine --zone=there --quiet --project=p "
        "--accelerator-type=v6e-16 --runtime-version=v2-alpha-tpuv6e --spot --tags=a --x"
    )
    assert pod.tpu_vm("state") == "ACTIVE\n"
    pod.tpu_vm("create")
    assert pod.calls() == ["create"]
    assert pod.tpu_vm("status") == "colorgan ACTIVE\nw-0 none\nw-1 none\n"
    pod.tpu_vm("setup", DATA="gs://bucket/my shards")
    assert (pod.folder / "host-1" / "data" / "rsync").read_text() == "gs://bucket/my shards\n"
    pod.tpu_vm("run", *QUOTING)
    assert pod.arguments(0) == pod.arguments(1) == ["--workdir=gs://bucket/my runs", *QUOTING]
    assert "w-0 exit 0\nw-1 exit 0\n" in pod.tpu_vm("wait")
    assert pod.tpu_vm("status") == "colorgan ACTIVE\nw-0 exit 0\nw-1 exit 0\n"
    pod.tpu_vm("delete")
    assert pod.tpu_vm("status") == "colorgan MISSING\n"
    assert [call for call in pod.calls() if call != "status"] == ["scp", "install", "rsync", "rsync", "start", "delete"]


@pytest.mark.parametrize(
    ("accelerator", "runtime"),
    [("v5litepod-8", "v2-alpha-tpuv5-lite"), ("v5p-8", "v2-alpha-tpuv5"), ("v4-8", "tpu-ubuntu2204-base")],
)
def test_runtime_depends_on_accelerator(cloud: Cloud, accelerator: str, runtime: str) -> None:
    printed = cloud.tpu_vm("create", ACCELERATOR=accelerator, DRY_RUN="1")
    assert f"--accelerator-type={accelerator} --runtime-version={runtime}" in printed
    assert "--spot" not in printed


def test_second_setup_reuses_the_environment(cloud: Cloud) -> None:
    cloud.tpu_vm("create")
    cloud.tpu_vm("setup")
    cloud.tpu_vm("setup", EXTRAS="tpu")
    assert cloud.installed() == [
        "python3 -m pip install --quiet --user uv",
        "python3 -m uv venv --quiet --python 3.12 .venv",
        "python3 -m uv pip install --quiet --python .venv/bin/python --editable .[tpu,gcs,pretrained]",
        "python3 -m uv pip install --quiet --python .venv/bin/python --editable .[tpu]",
    ]


def test_setup_from_a_repository(cloud: Cloud) -> None:
    cloud.tpu_vm("create")
    for _ in range(2):
        cloud.tpu_vm("setup", GIT_URL=str(cloud.checkout))
    assert (cloud.folder / "host-0" / "colorgan" / "launch" / "tpu_worker.sh").exists()
    assert cloud.calls() == ["create", "install", "install"]


def test_only_one_trainer_runs_and_stop_lets_it_save(pod: Cloud) -> None:
    pod.plan("obey", host=0)
    pod.plan("hang", host=1)
    pod.tpu_vm("create")
    pod.tpu_vm("run", code=127)  # not set up
    pod.tpu_vm("setup")
    pod.tpu_vm("run", "--config=a", TRAINER_ENV="LIBTPU_INIT_ARGS='--a --b'")
    assert pod.tpu_vm("status") == "colorgan ACTIVE\nw-0 running\nw-1 running\n"
    for command in ("run", "setup"):
        done = pod.run("tpu_vm.sh", command, "--config=b")
        assert done.returncode == 1
        assert "a trainer is running, stop it first" in done.stderr
    assert pod.arguments()[-1] == "--config=a"
    assert "trainer: obey --a --b\n" in (pod.folder / "host-0" / "colorgan-run" / "log.txt").read_text()
    assert pod.tpu_vm("stop", STOP_SECONDS="1") == "w-0 exit 75\nw-1 exit 137\n"
    assert pod.tpu_vm("stop") == "w-0 exit 75\nw-1 exit 137\n"


def test_run_ends_with_its_trainer_despite_child_processes(cloud: Cloud) -> None:
    cloud.plan("leave")
    cloud.tpu_vm("create")
    cloud.tpu_vm("setup")
    cloud.tpu_vm("run")
    cloud.tpu_vm("wait", code=75)
    os.kill(int((cloud.folder / "left").read_text()), signal.SIGKILL)


def test_run_outlives_its_connection(cloud: Cloud) -> None:
    cloud.plan("obey")
    cloud.tpu_vm("create")
    cloud.tpu_vm("setup")
    cloud.tpu_vm("run")
    pid = int((cloud.folder / "host-0" / "colorgan-run" / "pid").read_text())
    assert os.getsid(pid) not in (os.getsid(0), pid)
    assert {os.readlink(f"/proc/{pid}/fd/{n}") for n in (1, 2)} == {
        str(cloud.folder / "host-0" / "colorgan-run" / "log.txt")
    }
    cloud.kill_all()  # as a power cut would
    assert cloud.tpu_vm("status") == "colorgan ACTIVE\nw-0 exit 137\n"


def test_wait_combines_the_exit_codes_of_hosts(pod: Cloud) -> None:
    ends = {"0 0": 0, "0 1": 1, "2 75": 2, "75 75": 75, "0 134": 75, "hang 139": 75}
    for host in range(2):
        pod.plan(*(tasks.split()[host] for tasks in ends), host=host)
    pod.tpu_vm("create")
    pod.tpu_vm("setup")
    for code in ends.values():
        pod.tpu_vm("run")
        printed = pod.tpu_vm("wait", code=code, GRACE="0")
        assert (f"trainer: {code}" in printed) == (code in (1, 2))  # the log is shown if the user must act


def test_wait_distinguishes_lost_connections_from_a_lost_tpu(cloud: Cloud) -> None:
    cloud.plan("hang")
    cloud.tpu_vm("create")
    cloud.tpu_vm("setup")
    (cloud.folder / "ssh_failures").write_text("2")
    cloud.tpu_vm("run", code=255)
    (cloud.folder / "ssh_failures").unlink()
    cloud.tpu_vm("run")
    (cloud.folder / "ssh_failures").write_text("2")
    waiting = subprocess.Popen(
        [cloud.checkout / "launch" / "tpu_vm.sh", "wait"], env=cloud.environment, stderr=subprocess.PIPE, text=True
    )
    assert waiting.stderr is not None
    assert [waiting.stderr.readline() for _ in range(2)] == [
        "tpu_vm.sh: not every host answers, colorgan is ACTIVE\n"
    ] * 2
    (cloud.folder / "state").write_text("OFFLINE")
    assert "Unable to find the server" in waiting.stderr.readline()
    (cloud.folder / "node").write_text("PREEMPTED")
    (cloud.folder / "state").write_text("ACTIVE")
    with waiting.stderr:
        assert waiting.stderr.read().endswith("tpu_vm.sh: not every host answers, colorgan is PREEMPTED\n")
    assert waiting.wait() == 75


def test_create_replaces_only_a_lost_tpu(cloud: Cloud) -> None:
    for state in ("SUSPENDED", "FAILED"):
        (cloud.folder / "state").write_text(state)
        cloud.tpu_vm("create")
        assert cloud.calls() == ["delete", "create"]
    cloud.tpu_vm("create")
    (cloud.folder / "state").write_text("OFFLINE")
    cloud.tpu_vm("create", code=1)
    assert cloud.calls() == []


def test_logs_follow_one_host(cloud: Cloud) -> None:
    cloud.plan("hang")
    cloud.tpu_vm("create")
    cloud.tpu_vm("setup")
    cloud.tpu_vm("run", "--config=a b")
    command = [str(cloud.checkout / "launch" / "tpu_vm.sh"), "logs"]
    following = subprocess.Popen(
        command, env=cloud.environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert following.stdout is not None
    with following.stdout:
        lines = iter(following.stdout.readline, "")
        assert any(line.endswith(r"--config=a\ b" + "\n") for line in lines)
        assert any(line == "trainer: hang \n" for line in lines)
        os.killpg(following.pid, signal.SIGKILL)
    following.wait()


def test_dry_run_prints_shell_commands(cloud: Cloud) -> None:
    for command in ("create", "setup", "wait", "status", "logs", "stop", "delete"):
        assert "gcloud compute tpus" in cloud.tpu_vm(command, DRY_RUN="1")
    printed = cloud.tpu_vm("run", *QUOTING, DRY_RUN="1")
    keeping = cloud.run("tpu_keep.sh", *QUOTING, DRY_RUN="1")
    assert keeping.returncode == 0
    assert printed in keeping.stdout
    assert not cloud.calls()
    assert not list(cloud.folder.glob("host-*"))

    cloud.plan("0")
    cloud.tpu_vm("create")
    cloud.tpu_vm("setup")
    subprocess.run(["bash", "-c", printed], env=cloud.environment, cwd=cloud.folder, check=True)
    assert cloud.arguments() == ["--workdir=gs://bucket/my runs", *QUOTING]


def test_commands_in_docs_tpu(cloud: Cloud) -> None:
    text = (ROOT / "docs" / "tpu.md").read_text().replace("\\\n", "")
    blocks = [block.partition("```")[0] for block in text.split("```sh\n")[1:]]
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("export ") or "launch/" in line]
    script = cloud.folder / "commands"
    script.write_text("\n".join(["set -eu", "export DRY_RUN=1", *lines]))
    done = subprocess.run(["bash", script], env=cloud.environment, cwd=cloud.checkout, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--project=my-project" in done.stdout
    assert "--accelerator-type=v5litepod-16" in done.stdout
    for command in ("create", "delete", "install", "start", "status", "tail"):
        assert command in done.stdout
    assert not cloud.calls()


# tpu_keep.sh

CREATED = ["create", "scp", "install", "start"]


def kept(cloud: Cloud) -> list[str]:
    return [call for call in cloud.calls() if call not in ("status", "tail")]


def test_keep_resumes_on_a_new_tpu_after_preemption(cloud: Cloud) -> None:
    cloud.plan("preempt", "0")
    done = cloud.run("tpu_keep.sh", *QUOTING)
    assert done.returncode == 0, done.stderr
    assert kept(cloud) == [*CREATED, "delete", *CREATED]
    assert cloud.arguments() == ["--workdir=gs://bucket/my runs", *QUOTING]
    assert "costs until you run" in done.stderr


def test_keep_resumes_on_the_same_tpu(cloud: Cloud) -> None:
    cloud.plan("75", "134", "137", "139", "143", "0")
    done = cloud.run("tpu_keep.sh", "--config=a", DELETE="1")
    assert done.returncode == 0, done.stderr
    assert kept(cloud) == [*CREATED, *["stop", "start"] * 5, "delete"]


@pytest.mark.parametrize("code", [1, 2])
def test_keep_stops_if_a_retry_does_not_help(cloud: Cloud, code: int) -> None:
    cloud.plan(str(code), "0")
    done = cloud.run("tpu_keep.sh", "--config=a")
    assert done.returncode == code
    assert kept(cloud) == CREATED
    assert f"trainer: {code}" in done.stdout


def test_keep_stops_the_other_hosts_before_it_resumes(pod: Cloud) -> None:
    pod.plan("obey", "0", host=0)
    pod.plan("134", "0", host=1)
    done = pod.run("tpu_keep.sh", "--config=a", GRACE="0", STOP_SECONDS="5")
    assert done.returncode == 0, done.stderr
    assert "w-0 exit 75\nw-1 exit 134\n" in done.stdout
    assert kept(pod) == [*CREATED, "stop", "start"]


def test_keep_survives_failing_connections(cloud: Cloud) -> None:
    cloud.plan("0")
    cloud.tpu_vm("create")
    cloud.calls()
    (cloud.folder / "ssh_failures").write_text("4")  # of the status and the setup, twice
    done = cloud.run("tpu_keep.sh", "--config=a")
    assert done.returncode == 0, done.stderr
    assert kept(cloud) == ["scp", "scp", *CREATED[1:]]


def test_keep_gives_up_after_max_failures(cloud: Cloud) -> None:
    cloud.plan(*["75"] * 9)
    done = cloud.run("tpu_keep.sh", "--config=a", MAX_FAILURES="3")
    assert done.returncode == 75
    assert "no progress in 3 attempts" in done.stderr
    assert kept(cloud) == [*CREATED, "stop", "start", "stop", "start"]


def test_keep_resets_the_failure_count_after_progress(cloud: Cloud) -> None:
    cloud.plan("75", "75", "0")
    done = cloud.run("tpu_keep.sh", "--config=a", MAX_FAILURES="2", PROGRESS_SECONDS="0")
    assert done.returncode == 0, done.stderr


def test_keep_adopts_a_running_trainer_without_setup(cloud: Cloud) -> None:
    cloud.plan("obey", "0")
    cloud.tpu_vm("create")
    cloud.tpu_vm("setup")
    cloud.tpu_vm("run", "--config=a")
    cloud.calls()
    command = [str(cloud.checkout / "launch" / "tpu_keep.sh"), "--config=a"]
    with subprocess.Popen(command, env=cloud.environment, stderr=subprocess.PIPE, text=True) as keeper:
        calls = cloud.folder / "calls"
        wait_until(calls.exists, lambda: calls.read_text().count(" status") > 1)  # it waits for the trainer
        os.kill(int((cloud.folder / "host-0" / "colorgan-run" / "pid").read_text()), signal.SIGTERM)
        keeper.communicate(timeout=20)
    assert keeper.returncode == 0
    assert kept(cloud) == ["stop", "start"]


def test_keep_requires_a_config_before_it_creates_a_tpu(cloud: Cloud) -> None:
    done = subprocess.run(
        [ROOT / "launch" / "tpu_keep.sh"], env=os.environ | {"WORKDIR": "gs://b/r"}, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "--config is missing" in done.stderr
    assert not cloud.calls()


def test_keep_requires_a_workdir_in_a_bucket(cloud: Cloud) -> None:
    done = cloud.run("tpu_keep.sh", "--config=a", WORKDIR="runs/mine")
    assert done.returncode == 2
    assert "must be on gs://" in done.stderr
    assert not cloud.calls()


# slurm.sbatch


def submit(folder: Path, code: int, *arguments: str, **environment: str) -> tuple[int, str]:
    """Runs slurm.sbatch with an srun that exits with `code`. Returns its exit code and its Slurm calls or stdout."""
    calls = folder / "calls"
    calls.unlink(missing_ok=True)
    for name in ("srun", "scontrol"):
        exits = code if name == "srun" else 0
        write_script(folder / "bin" / name, f'#!/bin/bash\nprintf "%s|" {name} "$@" >>"{calls}"\nexit {exits}\n')
    done = subprocess.run(
        ["bash", ROOT / "launch" / "slurm.sbatch", *arguments],
        env={"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "SLURM_JOB_ID": "7", "LC_ALL": "C.UTF-8"} | environment,
        capture_output=True,
        text=True,
    )
    return done.returncode, calls.read_text() if calls.exists() else done.stdout


TASK = 'trap : TERM; "$@"; code=$?; exit $((code == 1 || code == 2 ? code + 200 : code))'
SRUN = f"srun|--kill-on-bad-exit=0|--wait=120|bash|-c|{TASK}|task|python|-m|colorgan.main|"


@pytest.mark.parametrize("code", [0, 1, 2, 75, 134, 137, 139, 143])
def test_slurm_requeues_what_can_resume(tmp_path: Path, code: int) -> None:
    requeue = "scontrol|requeue|7|" if code > 2 else ""
    of_task = subprocess.run(["bash", "-c", TASK, "task", "bash", "-c", f"exit {code}"]).returncode
    assert (of_task > 200) == (code in (1, 2))
    assert submit(tmp_path, of_task, *QUOTING) == (code, SRUN + "".join(f"{word}|" for word in QUOTING) + requeue)


def test_slurm_stops_requeuing_after_max_requeues(tmp_path: Path) -> None:
    assert "requeue" in submit(tmp_path, 75, SLURM_RESTART_COUNT="99")[1]
    assert submit(tmp_path, 75, SLURM_RESTART_COUNT="100") == (75, SRUN)


def test_slurm_dry_run(tmp_path: Path) -> None:
    printed = submit(tmp_path, 0, "a b", DRY_RUN="1", PYTHON="my python")[1]
    assert printed.startswith("srun --kill-on-bad-exit=0 --wait=120 bash -c ")
    assert printed.endswith(" task my\\ python -m colorgan.main a\\ b \n")


def test_slurm_task_survives_the_signal(tmp_path: Path) -> None:
    lines = ("#!/bin/bash", "trap 'sleep 0.2; exit 75' TERM", "echo ready", "while :; do sleep 0.05; done")
    write_script(tmp_path / "trainer", "\n".join(lines) + "\n")
    task = subprocess.Popen(
        ["bash", "-c", TASK, "task", str(tmp_path / "trainer")], stdout=subprocess.PIPE, start_new_session=True
    )
    assert task.stdout is not None
    assert task.stdout.readline() == b"ready\n"
    os.killpg(task.pid, signal.SIGTERM)  # as Slurm does it
    assert task.wait(timeout=10) == 75
    task.stdout.close()


def test_slurm_options_in_the_header() -> None:
    lines = (ROOT / "launch" / "slurm.sbatch").read_text().splitlines()
    first_command = next(n for n, line in enumerate(lines) if line and not line.startswith("#"))
    options = {line for line in lines[:first_command] if line.startswith("#SBATCH")}
    assert {"#SBATCH --requeue", "#SBATCH --signal=TERM@120", "#SBATCH --open-mode=append"} <= options
    assert "#SBATCH --cpus-per-task=8" in options


# local_processes.sh

# Replaces the trainer. Process I does what word I of TASKS says, and writes each signal as a line to signals-I.
LOCAL = """#!/usr/bin/env bash
id=${*: -1} id=${id#*=}
printf '%s\\0' "$@" >"$FOLDER/arguments-$id"
task=$(cut -d ' ' -f $((id + 1)) <<<"$TASKS")
record() { echo "$1" >>"$FOLDER/signals-$id"; [[ $task == hang ]] || exit 75; }
trap 'record INT' INT
trap 'record TERM' TERM
echo "process $id does $task"
echo "error of $id" >&2
[[ $task =~ ^[0-9]+$ ]] && exit "$task"
touch "$FOLDER/ready-$id"
for _ in {1..1500}; do sleep 0.02; done
"""


def local(folder: Path, tasks: str, *arguments: str, **environment: str) -> subprocess.Popen:
    """Starts one process for each task, in a process group of its own, as a shell with a terminal would."""
    write_script(folder / "bin" / "stub", LOCAL)
    return subprocess.Popen(
        [ROOT / "launch" / "local_processes.sh", str(len(tasks.split())), *arguments],
        env=dict(os.environ, PYTHON=str(folder / "bin" / "stub"), FOLDER=str(folder), TASKS=tasks) | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def test_local_output_has_a_prefix_for_each_process(tmp_path: Path) -> None:
    with local(tmp_path, "0 0 0", *QUOTING) as done:
        lines = sorted(done.communicate(timeout=20)[0].splitlines())
    assert done.returncode == 0
    assert lines == sorted(
        f"{prefix}{line}"
        for i, prefix in enumerate(["", "[1] ", "[2] "])
        for line in (f"process {i} does 0", f"error of {i}")
    )
    ports = set()
    for i in range(3):
        words = (tmp_path / f"arguments-{i}").read_text().split("\0")[:-1]
        assert words[:2] + words[3:] == ["-m", "colorgan.main"] + words[3:]
        *given, coordinator, count, process = words[2:]
        assert given == QUOTING
        assert (count, process) == ("--num_processes=3", f"--process_id={i}")
        ports.add(coordinator)
    (coordinator,) = ports
    assert coordinator.startswith("--coordinator=127.0.0.1:2")


@pytest.mark.parametrize(
    ("tasks", "code"), [("0 0", 0), ("0 1", 1), ("2 75", 2), ("75 2", 2), ("75 75", 75), ("0 134", 75), ("139 1", 1)]
)
def test_local_exit_code(tmp_path: Path, tasks: str, code: int) -> None:
    with local(tmp_path, tasks) as done:
        done.communicate(timeout=20)
    assert done.returncode == code


def test_local_kills_hanging_processes_after_a_failure(tmp_path: Path) -> None:
    began = time.monotonic()
    with local(tmp_path, "hang 1", GRACE="1") as done:
        done.communicate(timeout=20)
    assert done.returncode == 1
    assert 1 < time.monotonic() - began < 8


@pytest.mark.parametrize(
    ("number", "name", "group"),
    [(signal.SIGINT, "INT", True), (signal.SIGINT, "INT", False), (signal.SIGTERM, "TERM", False)],
)
def test_local_signals_reach_each_process_once(tmp_path: Path, number: int, name: str, group: bool) -> None:
    with local(tmp_path, "obey obey") as running:
        wait_until(*[(tmp_path / f"ready-{i}").exists for i in range(2)])
        (os.killpg if group else os.kill)(running.pid, number)  # to the group, as Ctrl-C in a terminal
        running.communicate(timeout=20)
    assert running.returncode == 75
    assert [(tmp_path / f"signals-{i}").read_text() for i in range(2)] == [f"{name}\n"] * 2


def test_local_dry_run(tmp_path: Path) -> None:
    with local(tmp_path, "0 0", "a b", DRY_RUN="1", PORT="1234") as done:
        printed = done.communicate(timeout=20)[0].splitlines()
    python = tmp_path / "bin" / "stub"
    assert printed == [
        f"{python} -m colorgan.main a\\ b --coordinator=127.0.0.1:1234 --num_processes=2 --process_id={i} "
        for i in (0, 1)
    ]
    assert not list(tmp_path.glob("arguments-*"))


@pytest.mark.parametrize(
    ("visible", "shares"), [(None, ["0,1", "2,3"]), ("6,7", ["6", "7"]), ("5", [None, None]), ("", [None, None])]
)
def test_local_processes_share_the_gpus(tmp_path: Path, visible: str | None, shares: list[str | None]) -> None:
    """One for each would not do: every process of JAX claims all GPUs that it sees."""
    write_script(tmp_path / "bin" / "nvidia-smi", "#!/bin/sh\nprintf '0\\n1\\n2\\n3\\n'\n")
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    with local(tmp_path, "0 0", DRY_RUN="1", PORT="1234", PATH=path, **environment) as done:
        printed = done.communicate(timeout=20)[0].splitlines()
    assert [re.findall(r"CUDA_VISIBLE_DEVICES=(\S+)", line.replace("\\", "")) for line in printed] == [
        [share] if share else [] for share in shares
    ]


def test_local_without_python(tmp_path: Path) -> None:
    with local(tmp_path, "0 0", PYTHON="no-such-python") as done:
        output = done.communicate(timeout=20)[0]
    assert done.returncode == 2
    assert "no-such-python was not found" in output
