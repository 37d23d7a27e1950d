# Installs, tries and purges the Debian package in a fresh root, and runs the static binary in roots that have nothing else.
# It runs in a mount namespace of its own, so that mounts end with it.
#
# usage: verify.sh DIRECTORY MIRROR DEB TOOL OTHER DEMO FOREIGN
#     DIRECTORY  an empty folder for the roots
#     MIRROR     where debootstrap finds Debian
#     TOOL       the static binary
#     OTHER      a build for this host's C library, to compare with
#     DEMO       the program of the load-balancer lab
#     FOREIGN    the static binary for aarch64
set -eu
directory=$1 mirror=$2 deb=$3 tool=$4 other=$5 demo=$6 foreign=$7
root=$directory/debian

step() { echo "verify: $*"; }
fail() { echo "verify: FAILED: $*" >&2; exit 1; }
within() { chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin TERM=dumb LC_ALL=C.UTF-8 "$@"; }
# But for what systemd-analyze, man and dpkg themselves write.
files() { find "$root" -xdev -path "$root/run/systemd" -prune \
    -o -path "$root/proc" -prune -o -path "$root/sys" -prune -o -path "$root/dev" -prune \
    -o -path "$root/tmp" -prune -o -path "$root/var/lib/dpkg" -prune -o -path "$root/var/cache/man" -prune \
    -o -path "$root/var/cache/ldconfig" -prune -o -print | sort; }

step "an empty root"
mkdir "$directory/empty"
cp "$tool" "$directory/empty/toa-tc"
chroot "$directory/empty" /toa-tc --version
chroot "$directory/empty" /toa-tc filter 203.0.113.9 > /dev/null

step "a root with busybox alone"
mkdir -p "$directory/busybox/bin" "$directory/busybox/proc" "$directory/busybox/sys"
cp "$(command -v busybox)" "$directory/busybox/bin/busybox"
cp "$tool" "$directory/busybox/bin/toa-tc"
mount -t proc proc "$directory/busybox/proc"
mount --rbind /sys "$directory/busybox/sys"
chroot "$directory/busybox" /bin/busybox sh -c 'PATH=/bin toa-tc doctor; echo "exit code $?"'

step "lintian"
lintian --allow-root --fail-on error,warning "$deb"

step "a fresh Debian 12"
debootstrap --variant=minbase --include=bash-completion,man-db,systemd bookworm "$root" "$mirror" > "$directory/log" 2>&1 ||
    { tail -n 20 "$directory/log"; fail "debootstrap"; }
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount -t bpf bpf "$root/sys/fs/bpf"
mount --rbind /dev "$root/dev"
# The lab and the tool share files there.
mount --bind /tmp "$root/tmp"
if within sh -c 'command -v cargo rustc gcc'; then fail "there is a compiler"; fi
files > "$directory/before"
cp "$deb" "$root/package.deb"
within dpkg -i /package.deb
rm "$root/package.deb"

step "doctor"
within toa-tc doctor

step "attach, in the lab"
mount -t tmpfs tmpfs "$root/mnt"
printf '#!/bin/sh\n[ "$1" != attach ] || set -- "$@" -w /mnt/capture\nexec chroot %s /usr/bin/toa-tc "$@"\n' "$root" > "$directory/within"
chmod 755 "$directory/within"
TOA_TC=$directory/within "$demo"

step "aarch64, emulated"
for name in "$tool" "$foreign"; do
    emulator=$([ "$name" = "$tool" ] || echo qemu-aarch64)
    $emulator "$name" read "$root/mnt/capture" > "$directory/requests.${emulator:-native}"
done
cmp "$directory/requests.native" "$directory/requests.qemu-aarch64" || fail "it reads other requests"
[ -s "$directory/requests.native" ] || fail "no request was read"
echo "$(grep -c 'GET ' "$directory/requests.native") requests of the capture of this lab, the same as on x86_64"
qemu-aarch64 "$foreign" doctor || echo "exit code $?"

step "man toa-tc"
within man toa-tc | grep -A 3 '^EXAMPLES' || fail "no examples in the page"
within man toa-tc-attach > "$directory/page"
grep -q '^EXIT STATUS' "$directory/page" || fail "no exit status in the page of attach"

step "completion in bash"
cat > "$root/complete.sh" <<'END'
. /usr/share/bash-completion/bash_completion
_completion_loader toa-tc
complete_words() {
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMP_POINT=${#COMP_LINE} COMPREPLY=()
    "$(complete -p toa-tc | sed 's/.*-F \([^ ]*\).*/\1/')" toa-tc "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
    echo "$* -> ${COMPREPLY[*]}"
}
complete_words toa-tc att
complete_words toa-tc attach eth0 --server
complete_words toa-tc status -o js
END
within bash --norc /complete.sh | tee "$directory/completions"
rm "$root/complete.sh"
for expected in 'att -> attach' '--server -> --server-port' 'js -> json'; do
    grep -q -- "$expected\$" "$directory/completions" || fail "not completed: $expected"
done

step "the unit"
within systemd-analyze verify toa-tc@eth0.service
state=$(within systemctl is-enabled toa-tc@eth0.service || true)
[ "$state" = disabled ] || fail "the unit is $state"
echo "toa-tc@.service: $state"
drop_in=/etc/systemd/system/toa-tc@tls0.service.d
mkdir "$root$drop_in"
sed -n '/^#     \[Service\]/,/^#$/s/^#     //p' "$root/usr/lib/systemd/system/toa-tc@.service" > "$root$drop_in/tls.conf"
grep -q '^CapabilityBoundingSet=CAP_SYS_ADMIN' "$root$drop_in/tls.conf" || fail "the unit does not say what --tls needs"
within systemd-analyze verify toa-tc@tls0.service
rm -r "$root$drop_in"
echo "with what its comment says of --tls: verified"

step "purge"
within dpkg --purge toa-tc
files > "$directory/after"
if ! diff "$directory/before" "$directory/after"; then fail "files are left"; fi
echo "nothing is left"

step "size, and CPU time of 100 starts"
for binary in "$tool" "$other"; do
    start=$(cut -d ' ' -f 16,17 /proc/$$/stat)
    for _ in 1 2 3 4 5 6 7 8 9 10; do for _ in 1 2 3 4 5 6 7 8 9 10; do "$binary" --version > /dev/null; done; done
    end=$(cut -d ' ' -f 16,17 /proc/$$/stat)
    ticks=$((${end% *} + ${end#* } - ${start% *} - ${start#* }))
    linked=$(ldd "$binary" 2>&1 | grep -q 'statically linked\|not a dynamic' && echo static || echo "with the C library")
    echo "$linked: $(stat -c %s "$binary") bytes, $((ticks * 1000 / $(getconf CLK_TCK))) ms"
done
