# What jobs are made of. Addresses are PCI addresses such as 0000:00:02.0.

# load MODULE: inserts it and what it needs, in the order that was worked out from the modules themselves.
load() {
    while read -r file; do
        name=${file%.ko}
        grep -q "^$(echo "$name" | tr - _) " /proc/modules || insmod "/modules/$file" || return 1
    done < "/modules/$1.order"
}

# unbind ADDRESS: takes the card away from its driver, if it has one.
unbind() {
    [ ! -e "/sys/bus/pci/devices/$1/driver" ] || echo "$1" > "/sys/bus/pci/devices/$1/driver/unbind"
}

# bind ADDRESS DRIVER: gives the card to this driver and no other; fails if the driver did not take it.
bind() {
    unbind "$1"
    echo "$2" > "/sys/bus/pci/devices/$1/driver_override"
    echo "$1" > /sys/bus/pci/drivers_probe
    [ "$(basename "$(readlink "/sys/bus/pci/devices/$1/driver")")" = "$2" ] ||
        { echo "$1 was not taken by $2" >&2; return 1; }
}

# interface ADDRESS: name of the kernel's network interface on this card.
interface() {
    for i in "/sys/bus/pci/devices/$1/net/"*; do
        [ ! -e "$i" ] || basename "$i"
    done
}

# configure INTERFACE IP/LENGTH [PREFIX...]: gives the interface its address and waits for its link, which the
# kernel's e1000 driver brings up after 2.5 s. The commands run behind the prefix, which may enter a namespace.
configure() {
    nic=$1
    address=$2
    shift 2
    "$@" ip addr add "$address" dev "$nic" && "$@" ip link set "$nic" up || return 1
    tries=0
    until "$@" ip link show "$nic" | grep -q LOWER_UP; do
        tries=$((tries + 1))
        [ $tries -lt 200 ] || { echo "no carrier on $nic within 20 s" >&2; return 1; }
        sleep 0.1
    done
}

# up ADDRESS IP/LENGTH: the kernel of this guest uses the card.
up() {
    i=$(interface "$1")
    [ -n "$i" ] || { echo "no network interface on $1" >&2; return 1; }
    configure "$i" "$2" env
}

# peer ADDRESS IP/LENGTH: the card belongs to a Linux of its own, in a network namespace of this guest.
peer() {
    PEER_NIC=$(interface "$1")
    [ -n "$PEER_NIC" ] || { echo "no network interface on $1" >&2; return 1; }
    unshare -n sleep 1000000 &
    PEER_PID=$!
    until [ "$(readlink /proc/$PEER_PID/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.1; done
    ip link set "$PEER_NIC" netns $PEER_PID && in_peer ip link set lo up &&
        configure "$PEER_NIC" "$2" nsenter -t $PEER_PID -n
}

# in_peer COMMAND...: runs it on the peer.
in_peer() {
    nsenter -t $PEER_PID -n "$@"
}

# serve [FLAGS...]: starts naio-remote on the peer, as REMOTE_PID, and waits until it listens.
serve() {
    nsenter -t $PEER_PID -n naio-remote "$@" > /tmp/remote.log 2>&1 &
    REMOTE_PID=$!
    tries=0
    until grep -q listening /tmp/remote.log; do
        tries=$((tries + 1))
        [ $tries -lt 100 ] || { echo "naio-remote does not start: $(cat /tmp/remote.log)" >&2; return 1; }
        sleep 0.1
    done
}

# services [FLAGS...]: starts sync-services on the peer, as SERVICES_PID, and waits until it listens.
services() {
    nsenter -t $PEER_PID -n sync-services "$@" > /tmp/services.log 2>&1 &
    SERVICES_PID=$!
    until_true 10 grep -q listening /tmp/services.log ||
        { echo "sync-services does not start: $(cat /tmp/services.log)" >&2; return 1; }
}

# sent PREFIX..., received PREFIX...: frames that all network cards of that namespace sent or received.
sent() {
    "$@" awk '$1 ~ /^eth/ { n += $11 } END { print n + 0 }' /proc/net/dev
}
received() {
    "$@" awk '$1 ~ /^eth/ { n += $3 } END { print n + 0 }' /proc/net/dev
}

# step NAME SECONDS COMMAND...: runs the command and reports its output and status under this name.
step() {
    step_name=$1
    step_limit=$2
    shift 2
    echo "@begin $step_name" >&3
    timeout -s KILL "$step_limit" "$@" > /tmp/out 2> /tmp/err < /dev/null
    status=$?
    sed 's/^/o /' /tmp/out >&3
    sed 's/^/e /' /tmp/err >&3
    echo "@end $step_name $status" >&3
    return $status
}

# begin NAME SECONDS COMMAND...: starts the command in the background, in BEGUN; `end NAME` reports it.
begin() {
    begin_name=$1
    begin_limit=$2
    shift 2
    timeout -s KILL "$begin_limit" "$@" > "/tmp/$begin_name.out" 2> "/tmp/$begin_name.err" < /dev/null &
    BEGUN=$!
}

# end NAME: waits for the command that was begun last and reports its output and status as step NAME.
end() {
    wait $BEGUN
    end_status=$?
    step "$1" 10 sh -c "cat /tmp/$1.out; cat /tmp/$1.err >&2; exit $end_status"
}

# until_true SECONDS COMMAND...: waits until the command succeeds; fails when the time is over.
until_true() {
    tries=$(($1 * 10))
    shift
    until "$@" > /dev/null 2>&1; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || return 1
        sleep 0.1
    done
}

# connected HEXPORT [COUNT]: whether the peer has that many established connections with this local port.
connected() {
    n=$(in_peer grep -c "^ *[0-9]*: [0-9A-F]*:$1 [0-9A-F]*:[0-9A-F]* 01 " /proc/net/tcp)
    [ "$n" -ge "${2:-1}" ]
}

# monitor COMMAND...: has QEMU's monitor do it, for example set_link n0 off. Takes a moment.
monitor() {
    echo "@monitor $*" >&3
}

# value NAME TEXT: reports a figure.
value() {
    echo "@value $1 $2" >&3
}

# try WHAT COMMAND...: runs a preparation; a failure is reported and ends the job.
try() {
    what=$1
    shift
    "$@" > /tmp/out 2> /tmp/err && return 0
    echo "@broken $what: $(cat /tmp/out /tmp/err | tr '\n' ' ')" >&3
    exit 1
}

# leave STATUS: ends the guest through QEMU's isa-debug-exit port: the byte N makes QEMU exit with (N << 1) | 1.
# 16 and 17 rather than 0 and 1, because QEMU also exits with 1 when it does not like its command line.
leave() {
    byte='\020'
    [ "$1" = 0 ] || byte='\021'
    sync
    printf "$byte" | dd of=/dev/port bs=1 seek=1281 conv=notrunc 2>/dev/null
    poweroff -f
}
