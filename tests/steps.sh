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
