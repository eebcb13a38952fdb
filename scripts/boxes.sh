# What scripts/cross, scripts/smallbox and scripts/filesystems share: sourced after lib.sh. Static binaries for other
# processors, and kernels for emulated machines.
# shellcheck shell=bash disable=SC2154

# Everything that is made or fetched; `cargo clean` removes it.
cross=$(realpath -m "${CARGO_TARGET_DIR:-target}")/cross
# Linker and C library (musl) of all targets, in one Python wheel.
zig_version=0.17.1

# Name, Rust's target, zig's target, the processor that the C library is compiled for (zig's defaults are newer than
# Rust's), qemu-user (- runs here), the weakest processor that it plays, and whether there are 64-bit atomics, without
# which the crate behind --create does not compile.
targets="
x86_64   x86_64-unknown-linux-musl       x86_64-linux-musl      x86_64                    -        -                  atomic64
i686     i686-unknown-linux-musl         x86-linux-musl         pentium4                  -        -                  atomic64
aarch64  aarch64-unknown-linux-musl      aarch64-linux-musl     generic                   aarch64  cortex-a53         atomic64
armv7    armv7-unknown-linux-musleabihf  arm-linux-musleabihf   generic+v7a+vfp3d16-neon  arm      cortex-a9,neon=off atomic64
armv5    armv5te-unknown-linux-musleabi  arm-linux-musleabi     arm926ej_s                arm      arm926             -
mips     mips-unknown-linux-musl         mips-linux-musleabi    mips32r2                  mips     24Kc               -
"

target_names() { awk 'NF { print $1 }' <<<"$targets"; }

# Sets triple, zig_target, zig_cpu, qemu, qemu_cpu and atomics for a target's name.
choose_target() {
    read -r _ triple zig_target zig_cpu qemu qemu_cpu atomics < <(awk -v name="$1" '$1 == name' <<<"$targets") ||
        die "$1 is no target; there are: $(target_names | xargs)"
}

# Sets PATH to a compiler that has the sources of its std: there is no ready std for most of the targets, and the ready
# ones have 230 KB of backtraces in them.
need_compiler() {
    [ ! -e "$(rustc --print sysroot 2>/dev/null)/lib/rustlib/src/rust/library/Cargo.lock" ] || return 0
    need_packages rustc-web cargo-web rust-web-src
    PATH=/usr/bin:$PATH
}

need_zig() {
    [ ! -e "$cross/zig-$zig_version/ok" ] || return 0
    need_packages python3-venv
    say "installing zig $zig_version"
    /usr/bin/python3 -m venv "$cross/zig-$zig_version"
    "$cross/zig-$zig_version/bin/pip" install -q "ziglang==$zig_version"
    touch "$cross/zig-$zig_version/ok"
}

# The linker and C compiler of the chosen target, as a script without arguments of its own. zig refuses one argument that
# rustc passes, and names targets in its own way.
make_linker() {
    linker=$cross/linker-$triple
    cat >"$linker.new" <<END
#!/bin/sh
for a; do shift; case \$a in -Wl,-melf_i386 | --target=* | -march=*) ;; *) set -- "\$@" "\$a" ;; esac; done
export ZIG_GLOBAL_CACHE_DIR=$cross/zig-cache ZIG_LOCAL_CACHE_DIR=$cross/zig-cache
exec $cross/zig-$zig_version/bin/python -m ziglang cc -target $zig_target -mcpu=$zig_cpu "\$@"
END
    printf '#!/bin/sh\nexec %s -m ziglang ar "$@"\n' "$cross/zig-$zig_version/bin/python" >"$cross/ar"
    chmod +x "$linker.new" "$cross/ar"
    mv "$linker.new" "$linker"
}

# Runs cargo for the chosen target. The sources of std are an unstable interface, which wants the bootstrap variable.
# The libc crate takes the 64-bit time_t of musl from another: without it the clock ends in 2038 on 32-bit processors.
cross_cargo() {
    (
        need_compiler
        make_linker
        upper=${triple^^}
        upper=${upper//-/_}
        export "CARGO_TARGET_${upper}_LINKER=$linker" "CC_${triple//-/_}=$linker" "AR_${triple//-/_}=$cross/ar"
        [ "$qemu" = - ] || export "CARGO_TARGET_${upper}_RUNNER=qemu-$qemu-static" "QEMU_CPU=$qemu_cpu"
        export RUSTC_BOOTSTRAP=1 RUST_LIBC_UNSTABLE_MUSL_V1_2_3=1 CARGO_TARGET_DIR=$cross
        export RUSTFLAGS="-Clink-self-contained=no -Ctarget-feature=+crt-static ${unwinding:-}"
        cargo "$1" --locked --target "$triple" "${@:2}"
    )
}

# The features that the chosen target can have; TLS, which takes 0.9 MB, only if CROSS_TLS is set.
cross_features() {
    local tls=${CROSS_TLS:+,tls}
    if [ "$atomics" = atomic64 ]; then echo "io,create$tls"; else echo "io$tls"; fi
}

# Builds the static binary of the chosen target with a profile, release or small; further arguments go to cargo. Small
# also has a std that is made to be small; neither has backtraces, nor the tables for unwinding, which a program that
# aborts when it panics never reads: 78 KB.
build_binary() {
    local profile=$1 std_features= unwinding=-Cforce-unwind-tables=no
    shift
    [ "$profile" = release ] || std_features=optimize_for_size
    cross_cargo build -q --profile "$profile" --no-default-features --features "$(cross_features)" --bin swarmlet \
        -Zbuild-std=std,panic_abort "-Zbuild-std-features=$std_features" "$@"
}

# Where that binary is.
binary_of() { echo "$cross/$triple/$1/swarmlet"; }

# The kernel $2 (armmp, amd64) and busybox of Debian's architecture $1, into the folder $box. The lists are our own: apt of
# this machine stays as it is.
fetch_kernel() {
    [ ! -e "$box/root/ok" ] || return 0
    say "fetching a kernel"
    local apt kernel package
    rm -rf "$box/root" "$box/apt"
    mkdir -p "$box"/apt/{lists,cache/archives}/partial "$box/root"
    : >"$box/apt/status"
    apt=(-o "APT::Architecture=$1" -o "APT::Architectures=$1" -o "Dir::State::Lists=$box/apt/lists"
        -o "Dir::State::status=$box/apt/status" -o "Dir::Cache=$box/apt/cache" -o APT::Sandbox::User=root)
    apt-get "${apt[@]}" -qq update || true # one list that is out of date must not stop the others
    kernel=$(apt-cache "${apt[@]}" search --names-only "^linux-image-[0-9.]+-[0-9]+-$2\$" | sort -V | tail -1 | cut -d' ' -f1)
    (cd "$box/apt" && apt-get "${apt[@]}" -q download busybox-static "$kernel")
    for package in "$box"/apt/*.deb; do dpkg -x "$package" "$box/root"; done
    depmod -b "$box/root" "${kernel#linux-image-}"
    touch "$box/root/ok"
}

# What that kernel unpacks into memory: busybox, the modules $2 ..., and $1, which says what to do.
make_initrd() {
    local root=$box/initrd version modules module
    version=$(basename "$box"/root/lib/modules/*)
    rm -rf "$root"
    mkdir -p "$root"/{bin,proc,sys,dev,mnt,modules.d}
    cp "$box/root/bin/busybox" "$root/bin/"
    install -m 755 "$1" "$root/init"
    modules=$(for module in "${@:2}"; do
        modprobe -d "$box/root" -S "$version" --show-depends "$module"
    done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }')
    for module in $modules; do
        cp "$module" "$root/modules.d/"
        echo "/modules.d/$(basename "$module")"
    done >"$root/modules"
    (cd "$root" && find . | cpio -o -H newc --quiet) | gzip -1 >"$box/initrd.gz"
}
