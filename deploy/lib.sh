# Shared by deploy/demo, tests/run and .ci/run (bash, sourced): packages, folders, builds. Changes nothing outside the
# folder it is given and build/, but for the packages it installs.
# shellcheck shell=bash

KF_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
readonly KF_ROOT
readonly KF_MARKER=.keyferry-folder

say() { printf '%s\n' "$*" >&2; }

# die STATUS TEXT...: 2 wrong usage, 3 surroundings
die() {
  local status=$1
  shift
  say "$0: $*"
  exit "$status"
}

packages_wanted() { sed -e 's/#.*//' -e 's/[[:space:]]//g' -e '/^$/d' "$KF_ROOT/deploy/apt-packages.txt"; }

packages_missing() {
  local package
  while IFS= read -r package; do
    # Several architectures may answer, one a line; a removed package answers `config-files`.
    if ! dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed; then
      printf '%s\n' "$package"
    fi
  done < <(packages_wanted)
}

# Installs what is missing, and nothing else; asks the network only if something is missing.
install_packages() {
  command -v dpkg-query >/dev/null || die 3 "this is no Debian: install the packages of deploy/apt-packages.txt by hand"
  local missing=()
  mapfile -t missing < <(packages_missing)
  if [ "${#missing[@]}" -eq 0 ]; then return; fi
  say "installing: ${missing[*]}"
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || die 3 "these packages are missing; run once as root or with sudo: ${missing[*]}"
    as_root=(sudo)
  fi
  local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q)
  "${apt[@]}" update >&2 || die 3 "apt-get update failed"
  "${apt[@]}" install --no-remove --no-install-recommends -y "${missing[@]}" >&2 ||
    die 3 "apt-get install failed; nothing was removed"
}

# own_folder DIR: makes DIR if it is not there and prints its absolute path. A folder with files in it that these
# scripts did not make is refused, so nobody's files are ever cleared away.
own_folder() {
  local dir=$1
  if [ -e "$dir" ] && [ ! -d "$dir" ]; then die 2 "$dir is not a folder"; fi
  if [ -d "$dir" ] && [ ! -e "$dir/$KF_MARKER" ] && [ -n "$(ls -A "$dir")" ]; then
    die 2 "$dir has files in it and no $KF_MARKER: name an empty or a new folder"
  fi
  mkdir -p "$dir"
  : >"$dir/$KF_MARKER"
  (cd "$dir" && pwd -P)
}

# clear_folder DIR: empties a folder of ours, its marker stays.
clear_folder() {
  local dir=$1
  [ -f "$dir/$KF_MARKER" ] || die 70 "clear_folder: $dir is not ours"
  find "$dir" -mindepth 1 -maxdepth 1 ! -name "$KF_MARKER" -exec rm -rf -- {} +
}

# use_folder DIR: everything that the programs write from here on stays below DIR, emptied first and held by one run
# at a time (descriptor 9: close it for what is started, so that nothing left over holds the folder). The SoftHSM
# configuration named here is never made: whoever forgets to name its own gets an error, not the system's tokens.
use_folder() {
  local dir=$1
  exec 9>>"$dir/$KF_MARKER"
  flock -n 9 || die 3 "$dir is in use by another run"
  clear_folder "$dir"
  mkdir -p "$dir/tmp"
  export TMPDIR="$dir/tmp"
  export SOFTHSM2_CONF="$dir/no-softhsm2.conf"
}

# build_preset PRESET [TARGET] [-DOPTION=VALUE...]: into build/PRESET; the log is shown if it fails.
build_preset() {
  local preset=$1 target=${2:-all}
  shift $(($# > 1 ? 2 : 1))
  say "building: preset $preset"
  # A fresh clone elsewhere finds what ccache has of the last one.
  export CCACHE_BASEDIR="$KF_ROOT" CCACHE_NOHASHDIR=1
  (cd "$KF_ROOT" && cmake --preset "$preset" "$@" >"$TMPDIR/configure.log" 2>&1 9>&-) ||
    { cat "$TMPDIR/configure.log" >&2; die 3 "configuring preset $preset failed"; }
  (cd "$KF_ROOT" && cmake --build --preset "$preset" --target "$target" >"$TMPDIR/build.log" 2>&1 9>&-) ||
    { tail -n 200 "$TMPDIR/build.log" >&2; die 3 "building preset $preset failed"; }
}
