# Shared by .ci/prepare, tests/run, smoke/run and .ci/run. Source it; it changes to the repository's root.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '\n== %s\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# One job per core, but at least 1.5 GB of memory for each: the largest files need that much.
build_jobs() {
  local cores memory_kb jobs
  cores=$(nproc)
  memory_kb=$(awk '/^MemAvailable:/ {print $2}' /proc/meminfo)
  if [ -r /sys/fs/cgroup/memory.max ] && [ "$(cat /sys/fs/cgroup/memory.max)" != max ]; then
    local limit_kb=$(($(cat /sys/fs/cgroup/memory.max) / 1024))
    if [ "$limit_kb" -lt "$memory_kb" ]; then memory_kb=$limit_kb; fi
  fi
  jobs=$((memory_kb / 1500000))
  if [ "$jobs" -gt "$cores" ]; then jobs=$cores; fi
  if [ "$jobs" -lt 1 ]; then jobs=1; fi
  echo "$jobs"
}

# configure PRESET
configure() {
  say "configure ($1)"
  cmake --preset "$1"
}

# build PRESET [TARGET...]: all targets if none is named.
build() {
  local preset=$1
  shift
  local jobs
  jobs=$(build_jobs)
  say "build ($preset): ${*:-everything}, $jobs jobs"
  if [ $# -gt 0 ]; then
    cmake --build --preset "$preset" -j "$jobs" --target "$@"
  else
    cmake --build --preset "$preset" -j "$jobs"
  fi
}

# has_target PRESET NAME
has_target() { ninja -C "build/$1" -t query "$2" >/dev/null 2>&1; }
