"""Frames that no honest peer sends, made by hand: run by hostile.rs inside the rig's private namespace."""
import sys
from scapy.all import ARP, ICMP, IP, TCP, UDP, Ether, Raw, conf, fragment, sendp, sniff

INTERFACE, US, NAIO, PORT = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
ROUNDS = 20
conf.verb = 0

# A segment of the transfer that is under way: who it is from, and what it expects.
seen = sniff(
    iface=INTERFACE, count=1, timeout=20, lfilter=lambda p: TCP in p and p[IP].src == NAIO and p[TCP].dport == PORT
)
if not seen:
    sys.exit("no segment of the transfer was seen")
live = seen[0]
ether = Ether(dst=live.src, src=live.dst)
ip = IP(src=US, dst=NAIO)
back = dict(sport=live[TCP].dport, dport=live[TCP].sport)
seq, ack = live[TCP].ack, live[TCP].seq
frames = []

# Resets and SYNs in the window but not at its edge, acknowledgments of what was never sent (RFC 5961).
for n in range(1, 8):
    near = (seq + 9_777 * n) % 2**32
    frames.append(ether / ip / TCP(**back, flags="R", seq=near))
    frames.append(ether / ip / TCP(**back, flags="S", seq=near))
    frames.append(ether / ip / TCP(**back, flags="A", seq=seq, ack=(ack + 1_000_003 * n) % 2**32))
# Data far outside of any window, and flags that mean nothing.
frames.append(ether / ip / TCP(**back, flags="A", seq=(seq - 2**30) % 2**32, ack=ack) / Raw(b"x" * 1_000))
for flags in ["", "SF", "SR", "FPU", "FSRPAU"]:
    frames.append(ether / ip / TCP(**back, flags=flags, seq=(seq - 2**29) % 2**32))
# SYNs with absurd options, to a port that is closed.
for options in [[("MSS", 0)], [("MSS", 1)], [("WScale", 255)], [(2, b"")], [(8, b"x")], [(254, b"y" * 30)]]:
    frames.append(ether / ip / TCP(sport=4_000, dport=9, flags="S", options=options))
# Header lengths that are lies.
frames.append(ether / ip / TCP(**back, dataofs=3, flags="A"))
frames.append(ether / ip / TCP(**back, dataofs=15, flags="A"))
frames.append(ether / IP(src=US, dst=NAIO, ihl=3) / UDP(dport=9))
frames.append(ether / IP(src=US, dst=NAIO, len=9_000) / UDP(dport=9) / Raw(b"short"))
frames.append(ether / ip / UDP(dport=9, len=4) / Raw(b"short"))
# Sources that no host may have; ourselves.
for source in ["127.0.0.1", "0.0.0.0", "255.255.255.255", "224.0.0.1", NAIO]:
    frames.append(ether / IP(src=source, dst=NAIO) / TCP(sport=PORT, dport=PORT, flags="S"))
# Fragments: overlapping and contradicting, beyond the end, never complete.
for n in range(30):
    frames.append(ether / IP(src=US, dst=NAIO, id=n, flags="MF", frag=0, proto=17) / Raw(b"a" * 800))
for n in range(5):
    frames.append(ether / IP(src=US, dst=NAIO, id=n, flags="MF", frag=50, proto=17) / Raw(b"b" * 800))
frames.append(ether / IP(src=US, dst=NAIO, id=99, frag=8_190, proto=17) / Raw(b"c" * 800))
frames += [ether / piece for piece in fragment(ip / ICMP(type=8) / Raw(b"d" * 60_000), fragsize=1_000)]
# Somebody else claims to be the peer, and to be us.
lie = "02:00:00:00:66:66"
for operation in [1, 2]:
    for claimed in [US, NAIO]:
        frames.append(
            Ether(dst=live.src, src=lie) / ARP(op=operation, hwsrc=lie, psrc=claimed, hwdst=live.src, pdst=NAIO)
        )
# Errors about the transfer: the network says that it cannot go on, and wants tiny packets.
for code in [0, 1, 2, 3, 4]:
    frames.append(ether / ip / ICMP(type=3, code=code, nexthopmtu=68) / IP(bytes(live[IP])[:28]))
frames.append(ether / ip / ICMP(type=5, code=1, gw="10.9.0.66") / IP(bytes(live[IP])[:28]))
frames.append(ether / ip / ICMP(type=4) / IP(bytes(live[IP])[:28]))

raw = [bytes(frame) for frame in frames]
for _ in range(ROUNDS):
    sendp(raw, iface=INTERFACE)
print(f"sent {ROUNDS * len(raw)} frames")
