# What the steps of tests/run and tests/long share; sourced at the top of the repository.
# $NOTES is a directory of the run's own.

# The package of the program, and what cargo makes of it.
PROGRAM_PACKAGE=coracle-cli
PROGRAM=${CARGO_TARGET_DIR:-target}/debug/coracle
RELEASED_PROGRAM=${CARGO_TARGET_DIR:-target}/release/coracle

build_program() {
    run cargo build --locked -p "$PROGRAM_PACKAGE"
}

# The same packages wherever a release is built, or what they share would be built twice.
build_release() {
    run cargo build --release --locked -p "$PROGRAM_PACKAGE" -p coracle-bench
}

# Prints a command, notes it for the report of a failure, runs it, and notes the time where it only compiles.
run() {
    local begun=$SECONDS
    printf '+ %s\n' "$*"
    printf '%s\n' "$*" >"$NOTES/command"
    "$@" || return
    case "$*" in
    *"cargo build"* | *"cargo clippy"* | *"cargo doc"* | *"cargo test"*" --no-run"* | *"tests/cross build"*)
        echo "$((SECONDS - begun))" >>"$NOTES/compiling"
        ;;
    esac
}

fail() {
    echo "$0: $*" >&2
    exit 1
}

# Installs packages of Debian's: need_tools COMMAND:PACKAGE... installs those whose command is not here.
need_tools() {
    local missing=() pair
    for pair in "$@"; do
        type -P "${pair%%:*}" >/dev/null || missing+=("${pair#*:}")
    done
    [ ${#missing[@]} = 0 ] || install_packages "${missing[@]}"
}

install_packages() {
    local as_root=() install=(apt-get install -y --no-install-recommends "$@")
    command -v apt-get >/dev/null || fail "missing, by their names in Debian: $*"
    if [ "$(id -u)" != 0 ]; then
        # Only a machine of CI's is changed without being asked.
        [ "${CI-}" = true ] && sudo -n true || fail "missing: $*. This installs them: sudo ${install[*]}"
        as_root=(sudo)
    fi
    as_root+=(env DEBIAN_FRONTEND=noninteractive)
    # Steps that run beside each other would find the package database locked.
    exec {packages_lock}>"${TMPDIR:-/tmp}/coracle-packages.lock"
    flock "$packages_lock"
    run "${as_root[@]}" apt-get update -q
    run "${as_root[@]}" "${install[@]}"
    exec {packages_lock}>&-
}

# Runs a command as root: what it does, a user may not.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        run "$@"
    elif [ "${CI-}" = true ] && sudo -n true; then
        run sudo --preserve-env=PATH,CORACLE_QUICK,CARGO_TARGET_DIR "$@"
    else
        fail "only root can do this. This does it: sudo --preserve-env=PATH $*"
    fi
}

# The features of the core, one a line, without `default`.
core_features() {
    cargo metadata --no-deps --format-version 1 --locked | python3 -c '
import json, sys
for package in json.load(sys.stdin)["packages"]:
    if package["name"] == "coracle-core":
        print(*(name for name in package["features"] if name != "default"), sep="\n")'
}

# Subsets of the arguments behind the first one, one a line, joined by commas: those of at most $1 of them, and those that lack at
# most $1. The first line is empty. `manage` includes `write`, and `sync` includes `manage`.
subsets() {
    python3 -c '
import itertools, sys
few, names = int(sys.argv[1]), sys.argv[2:]
for size in range(len(names) + 1):
    for subset in itertools.combinations(names, size):
        lacks = ("manage" in subset and "write" not in subset) or ("sync" in subset and "manage" not in subset)
        if min(size, len(names) - size) <= few and not lacks:
            print(",".join(subset))' "$@"
}
