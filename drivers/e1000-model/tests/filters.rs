//! The filters as a whole: every promiscuity against every kind of address, every bit of the hash
//! table's four views, the edges of the VLAN table, CFI (fact sheet 7.5, row 5).

mod bench;

use bench::*;
use naio_e1000_model::Options;
use naio_e1000_model::regs::*;
use naio_testkit::seeds;

const VFE: u32 = 1 << 18;
const CFIEN: u32 = 1 << 19;
const CFI: u32 = 1 << 20;
const VME: u32 = 1 << 30;
const PIF: u8 = 0x80;

fn accepted(bench: &mut Bench, bytes: &[u8]) -> Option<bool> {
    bench.put(bytes);
    bench.receive_frame().map(|(_, last)| last.status() & PIF != 0)
}

#[test]
fn every_promiscuity_against_every_kind_of_address() {
    let second = [0x02, 7, 7, 7, 7, 7];
    let stranger = [0x02, 1, 2, 3, 4, 5];
    let listed = [0x01, 0xaa, 0x00, 0x12, 0x34, 0x56];
    let unlisted = [0x01, 0xbb, 0x00, 0x12, 0x34, 0x11];
    for promiscuity in 0..8 {
        let (upe, mpe, bam) = (promiscuity & 1 != 0, promiscuity & 2 != 0, promiscuity & 4 != 0);
        let bits = [(upe, UPE), (mpe, MPE), (bam, BAM)];
        let rctl = bits.iter().filter(|(on, _)| *on).fold(0, |all, (_, bit)| all | bit);
        let bench = Bench::silicon();
        bench.write(RA + 8, u32::from_le_bytes([2, 7, 7, 7]));
        let _ = bench.read(STATUS);
        bench.write(RA + 12, 0x8000_0707);
        bench.write(MTA + (0x563 >> 5) * 4, 1 << (0x563 & 31));
        let mut bench = bench.running(rctl);
        for (to, expected) in [
            (STATION, Some(false)),
            (second, Some(false)),
            (stranger, upe.then_some(false)),
            (BROADCAST, bam.then_some(false)),
            // By its hash alone unless every multicast is wanted.
            (listed, Some(!mpe)),
            (unlisted, mpe.then_some(false)),
        ] {
            let got = accepted(&mut bench, &frame(to, 80));
            assert_eq!(got, expected, "UPE {upe} MPE {mpe} BAM {bam}, to {to:x?}");
        }
    }
}

/// The datasheet's table of the address bits that make the hash, by another formula than the card's.
fn hash(address: [u8; 6], mo: u32) -> u32 {
    let bits = address.iter().rev().fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
    (bits >> [36, 35, 34, 32][mo as usize]) as u32 & 0xfff
}

#[test]
fn the_hash_table_takes_what_its_bit_says_and_nothing_else() {
    for mo in 0..4 {
        for seed in seeds(u64::from(mo) * 100 + 1, 40) {
            let mut random = fastrand::Rng::with_seed(seed);
            let address: [u8; 6] = std::array::from_fn(|n| random.u8(..) | u8::from(n == 0));
            let hash = hash(address, mo);
            let mut bench = Bench::silicon().running(mo << 12);
            bench.write(MTA + (hash >> 5) * 4, 1 << (hash & 31));
            assert_eq!(accepted(&mut bench, &frame(address, 80)), Some(true), "{address:x?} MO {mo}");
            bench.write(MTA + (hash >> 5) * 4, !(1 << (hash & 31)));
            assert_eq!(accepted(&mut bench, &frame(address, 80)), None, "{address:x?} MO {mo}");
        }
    }
}

#[test]
fn a_source_address_entry_looks_at_the_source() {
    let mut bench = Bench::silicon().running(0);
    let mut bytes = frame([0x02, 1, 2, 3, 4, 5], 80);
    bytes[6..12].copy_from_slice(&[2, 8, 8, 8, 8, 8]);
    bench.write(RA + 8, u32::from_le_bytes([2, 8, 8, 8]));
    let _ = bench.read(STATUS);
    bench.write(RA + 12, 0x8001_0808);
    assert_eq!(accepted(&mut bench, &bytes), Some(false));
    bench.write(RA + 12, 0x8000_0808);
    assert_eq!(accepted(&mut bench, &bytes), None);
}

fn tagged(to: [u8; 6], tag: u16) -> Vec<u8> {
    let mut bytes = frame(to, 80);
    bytes.splice(12..12, [0x81, 0x00, (tag >> 8) as u8, tag as u8]);
    bytes
}

#[test]
fn the_vlan_table_at_its_edges_and_even_when_promiscuous() {
    let ids = [0u16, 1, 31, 32, 33, 2047, 4063, 4064, 4094, 4095];
    for id in ids {
        let mut bench = Bench::silicon().running(BAM | UPE | MPE | VFE);
        let at = VFTA + u32::from(id >> 5) * 4;
        bench.write(at, 1 << (id & 31));
        for other in ids {
            for priority in [0u16, 7] {
                let got = accepted(&mut bench, &tagged(BROADCAST, priority << 13 | other));
                assert_eq!(got.is_some(), other == id, "VID {other} with the bit of {id}");
            }
        }
        assert!(accepted(&mut bench, &frame(BROADCAST, 80)).is_some(), "without a tag no VLAN filter");
        bench.write(RCTL, bench.read(RCTL) & !VFE);
        assert!(accepted(&mut bench, &tagged(BROADCAST, 100)).is_some());
    }
}

#[test]
fn cfi_counts_only_when_asked_for() {
    for (rctl, clear, set) in [
        (VFE, true, true),
        (VFE | CFI, true, true),
        (VFE | CFIEN, true, false),
        (VFE | CFIEN | CFI, false, true),
    ] {
        let mut bench = Bench::silicon().running(BAM | rctl);
        bench.write(VFTA, 1 << 5);
        let got = [5, 0x1005].map(|tag| accepted(&mut bench, &tagged(BROADCAST, tag)).is_some());
        assert_eq!(got, [clear, set], "RCTL {rctl:#x}");
    }
}

#[test]
fn a_stripped_tag_is_in_the_descriptor_and_another_type_stays() {
    for (vet, vme, stripped) in [(0x8100, VME, true), (0x9100, VME, false), (0x8100, 0, false)] {
        let bench = Bench::silicon();
        bench.write(VET, vet);
        bench.write(CTRL, bench.read(CTRL) | vme);
        let mut bench = bench.running(BAM | SECRC);
        let bytes = tagged(BROADCAST, 0xf123);
        bench.put(&bytes);
        let (got, last) = bench.receive_frame().expect("received");
        assert_eq!((last.status() & 8 != 0, last.special()), (stripped, if stripped { 0xf123 } else { 0 }));
        assert_eq!(got, if stripped { frame(BROADCAST, 80) } else { bytes });
        assert_eq!(bench.count(0x4088), 88, "octets with tag and FCS");
    }
    // The shortest frame, stripped, is 60 bytes without its FCS.
    let bench = Bench::new(Options::default());
    bench.write(CTRL, bench.read(CTRL) | VME);
    let mut bench = bench.running(BAM | SECRC);
    bench.put(&tagged(BROADCAST, 1)[..60]);
    assert_eq!(bench.receive_frame().map(|(bytes, _)| bytes.len()), Some(56));
}
