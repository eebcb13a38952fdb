# What the scripts share: sourced, not run. Goes to the top of the project.
# shellcheck shell=bash

cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }

die() {
    printf '%s\n' "$*" >&2
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# Ends with one line where cargo is missing or older than Cargo.toml asks for.
need_cargo() {
    local wanted found install
    install="curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y && . ~/.cargo/env"
    wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    have cargo || die "cargo is missing (Rust $wanted or newer); install it with: $install"
    found=$(cargo --version 2>/dev/null | cut -d' ' -f2)
    if [ "$(printf '%s\n' "$wanted" "${found:-0}" | sort -V | head -1)" != "$wanted" ]; then
        have rustup && install="rustup update stable"
        die "cargo ${found:-that does not start} is older than Rust $wanted; update it with: $install"
    fi
}

# Runs a command as root: directly, or through sudo if it asks for no password.
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

# Installs Debian packages that are not there; without root, says what to type.
need_packages() {
    local package missing=()
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} = 0 ] && return
    say "installing ${missing[*]}"
    if ! have apt-get || ! { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }; then
        die "missing: ${missing[*]}; install with: sudo apt-get install -y --no-remove ${missing[*]}"
    fi
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q
    # These packages start daemons when they are installed; the tests start their own.
    as_root sh -c 'test -e /usr/sbin/policy-rc.d || { printf "#!/bin/sh\nexit 101\n" >/usr/sbin/policy-rc.d && chmod +x /usr/sbin/policy-rc.d && touch /run/swarmlet-policy; }'
    local status=0
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends --no-remove "${missing[@]}" || status=$?
    as_root sh -c 'test ! -e /run/swarmlet-policy || rm -f /usr/sbin/policy-rc.d /run/swarmlet-policy'
    [ $status = 0 ] || die "apt-get could not install ${missing[*]}"
}

# rustfmt and clippy come with most toolchains, not with all.
need_components() {
    if ! cargo fmt --version >/dev/null 2>&1 || ! cargo clippy --version >/dev/null 2>&1; then
        have rustup || die "rustfmt and clippy are missing; install them with your toolchain"
        rustup component add rustfmt clippy
    fi
}

# The gates that need no test: layout of the code, lints, and the core without std.
lint() {
    say "format"
    cargo fmt --check
    say "lints"
    cargo clippy --locked --all-targets -- -D warnings
    say "lints of the core alone"
    cargo clippy --locked --lib --no-default-features -- -D warnings
    say "the core without std"
    cargo check --locked --lib --no-default-features
}
