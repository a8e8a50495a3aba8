//! Looking at a card from outside: names, values, and no side effects.

mod bench;

use bench::*;
use naio_e1000_model::regs::{self, ICS, names};

#[test]
fn every_register_of_every_part_can_be_listed_and_read_without_a_change() {
    for part in naio_e1000_model::parts::PARTS {
        let bench = Bench::id(part.id);
        bench.write(ICS, 4);
        let before = bench.card.registers();
        assert_eq!(before, bench.card.registers(), "{}: looking twice shows the same", part.name);
        for register in &before {
            assert_eq!(names::name(*part, register.offset), Some(register.name), "{}", part.name);
        }
        let value = |name: &str| before.iter().find(|r| r.name.to_string() == name).map(|r| r.value);
        assert_eq!(value("ICR"), Some(4), "{}: the cause is still pending", part.name);
        assert_eq!(value("ITR").is_some(), part.is_82540_or_later(), "{}", part.name);
        assert_eq!(value("MDIC").is_some(), part.has_mdic(), "{}", part.name);
        assert_eq!(value("RAH[0]").map(|high| high >> 31), Some(1), "{}: address valid", part.name);
        assert_eq!(value("VFTA[127]"), Some(0));
        assert_eq!(bench.card.unknown_registers(), [], "{}: looking is not touching", part.name);
    }
}

#[test]
fn a_look_gives_what_a_read_would_give() {
    let bench = Bench::silicon().running(EN | BAM);
    bench.put(&frame(BROADCAST, 100));
    for register in bench.card.registers() {
        if register.name.base == "ICS" || register.offset == regs::ICR {
            continue;
        }
        assert_eq!(bench.read(register.offset), register.value, "{}", register.name);
    }
    let pending = bench.card.peek(regs::ICR);
    assert_ne!(pending, 0);
    assert_eq!(bench.read(regs::ICR), pending, "the look left it to be read");
    assert_eq!(bench.card.peek(regs::ICR), 0);
}
