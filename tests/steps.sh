# What the steps of tests/run and tests/long share; sourced at the top of the repository.
# $NOTES is a directory of the run's own.

# The package of the program, and what cargo makes of it. Steps that have a target directory of their own use these, too.
PROGRAM_PACKAGE=coracle-cli
TARGET_OF_ALL=${CARGO_TARGET_DIR:-target}
PROGRAM=$TARGET_OF_ALL/debug/coracle
CHECKED_PROGRAM=$TARGET_OF_ALL/checked/coracle
CHECKED_SIMULATION=$TARGET_OF_ALL/checked/simulation
RELEASED_PROGRAM=$TARGET_OF_ALL/release/coracle
# Which packages are named decides on the features of what they share: the same ones everywhere, or it is built again.
CHECKED_PACKAGES=(-p "$PROGRAM_PACKAGE" -p coracle-bench -p coracle-simulation)

# Dependencies have the features that tests want where an example is built, too: so it is the one that the tests have built.
build_program() {
    run cargo build --locked --workspace --bin coracle --example fat_image
}

# The optimised programs that tests run, which check themselves.
build_checked() {
    run cargo build --profile checked --locked --target-dir "$TARGET_OF_ALL" "${CHECKED_PACKAGES[@]}"
}

# What users get.
build_release() {
    run cargo build --release --locked -p "$PROGRAM_PACKAGE" -p coracle-bench
}

# Of each target that is not this computer's, its compiled things lie apart: flags and compiler are not those of the other steps.
TARGETS=$TARGET_OF_ALL/platforms

# Runs Debian's cargo for a target with the standard library built from its source, since no library of the target's is
# installed: for_target TARGET LINKER COMMAND...
for_target() {
    local target=$1 linker=$2 variable
    shift 2
    variable=$(echo "$target" | tr 'a-z-' 'A-Z_')
    from_source "CARGO_TARGET_${variable}_LINKER=$linker" "CC_${target//-/_}=$linker" /usr/bin/cargo "$1" --locked --target "$target" "${@:2}"
}

# Runs a command in the environment in which Debian's cargo does that: from_source VARIABLE=VALUE... COMMAND...
from_source() {
    need_tools /usr/bin/cargo:cargo-web /usr/bin/rustc:rustc-web
    [ -f /usr/lib/rustlib/src/rust/library/std/src/lib.rs ] || install_packages rust-web-src
    # Line numbers are for backtraces, of which there are none here.
    run env RUSTC=/usr/bin/rustc RUSTDOC=/usr/bin/rustdoc RUSTC_BOOTSTRAP=1 CARGO_UNSTABLE_BUILD_STD=std,panic_unwind,test \
        CARGO_TARGET_DIR="$TARGETS" CARGO_PROFILE_DEV_DEBUG=0 "$@"
}

# Prints a command, notes it for the report of a failure, runs it, and notes the time where it only compiles.
run() {
    local begun=$SECONDS
    printf '+ %s\n' "$*"
    printf '%s\n' "$*" >"$NOTES/command"
    "$@" || return
    case "$*" in
    *"cargo build"* | *"cargo check"* | *"cargo clippy"* | *"cargo doc"* | *"cargo test"*" --no-run"* | *"tests/cross build"* | *"tests/cross check"*)
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

# The features of the core and of the library, one a line, without `default`; of the library with an empty line for none of them.
core_features() {
    features_of coracle-core
}

library_features() {
    echo
    features_of coracle
}

features_of() {
    cargo metadata --no-deps --format-version 1 --locked | python3 -c '
import json, sys
for package in json.load(sys.stdin)["packages"]:
    if package["name"] == sys.argv[1]:
        print(*(name for name in package["features"] if name != "default"), sep="\n")' "$1"
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
