#!/bin/bash
# What a job does on its nodes; the lines above say which job. Bash 4.4 or later.
# shellcheck disable=SC2154,SC2034
set -u
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin" SLURM_EXPORT_ENV=ALL

say() { printf 'uaitrain: %s\n' "$*"; }

# A word for the shell in the image, whichever it is.
word() { printf " '%s'" "${1//\'/\'\\\'\'}"; }

# The container's first command, as a file that every runtime can be told to start. It changes
# its own process into the image's entry point, which so becomes process 1.
write_start() {
  local entry environment workdir each libraries=/usr/local/nvidia/lib64
  mapfile -d '' -t entry <"$bundle/entrypoint"
  mapfile -d '' -t environment <"$bundle/environment"
  IFS= read -r -d '' workdir <"$bundle/workdir"
  environment=(HOME=/tmp "${environment[@]}" "${variables[@]}"
    "UAITRAIN_RUN_ID=$run" "UAITRAIN_NODES=$nodes" "UAITRAIN_RANK=$rank")
  ((nodes == 1)) || environment+=("UAITRAIN_MASTER=$master" "RANK=$rank" "WORLD_SIZE=$nodes"
    "MASTER_ADDR=${master%:*}" "MASTER_PORT=${master##*:}")
  for each in SLURM_JOB_ID SLURM_RESTART_COUNT SLURM_ARRAY_TASK_ID CUDA_VISIBLE_DEVICES; do
    [[ -z ${!each:-} ]] || environment+=("$each=${!each}")
  done
  [[ -z $task ]] || environment+=("UAITRAIN_TASK=$task")
  [[ $runtime != unshare ]] || ((!gpus)) || for each in "${!environment[@]}"; do
    # The driver's libraries come first, where enter puts them.
    [[ ${environment[each]} != LD_LIBRARY_PATH=* ]] || libraries+=:${environment[each]#*=}
  done
  [[ $runtime != unshare ]] || ((!gpus)) || environment+=("LD_LIBRARY_PATH=$libraries")
  {
    printf 'cd'
    word "$workdir"
    printf ' || exit 1\nexec env -i'
    for each in "${environment[@]}"; do word "$each"; done
    [[ ! -e $scratch/run/secrets ]] ||
      printf ' /bin/sh -c '\''. /run/uaitrain/secrets; rm -f /run/uaitrain/secrets; exec "$@"'\'' sh'
    for each in "${entry[@]}" "${command[@]//\{task\}/$task}"; do word "$each"; done
    printf '\n'
  } >"$scratch/run/start"
}

# The folders of this run: name three times source, target, mode. A sweep's tasks have an output
# folder each.
bind_mounts() {
  local index source
  binds=("$scratch/run" /run/uaitrain rw "$scratch/tmp" /tmp rw "$scratch/tmp" /var/tmp rw)
  for each in /etc/resolv.conf /etc/hosts; do
    [[ ! -r $each ]] || binds+=("$each" "$each" ro)
  done
  for ((index = 0; index < ${#mounts[@]}; index += 3)); do
    source=${mounts[index]}
    if [[ ${mounts[index + 1]} == /data/output && ${mounts[index + 2]} == rw ]]; then
      source+=${task:+/$task}
      mkdir -p "$source" || return 1
    elif [[ ! -e $source ]]; then
      say "there is no $source on the node ${SLURMD_NODENAME:-$HOSTNAME}"
      return 1
    fi
    binds+=("$source" "${mounts[index + 1]}" "${mounts[index + 2]}")
  done
}

# Each bind as one word: a prefix, then source:target:mode. The result is in `words`.
bind_words() {
  local index
  words=()
  for ((index = 0; index < ${#binds[@]}; index += 3)); do
    words+=("$1" "${binds[index]}:${binds[index + 1]}:${binds[index + 2]}")
  done
}

run_apptainer() { exec_singularity apptainer "$@"; }
run_singularity() { exec_singularity singularity "$@"; }
exec_singularity() {
  local program=$1 options=(--cleanenv --contain --no-home --writable-tmpfs)
  shift
  ((!gpus)) || options+=(--nv)
  bind_words --bind
  exec "$program" exec "${options[@]}" --bind /dev/shm "${words[@]}" "$bundle/rootfs" "$@"
}

run_enroot() {
  ((!gpus)) || export NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
  local index options=()
  for ((index = 0; index < ${#binds[@]}; index += 3)); do
    options+=(--mount "${binds[index]}:${binds[index + 1]}:none:x-create=auto,bind,${binds[index + 2]}")
  done
  export ENROOT_DATA_PATH=$bundle ENROOT_RUNTIME_PATH=$scratch/enroot
  exec enroot start --root "${options[@]}" rootfs "$@"
}

# Namespaces of the kernel and nothing else. What is written outside the mounts lies in memory
# and is gone at the end; where the kernel cannot stack a root like that, it is read-only.
run_unshare() {
  local flags=(--mount --pid) inside
  ((!EUID)) || flags+=(--user --map-root-user)
  inside="$(declare -f enter nvidia_files); $(declare -p bundle scratch shm gpus binds)"
  exec unshare "${flags[@]}" /bin/bash -c "$(declare -f keep_process_1); keep_process_1 \"\$@\"" \
    keep "$inside; enter \"\$@\"" "$@"
}
# The first child is process 1 of the new namespace, so there is no other. `unshare --fork` would
# do this, but it makes an exit code of 1 of a kill (util-linux 2.38).
keep_process_1() {
  local inside=$1
  shift
  setpriv --pdeathsig KILL /bin/bash -c "$inside" enter "$@" &
  # Process 1 hears what it is told itself; its handlers are set already, or it has done nothing.
  trap '' TERM
  wait $!
}
enter() {
  set -e
  local space=$scratch/space root=$scratch/space/root index target file
  mount -t tmpfs tmpfs "$space"
  mkdir "$space/upper" "$space/work" "$root"
  if ! mount -t overlay overlay -o \
    "lowerdir=$bundle/rootfs,upperdir=$space/upper,workdir=$space/work" "$root" 2>/dev/null; then
    mount --bind "$bundle/rootfs" "$root"
    mount -o remount,bind,ro "$root"
  fi
  mount --rbind /dev "$root/dev"
  mount -t tmpfs -o "size=$shm,mode=1777" tmpfs "$root/dev/shm"
  mount -t proc proc "$root/proc" 2>/dev/null || mount --rbind /proc "$root/proc"
  mount --rbind /sys "$root/sys"
  for ((index = 0; index < ${#binds[@]}; index += 3)); do
    target=$root${binds[index + 1]}
    [[ -e $target ]] || if [[ -d ${binds[index]} ]]; then mkdir -p "$target"; else
      mkdir -p "${target%/*}"
      : >"$target"
    fi
    mount --rbind "${binds[index]}" "$target"
    [[ ${binds[index + 2]} == rw ]] || mount -o remount,bind,ro "$target" 2>/dev/null ||
      mount -o "remount,bind,ro,$(findmnt -no OPTIONS "$target" | grep -oE 'nosuid|nodev|noexec' |
        paste -sd,)" "$target"
  done
  if ((gpus)); then
    for file in $(nvidia_files); do
      target=$root/usr/local/nvidia/lib64/${file##*/}
      mkdir -p "${target%/*}"
      : >"$target"
      mount --bind "$file" "$target"
    done
  fi
  exec chroot "$root" "$@"
}
# The driver's libraries, which belong to the node and not to the image.
nvidia_files() { ldconfig -p | grep -oE '/[^ ]*/lib(cuda|nvidia-[a-z]+|nvcuvid)\.so\.[0-9]+$'; }

# Slurm itself counts and limits what a job uses, so no groups of theirs are wanted.
run_crun() { exec_oci crun --cgroup-manager=disabled; }
run_runc() { exec_oci runc; }
exec_oci() {
  local text=$oci_config ids=''
  if ((EUID)); then
    text=${text/\"@USER@\"/\{\"type\": \"user\"\}}
    ids=$(printf '"uidMappings": [{"containerID": 0, "hostID": %d, "size": 1}],
      "gidMappings": [{"containerID": 0, "hostID": %d, "size": 1}],' "$EUID" "$(id -g)")
  else
    text=${text/\"@USER@\",/}
  fi
  text=${text//\"@IDS@\": 0,/$ids}
  text=${text//@SCRATCH@/$scratch}
  text=${text//@TASK@/${task:+/$task}}
  mkdir "$scratch/oci"
  printf '%s\n' "$text" >"$scratch/oci/config.json"
  exec "$@" --root "$scratch/state" run --bundle "$scratch/oci" "uaitrain-$SLURM_JOB_ID-$rank"
}

run_podman() {
  local options=(--network=host --shm-size="$shm" --name "uaitrain-$SLURM_JOB_ID-$rank")
  ((!gpus)) || options+=(--device nvidia.com/gpu=all)
  bind_words --volume
  exec podman --cgroup-manager=cgroupfs run --rm "${options[@]}" "${words[@]}" \
    --rootfs "$bundle/rootfs:O" "$@"
}

# The first runtime of the table that the node has and that can start something in this image.
choose_runtime() {
  local name said
  for name in "${runtimes[@]}"; do
    command -v "$name" >/dev/null || continue
    if said=$(runtime=$name probe 2>&1); then
      runtime=$name
      return
    fi
    say "$name is here but starts nothing: ${said##*$'\n'}"
  done
  say "no runtime on the node ${SLURMD_NODENAME:-$HOSTNAME} works; looked for: ${runtimes[*]}"
  return 1
}
probe() {
  local scratch binds=()
  scratch=$(make_scratch) || return 1
  printf 'exit 0\n' >"$scratch/run/start"
  binds=("$scratch/run" /run/uaitrain ro "$scratch/tmp" /tmp rw)
  ("run_$runtime" /bin/sh /run/uaitrain/start)
  local code=$?
  remove_scratch "$scratch"
  return $code
}
make_scratch() {
  local made
  made=$(mktemp -d "${TMPDIR:-/tmp}/uaitrain-$SLURM_JOB_ID.XXXXXX") || return 1
  mkdir "$made/run" "$made/space" "$made/tmp" && chmod 1777 "$made/tmp"
  printf '%s\n' "$made"
}
remove_scratch() { chmod -R u+rwX "$1" 2>/dev/null; rm -rf "$1"; }

# The processes that are asked to stop: the launcher itself, where the runtime would not tell it.
listeners() {
  if [[ $runtime == unshare ]]; then
    cat "/proc/$running/task/$running/children" 2>/dev/null
  else
    printf '%s\n' "$running"
  fi
}
# As process 1 the launcher does not hear a signal that it does not handle yet, so it is given
# some seconds to come up.
stop_listeners() {
  local pid tries caught
  for pid in $(listeners); do
    for ((tries = 0; tries < 100; tries++)); do
      caught=$(sed -n 's/^SigCgt:\t//p' "/proc/$pid/status" 2>/dev/null) || break
      ((0x${caught:-0} & 0x4000)) && break
      sleep 0.1
    done
    kill -TERM "$pid" 2>/dev/null
  done
}

# Wait for the background process $1 and give its exit code; SIGTERM calls $2 meanwhile. Bash
# (5.2) may lose the exit code of a process that ends while a signal interrupts `wait` for it, so
# that is called when there is nothing to wait for any more.
wait_for() {
  local never
  waited=$1
  # shellcheck disable=SC2064
  trap "stopped=1; $2" TERM
  [[ -z $early ]] || { stopped=1 && "$2"; }
  exec {never}<> <(:)
  while kill -0 "$1" 2>/dev/null; do read -r -t 0.2 -u "$never"; done
  exec {never}<&-
  trap 'early=1' TERM
  wait "$1"
}
# One node's part of the run: its exit code is the launcher's.
on_node() {
  local code each binds=() words=()
  trap 'early=1' TERM
  rank=$1
  scratch=$(make_scratch) || return 75
  # shellcheck disable=SC2064
  trap "remove_scratch '$scratch'" EXIT
  [[ ! -e $secrets ]] || (umask 077 && cp "$secrets" "$scratch/run/secrets") || return 75
  bind_mounts || return 66
  choose_runtime || return 69
  write_start
  say "attempt $((${SLURM_RESTART_COUNT:-0} + 1)) of $run on ${SLURMD_NODENAME:-$HOSTNAME}" \
    "(rank $rank of $nodes), by $runtime"
  "run_$runtime" /bin/sh /run/uaitrain/start </dev/null &
  running=$!
  wait_for "$running" stop_listeners
  code=$?
  [[ $runtime != podman ]] || podman rm --force "uaitrain-$SLURM_JOB_ID-$rank" &>/dev/null
  return $code
}

# One task of several nodes. Who fails first gives the others time to end by themselves, before
# srun ends what waits for it in vain.
on_one_of_nodes() {
  local code tries
  (on_node "$SLURM_PROCID") &
  wait_for $! pass_on
  code=$?
  printf '%s\n' "$code" >"$state/exit.$SLURM_PROCID"
  ((code == 0)) || for ((tries = 0; tries < grace; tries++)); do
    (($(find "$state" -name 'exit.*' | wc -l) < nodes)) || break
    sleep 1
  done
  return $code
}
pass_on() { kill -TERM "$waited" 2>/dev/null; }

weight() {
  case $1 in
    0) echo 0 ;;
    143) echo 1 ;;
    *) echo $(($1 > 128 ? 2 : 3)) ;;
  esac
}
on_all_nodes() {
  local first said code=0 file
  rm -f "$state"/exit.*
  first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
  getent hosts "$first" >/dev/null || first=$(hostname -I | cut -d' ' -f1)
  master=$first:$((20000 + SLURM_JOB_ID % 20000))
  srun --ntasks="$nodes" --ntasks-per-node=1 --kill-on-bad-exit=1 --unbuffered \
    /bin/bash -c "$(declare -f); $(declare -p bundle run task state secrets nodes gpus shm grace \
    runtimes oci_config variables command mounts master early stopped); on_one_of_nodes" &
  wait_for $! stop_step
  said=$?
  for ((rank = 0; rank < nodes; rank++)); do
    file=$state/exit.$rank
    [[ -e $file ]] || { code=$((code > 0 ? code : said)); continue; }
    read -r each <"$file"
    # What failed for good is the run's end, then what was killed: the others only followed.
    if (($(weight "$each") > $(weight "$code"))); then code=$each; fi
  done
  return "$code"
}
stop_step() { scancel --quiet --signal=TERM "$SLURM_JOB_ID.0"; }

main() {
  local code
  early='' stopped=''
  trap 'early=1' TERM
  task=${SLURM_ARRAY_TASK_ID:-}
  state=$folder/runs/$run${task:+/$task} secrets=$folder/runs/$run/secrets master=''
  run=$run${task:+-$task}
  mkdir -p "$state" && rm -f "$state/exit"
  if ((nodes == 1)); then (on_node 0) & wait_for $! pass_on; else on_all_nodes; fi
  code=$?
  if ((code > 128 && code != 143 && ${SLURM_RESTART_COUNT:-0} < retries)) && [[ -z $stopped ]]; then
    say "the run was ended from outside ($code); it goes on in a new attempt"
    if scontrol requeue "$SLURM_JOB_ID"; then
      # Slurm ends this script; what it leaves behind would count for the next attempt.
      sleep 60
      exit "$code"
    fi
  fi
  # After a stop Slurm may start the job again; a sweep's other tasks may still need them.
  [[ $code == 143 || -n $task ]] || rm -f "$secrets"
  printf '%s\n' "$code" >"$state/exit.part" && mv "$state/exit.part" "$state/exit"
  exit $code
}
