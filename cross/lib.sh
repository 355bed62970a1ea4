# Shared code of the scripts in this folder; sourced, never executed.
# shellcheck shell=bash disable=SC2034

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
OUT=$ROOT/target/cross
TOOLS=$OUT/tools
SOURCE=$OUT/source
# CROSS_BINARIES selects some of them.
read -ra BINARIES <<<"${CROSS_BINARIES:-worker worker-tls luml-satellite luml-satellite-lean satellite luml-model-server}"
TARGETS=(
    x86_64-unknown-linux-musl
    aarch64-unknown-linux-musl
    armv7-unknown-linux-musleabihf
    arm-unknown-linux-musleabihf
    riscv64gc-unknown-linux-musl
)
# Debian's compiler is installed next to rustup's, which comes first in PATH.
DEBIAN_RUSTC=/usr/bin/rustc
DEBIAN_CARGO=/usr/bin/cargo
DEBIAN_PACKAGES=(rustc-web cargo-web rust-web-src python3-venv)
# Pinned: another linker produces other bytes, and zig 0.17 links its own allocator in place of
# musl's.
PIP_PACKAGES=(ziglang==0.15.2 cargo-zigbuild==0.24.0)

say() { printf '%s\n' "$*"; }
fail() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# Prints the comment at the top of a script as its help.
help() { awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$0"; }

has() { command -v "$1" >/dev/null; }

# The target whose binaries this machine can execute natively.
host_target() {
    case $(uname -sm) in
    'Linux x86_64') say x86_64-unknown-linux-musl ;;
    'Linux aarch64') say aarch64-unknown-linux-musl ;;
    'Linux armv7l') say armv7-unknown-linux-musleabihf ;;
    'Linux armv6l') say arm-unknown-linux-musleabihf ;;
    'Linux riscv64') say riscv64gc-unknown-linux-musl ;;
    *) say none ;;
    esac
}

known_target() {
    local target
    for target in "${TARGETS[@]}"; do [ "$target" = "$1" ] && return; done
    fail "no such target: $1 (there are ${TARGETS[*]})"
}

apt_install() {
    has apt-get || fail "no apt-get here: install $* by other means"
    local as_root=()
    [ "$(id -u)" = 0 ] || as_root=(sudo -n)
    as_root+=(env DEBIAN_FRONTEND=noninteractive)
    set -- "${as_root[@]}" apt-get install -y --no-install-recommends "$@"
    # A fresh machine has no package lists yet.
    "$@" || { "${as_root[@]}" apt-get update && "$@"; }
}

install_zig() {
    apt_install "${DEBIAN_PACKAGES[@]}"
    python3 -m venv "$TOOLS"
    "$TOOLS/bin/pip" install --quiet "${PIP_PACKAGES[@]}"
}

# Lists what the method zig lacks; prints nothing if it is complete.
lacks_for_zig() {
    local list=()
    [ -x $DEBIAN_RUSTC ] || list+=(rustc-web)
    [ -x $DEBIAN_CARGO ] || list+=(cargo-web)
    [ -d "$(sources_of_std $DEBIAN_RUSTC)" ] || list+=(rust-web-src)
    [ -x "$TOOLS/bin/cargo-zigbuild" ] || list+=(ziglang cargo-zigbuild)
    say "${list[*]}"
}

sources_of_std() { [ -x "$1" ] && say "$("$1" --print sysroot)/lib/rustlib/src/rust/library"; }

use_debian_rust() {
    export RUSTC=$DEBIAN_RUSTC CARGO=$DEBIAN_CARGO RUSTC_BOOTSTRAP=1 PATH="$TOOLS/bin:$PATH"
}

# One build at a time in a tree: two would use each other's copy of the sources.
alone() {
    mkdir -p "$OUT"
    exec 9>"$OUT/lock"
    flock --nonblock 9 || fail "cross/build or cross/check runs in this tree already; wait for it"
}

# Copies a consistent snapshot of the workspace, even if it is edited meanwhile: repeats until
# nothing differs after the last file was copied.
copy_source() {
    local new=$SOURCE.new tries=5 output=''
    until output=$(copy_to "$new" 2>&1) && diff -rq --exclude={target,python,node,'.*'} "$ROOT" "$new" >/dev/null; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || fail "the sources cannot be copied, or change faster than that" "$output"
        sleep 1
    done
    without_dev_dependencies "$new"
    rm -rf "$SOURCE"
    mv "$new" "$SOURCE"
}

# Keeps the files' modification times, or cargo would rebuild everything. The packages for Python
# and Node are not needed, and what their tools install there is large.
copy_to() {
    rm -rf "$1"
    mkdir -p "$1"
    (cd "$ROOT" && find . -mindepth 1 -maxdepth 1 ! -name target ! -name python ! -name node ! -name '.*' -exec cp -pR -t "$1" {} +)
}

# Cargo would build them for an example. The tree's own manifests and lock file stay unchanged.
without_dev_dependencies() {
    local manifest
    for manifest in "$1"/Cargo.toml "$1"/cli/Cargo.toml "$1"/satellite/Cargo.toml "$1"/satellite/*/Cargo.toml "$1"/crates/*/Cargo.toml; do
        awk '/^\[/ { skip = /dev-dependencies/ } !skip' "$manifest" >"$1/manifest"
        touch -r "$manifest" "$1/manifest"
        mv "$1/manifest" "$manifest"
    done
}
