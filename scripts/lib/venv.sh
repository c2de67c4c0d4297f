# Sourced by the scripts: makes a virtual environment from a lock and keeps it in step with it.
# shellcheck shell=bash

say() { printf '\033[2m%s\033[0m\n' "$*" >&2; }
fail() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }

# use_venv NAME LOCK…: .venv/NAME holds what the locks list, and sees the tiers' packages
use_venv() {
  local venv=$ROOT/.venv/$1 lock wanted; shift
  wanted=$(cat "$@" | cksum)
  VENV_PYTHON=$venv/bin/python
  if [ "$(cat "$venv/.lock" 2>/dev/null)" = "$wanted" ]; then return; fi
  find_python
  say "setting up $venv (once; again when a lock changes)"
  [ -x "$VENV_PYTHON" ] || "$PYTHON" -m venv "$venv" \
    || fail "$PYTHON cannot make virtual environments; on Debian: apt-get install python3-venv"
  for lock in "$@"; do
    say "  installing $(grep -cE '^[a-z0-9].*==' "$lock") packages of ${lock#"$ROOT"/}"
    "$VENV_PYTHON" -m pip install --quiet --disable-pip-version-check --no-input -r "$lock" \
      || fail "pip could not install $lock; its reason stands above"
  done
  # The tiers are used in place, so that a change of source needs no installation.
  printf '%s\n' "$ROOT"/images/{core,web,worker,scaler,machines} "$ROOT/scripts" \
    >"$("$VENV_PYTHON" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/imagefleet.pth"
  printf '%s\n' "$wanted" >"$venv/.lock"
}

# find_python: PYTHON becomes an interpreter that is new enough
find_python() {
  local try
  for try in ${PYTHON:+"$PYTHON"} python3 python3.13 python3.12 python3.11; do
    PYTHON=$(command -v "$try") || continue
    "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' && return
  done
  fail "needs Python 3.11 or newer; set PYTHON to one"
}
