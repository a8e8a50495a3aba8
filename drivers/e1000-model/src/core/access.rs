//! Register reads and writes: who answers for which offset, and every side effect.
//!
//! Receives an offset as the driver gave it and hands on a value. Plain registers go to the file
//! under their masks; the others to the unit they belong to.

use super::{Core, RX_RING, TX_RING};
use crate::eeprom::{EERD_NS, PinOutcome};
use crate::parts::Mac;
use crate::phy::mdic::MDIC_NS;
use crate::regs::*;
use crate::violation::{Ring, Wrong};

impl Core {
    /// Reads as the driver does, with every side effect.
    pub(crate) fn read(&mut self, offset: u32) -> u32 {
        self.unflushed = None;
        if self.faults.gone || offset >= WINDOW_LEN || !self.config.decodes_memory() {
            return u32::MAX;
        }
        if self.in_reset(offset) {
            return u32::MAX;
        }
        if self.chance(self.faults.chaos.read) {
            return self.random.u32(..);
        }
        let Some(at) = canonical(self.part.mac == Mac::I82542, offset & !3) else {
            return self.unimplemented(offset);
        };
        self.read_unit(at)
    }

    fn read_unit(&mut self, at: u32) -> u32 {
        let later = self.part.is_82540_or_later();
        match at {
            CTRL => self.read_ctrl(),
            STATUS => self.status(),
            EECD => self.eeprom.read_eecd(self.part, !self.faults.eecd_never_grants),
            EERD if self.eeprom.has_eerd() => self.eeprom.read_eerd(),
            MDIC if self.part.has_mdic() => self.mdic.read(),
            ICR => match self.faults.icr {
                Some(lie) => lie,
                None => self.irq.take_causes(self.now_ns),
            },
            ICS => self.irq.causes(),
            IMS => self.irq.mask(),
            IMC => 0,
            ITR if later => self.irq.itr(),
            PBA => self.pba(),
            RCTL | TCTL => self.reg(at),
            RXCW => {
                let value = self.rxcw();
                self.invalid_symbol = false;
                value
            }
            STATS..STATS_END => match self.stats.read(at) {
                Some(_) if self.faults.counters_lie => self.random.u32(..),
                Some(count) => count,
                None => self.unimplemented(at),
            },
            RDH | TDH if self.faults.heads_jump => self.random.u32(..),
            RDH => self.faults.rdh.unwrap_or(self.reg(RDH)),
            TDH => self.faults.tdh.unwrap_or(self.reg(TDH)),
            RDLEN | TDLEN => self.faults.ring_len.unwrap_or(self.reg(at)),
            _ if self.is_absent(at) => 0,
            CTRL_EXT if self.part.has_offloads() => self.ctrl_ext_with_pins(),
            RDFH..=RDFPC | TDFH..=TDFPC => match self.fifo_register(at) {
                Some(value) => value,
                None => self.unimplemented(at),
            },
            _ if plain::is_window(at) => self.reg(at),
            _ => match plain::stored_mask(self.part, at) {
                Some(_) => self.reg(at),
                None => self.unimplemented(at),
            },
        }
    }

    /// What a read would give, without its side effects, without counting, and without lies.
    pub(crate) fn peek(&self, offset: u32) -> u32 {
        if offset >= WINDOW_LEN {
            return u32::MAX;
        }
        let Some(at) = canonical(self.part.mac == Mac::I82542, offset & !3) else { return 0 };
        match at {
            _ if !self.has_canonical(at) => 0,
            CTRL => self.ctrl_with_pins(),
            CTRL_EXT => self.ctrl_ext_with_pins(),
            STATUS => self.true_status(),
            EECD => self.eeprom.read_eecd(self.part, true),
            EERD => self.eeprom.read_eerd(),
            MDIC => self.mdic.read(),
            ICR | ICS => self.irq.causes(),
            IMS => self.irq.mask(),
            ITR => self.irq.itr(),
            PBA => self.pba(),
            RXCW => self.rxcw(),
            STATS..STATS_END => self.stats.peek_word(at).unwrap_or(0),
            _ => self.fifo_register(at).unwrap_or(self.reg(at)),
        }
    }

    /// Whether this card has a register at `offset` of its own map.
    pub(crate) fn has(&self, offset: u32) -> bool {
        canonical(self.part.mac == Mac::I82542, offset & !3).is_some_and(|at| self.has_canonical(at))
    }

    fn has_canonical(&self, at: u32) -> bool {
        match at {
            WINDOW_LEN.. => false,
            EERD => self.eeprom.has_eerd(),
            MDIC => self.part.has_mdic(),
            ITR => self.part.is_82540_or_later(),
            CTRL | STATUS | EECD | ICR | ICS | IMS | IMC | PBA | RCTL | TCTL | RXCW => true,
            STATS..STATS_END => self.stats.peek_word(at).is_some(),
            _ => plain::is_window(at) || plain::stored_mask(self.part, at).is_some(),
        }
    }

    fn pba(&self) -> u32 {
        self.reg(PBA) | (self.part.packet_buffer_kb().saturating_sub(self.reg(PBA))) << 16
    }

    fn unimplemented(&mut self, at: u32) -> u32 {
        self.count_unknown(at);
        self.options.unknown_reads
    }

    /// Offsets that an emulator leaves out.
    fn is_absent(&self, at: u32) -> bool {
        let sparse =
            matches!(at, CTRL_EXT | FLA | FCAL | FCAH | FCT | FCTTV | TXCW | FCRTL | FCRTH | RXDCTL | RSRPD);
        self.quirks.sparse_registers && sparse
            || self.quirks.absent_registers.iter().any(|(first, last)| (*first..=*last).contains(&at))
    }

    fn read_ctrl(&mut self) -> u32 {
        self.reset_bit() | self.ctrl_with_pins()
    }

    /// Writes as the driver does, with every side effect.
    pub(crate) fn write(&mut self, offset: u32, value: u32) {
        if self.faults.gone || offset >= WINDOW_LEN || !self.config.decodes_memory() || self.in_reset(offset)
        {
            return;
        }
        let Some(at) = canonical(self.part.mac == Mac::I82542, offset & !3) else {
            self.count_unknown(offset);
            return;
        };
        let reserved = value & plain::reserved_bits(self.part, at);
        if reserved != 0 {
            self.blame(Wrong::ReservedBits { offset: at, bits: reserved });
        }
        if self.is_merging(at) {
            self.blame(Wrong::MissingFlush { offset: at });
        }
        self.note_posted(at, value);
        self.write_unit(at, value);
    }

    /// Remembers writes that a flush must follow before any delay (fact sheet 4.1). CTRL.RST is not
    /// among them: reading during the reset would be worse.
    fn note_posted(&mut self, at: u32, value: u32) {
        let wants = match at {
            CTRL => {
                value & ctrl::RST == 0
                    && (value ^ self.reg(CTRL)) & (ctrl::PHY_RST | ctrl::MDC | ctrl::MDIO) != 0
            }
            IMC | EECD => true,
            RCTL => self.reg(RCTL) & rctl::EN != 0 && value & rctl::EN == 0,
            TCTL => self.reg(TCTL) & tctl::EN != 0 && value & tctl::EN == 0,
            MTA..0x5480 | VFTA..0x5800 => true,
            _ => false,
        };
        if wants {
            self.unflushed = Some(at);
        }
    }

    fn write_unit(&mut self, at: u32, value: u32) {
        let later = self.part.is_82540_or_later();
        match at {
            CTRL => self.write_ctrl(value),
            EECD => {
                if self.eeprom.write_eecd(value, !self.faults.eecd_never_grants) == PinOutcome::WithoutGrant {
                    self.blame(Wrong::EepromWithoutGrant);
                }
            }
            EERD if self.eeprom.has_eerd() => {
                let after = if self.quirks.eerd_instant { 0 } else { EERD_NS };
                self.eeprom.write_eerd(value, self.now_ns, after);
                self.eeprom.expire(self.now_ns, self.faults.eerd_never_done);
            }
            CTRL_EXT => self.write_ctrl_ext(value),
            MDIC if self.part.has_mdic() => self.write_mdic(value),
            ICR => self.irq.clear_causes(value, self.now_ns),
            ICS => self.raise(value & icr::DEFINED),
            IMS => self.irq.enable(value, self.now_ns),
            IMC => self.irq.disable(value, self.now_ns),
            ITR if later => self.irq.set_itr(value.max(self.quirks.interrupt_gap.unwrap_or(0))),
            PBA => self.set_reg(PBA, value & 0x7f),
            RCTL => self.write_rctl(value),
            TCTL => self.write_tctl(value),
            RDT | TDT => self.write_tail(at, value & 0xffff),
            RDBAL | RDBAH | RDLEN | RDH | TDBAL | TDBAH | TDLEN | TDH => self.write_ring(at, value),
            RDTR => {
                self.errata_of_timer(value);
                self.set_reg(RDTR, value & 0xffff);
                if value & 1 << 31 != 0 {
                    self.flush_receive();
                }
            }
            WUS => self.set_reg(WUS, self.reg(WUS) & !value),
            WUC => match plain::stored_mask(self.part, at) {
                Some(_) if self.is_absent(at) => {}
                Some(mask) => self.write_wuc(value, mask),
                None => self.count_unknown(at),
            },
            STATUS | RXCW | STATS..STATS_END => self.blame(Wrong::ReadOnly { offset: at }),
            _ if self.is_absent(at) => {}
            _ if plain::is_window(at) => self.set_reg(at, value),
            _ => match plain::stored_mask(self.part, at) {
                Some(mask) => self.write_plain(at, value & mask),
                None => self.count_unknown(at),
            },
        }
    }

    fn write_plain(&mut self, at: u32, value: u32) {
        self.set_reg(at, value);
        match at {
            MTA..0x5400 | VFTA..0x5800 => self.errata_of_table(at, value),
            TXCW => self.refresh_link(),
            TDFH | TDFT => self.rewind_fifo(),
            _ => {}
        }
    }

    fn write_ctrl(&mut self, value: u32) {
        let before = self.reg(CTRL);
        self.set_reg(CTRL, value & ctrl::STORED);
        if value & ctrl::RST != 0 {
            self.begin_reset();
            return;
        }
        if (before ^ value) & ctrl::PHY_RST != 0 && self.part.mac != Mac::I82543 {
            self.phy.reset_line(value & ctrl::PHY_RST != 0, self.now_ns);
        }
        if self.part.mac == Mac::I82543 && before & ctrl::MDC == 0 && value & ctrl::MDC != 0 {
            let driven = value & ctrl::MDIO_DIR != 0;
            self.pins.clock(value & ctrl::MDIO != 0, driven, &mut self.phy, self.now_ns);
        }
        self.watch_carrier();
        self.refresh_link();
    }

    fn write_ctrl_ext(&mut self, value: u32) {
        let Some(mask) = plain::stored_mask(self.part, CTRL_EXT) else { return self.count_unknown(CTRL_EXT) };
        if self.is_absent(CTRL_EXT) {
            return;
        }
        self.set_reg(CTRL_EXT, value & mask);
        if value & ctrl_ext::ASDCHK != 0 {
            self.detect_speed();
        }
        if value & ctrl_ext::EE_RST != 0 {
            self.load_eeprom();
        }
        // The 82543's PHY hangs on SDP4: low is reset.
        if self.part.mac == Mac::I82543 && value & ctrl_ext::SDP4_DIR != 0 {
            self.phy.reset_line(value & ctrl_ext::SDP4 == 0, self.now_ns);
            self.refresh_link();
        }
    }

    fn write_mdic(&mut self, value: u32) {
        if self.quirks.mdic_ignores_interrupt_writes && value & 3 << 28 != 0 {
            return;
        }
        let after = if self.quirks.mdic_instant { 0 } else { MDIC_NS };
        if !self.mdic.write(value, self.now_ns, after) {
            self.blame(Wrong::MdicBusy);
        }
        if after == 0 {
            if self.mdic.expire(&mut self.phy, self.now_ns, self.faults.mdic) {
                self.raise(icr::MDAC);
            }
            self.refresh_link();
        }
    }

    fn write_rctl(&mut self, value: u32) {
        let was_on = self.reg(RCTL) & rctl::EN != 0;
        self.set_reg(RCTL, value & rctl::STORED);
        if value & rctl::RST != 0 && self.part.mac == Mac::I82542 {
            self.rx.reset();
        }
        let on = value & rctl::EN != 0;
        if was_on && !on {
            self.rx.stop();
        }
        if !was_on && on {
            self.check_ring(Ring::Receive);
        }
        if let Some(span) = self.quirks.rctl_write_blocks_rx_ns {
            self.rx.block_until(self.now_ns + span);
        }
    }

    fn write_tctl(&mut self, value: u32) {
        let was_on = self.reg(TCTL) & tctl::EN != 0;
        let extra = if self.part.mac == Mac::I82544 { tctl::NRTU } else { 0 };
        self.set_reg(TCTL, value & (tctl::STORED | extra) & !tctl::SWXOFF);
        if value & tctl::RST != 0 && self.part.mac == Mac::I82542 {
            self.tx.reset();
        }
        if value & tctl::EN != 0 && !was_on {
            self.check_ring(Ring::Transmit);
            if self.reg(TIDV) == 0 && !self.is_absent(TIDV) {
                self.blame(Wrong::TidvZero);
            }
        }
        if value & tctl::SWXOFF != 0 {
            self.send_pause(self.reg(FCTTV) as u16);
        }
    }

    /// Base, length and head: not while the engine is on.
    fn write_ring(&mut self, at: u32, value: u32) {
        let receive = at < TXDMAC;
        let on = if receive { self.reg(RCTL) & rctl::EN != 0 } else { self.reg(TCTL) & tctl::EN != 0 };
        if on {
            self.blame(Wrong::RingWhileEnabled { offset: at });
            if matches!(at, RDH | TDH) {
                return;
            }
        }
        let mask = plain::stored_mask(self.part, at).unwrap_or(0);
        self.set_reg(at, value & mask);
        if receive {
            self.rx.mend();
            self.watch.forget(Ring::Receive);
        } else {
            self.tx.mend();
            self.watch.forget(Ring::Transmit);
        }
    }

    /// An engine is switched on: its registers must make a ring.
    fn check_ring(&mut self, which: Ring) {
        let (first, mend) = if which == Ring::Receive { (RX_RING, true) } else { (TX_RING, false) };
        if mend {
            self.rx.mend();
        } else {
            self.tx.mend();
        }
        let base = u64::from(self.reg(first + 4)) << 32 | u64::from(self.reg(first));
        let (len, head) = (self.reg(first + 8) / 16, self.reg(first + 0x10));
        let too_long = len > self.part.ring_max();
        if self.ring(first).is_none() || too_long {
            self.violations.add(self.now_ns, Wrong::NotARing { base, len, head }, Some((which, head)));
        }
        self.errata_of_area(base, u64::from(len) * 16, (which, head));
        if !self.master {
            self.blame(Wrong::NotBusMaster);
        }
    }
}
