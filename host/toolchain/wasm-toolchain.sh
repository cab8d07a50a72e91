#!/usr/bin/env bash
# Makes a Rust compiler that can build WebAssembly components on a Debian 12 machine that reaches only package
# registries, where `rustup target add wasm32-wasip2` cannot download anything.
#
#   wasm-toolchain.sh PREFIX
#
# `cargo xtask` runs it when it has to; docs/toolchains.md tells the whole story.
#
# Needs: apt-get with fresh package lists, rustup's cargo and rustc, the crate registry. Nothing is installed
# system-wide: the .deb files are only unpacked. All of it lands in PREFIX (about 1.5 GB while it works, 0.5 GB when
# done).
#
# What it does
#   1. unpacks rustc-web, its libstd, its LLVM, rust-web-src and wasi-libc;
#   2. links rust-lld and wasm-component-ld from the rustup toolchain;
#   3. compiles std for wasm32-wasip2 (a minute or less);
#   4. writes PREFIX/env for use by hand, and PREFIX/.complete as the very last thing.
#
# The guest is compiled by rustc-web, not by the rustup compiler: std of one version neither builds with, nor loads
# into, a compiler of another.
set -euo pipefail

[ $# -eq 1 ] || { sed -n '2,/^set /p' "$0" | sed '$d;s/^# \{0,1\}//'; exit 2; }
TARGET=wasm32-wasip2
say() { printf 'wasm-toolchain: %s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

for tool in apt-get apt-cache dpkg cargo rustc ldd; do
  command -v "$tool" >/dev/null || die "$tool is missing"
done
# These would lead the compilation of std astray.
unset RUSTC RUSTDOC RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_TARGET_DIR CARGO_BUILD_TARGET

mkdir -p "$1"
PREFIX=$(cd "$1" && pwd)
HOST=$(rustc -vV | sed -n 's/^host: //p')
LINKERS=$(rustc --print sysroot)/lib/rustlib/$HOST/bin
for f in rust-lld wasm-component-ld gcc-ld/wasm-ld; do
  [ -x "$LINKERS/$f" ] || die "the Rust toolchain in use has no $f; install it with rustup"
done

DEB=$PREFIX/deb; BUILD=$PREFIX/build
rm -rf "$DEB" "$BUILD" "$PREFIX/bin" "$PREFIX/lib" "$PREFIX/.complete"
mkdir -p "$DEB/x" "$BUILD" "$PREFIX/bin" "$PREFIX/lib/rustlib"

depends() { apt-cache depends --important "$1" | sed -n 's/^ *Depends: //p'; }
LIBSTD=$(depends libstd-rust-web-dev | grep -m1 '^libstd-rust-web-[0-9]') || die "no libstd-rust-web package; run apt-get update"
LLVM=$(depends "$LIBSTD" | grep -m1 '^libllvm[0-9]') || die "$LIBSTD names no libllvm"
PACKAGES=(rustc-web libstd-rust-web-dev "$LIBSTD" "$LLVM" rust-web-src wasi-libc)
say "downloading ${PACKAGES[*]}"
# apt warns that it downloads as root into a folder its own user cannot read: harmless.
(cd "$DEB" && apt-get -qq download "${PACKAGES[@]}" 2>&1 | grep -v '^W:' >&2 || true)
[ "$(find "$DEB" -maxdepth 1 -name '*.deb' | wc -l)" -eq ${#PACKAGES[@]} ] || die "apt-get download failed; run apt-get update"
for f in "$DEB"/*.deb; do dpkg -x "$f" "$DEB/x"; done

U=$DEB/x/usr
cp "$U/bin/rustc" "$PREFIX/bin/rustc.bin"
cp "$U/bin/rustdoc" "$PREFIX/bin/rustdoc.bin"
find "$U/lib" -maxdepth 2 \( -name 'librustc_driver*' -o -name 'libLLVM*' \) -exec cp -a {} "$PREFIX/lib/" \;
cp -a "$U/lib/rustlib/$HOST" "$PREFIX/lib/rustlib/"
rm -rf "$PREFIX/lib/rustlib/$HOST/bin"
ln -s "$LINKERS" "$PREFIX/lib/rustlib/$HOST/bin"
for b in rustc rustdoc; do
  cat > "$PREFIX/bin/$b" <<'W'
#!/bin/sh
self=$(readlink -f -- "$0"); here=$(dirname -- "$self")
LD_LIBRARY_PATH="$here/../lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" exec "$self.bin" "$@"
W
  chmod +x "$PREFIX/bin/$b"
done
missing=$(LD_LIBRARY_PATH="$PREFIX/lib" ldd "$PREFIX/bin/rustc.bin" "$PREFIX"/lib/libLLVM.so.* | grep 'not found' || true)
[ -z "$missing" ] || die "libraries missing ($missing): apt-get install libz3-4 libedit2 libxml2"
say "unpacked $("$PREFIX/bin/rustc" -V)"

say "compiling std for $TARGET"
cp -a "$(find "$U/src" -maxdepth 1 -name 'rustc-*')/library" "$BUILD/library"
(cd "$BUILD/library" &&
  RUSTC="$PREFIX/bin/rustc" RUSTC_BOOTSTRAP=1 __CARGO_DEFAULT_LIB_METADATA=wasmstd \
  RUSTFLAGS="-Zforce-unstable-if-unmarked -Cembed-bitcode=yes" CARGO_TARGET_DIR="$BUILD/target" \
  cargo build --release --quiet --manifest-path sysroot/Cargo.toml --target "$TARGET" \
    --no-default-features --features panic-unwind 2> "$BUILD/std.log") || { tail -20 "$BUILD/std.log" >&2; die "std did not build"; }
LIB=$PREFIX/lib/rustlib/$TARGET/lib
mkdir -p "$LIB/self-contained"
cp "$BUILD/target/$TARGET/release/deps"/*.rlib "$LIB/"
cp "$U/lib/wasm32-wasi"/* "$LIB/self-contained/"

cat > "$PREFIX/env" <<W
export RUSTC="$PREFIX/bin/rustc"
export RUSTDOC="$PREFIX/bin/rustdoc"
W
rm -rf "$DEB" "$BUILD"
printf '%s' "$TARGET" > "$PREFIX/.complete"
say "done"
