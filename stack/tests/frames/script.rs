//! The bytes that everything else is decided by, and the choices that they stand for.

/// A script; behind its end there are zeros.
pub(crate) struct Script<'a> {
    bytes: &'a [u8],
}

impl<'a> Script<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Script<'a> {
        Script { bytes }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.bytes.split_first() else { return 0 };
        self.bytes = rest;
        *first
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end
    }

    pub(crate) fn half(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    pub(crate) fn word(&mut self) -> u32 {
        u32::from(self.half()) << 16 | u32::from(self.half())
    }

    pub(crate) fn choice<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// At most this many of the bytes that come.
    pub(crate) fn some(&mut self, most: usize) -> &'a [u8] {
        let (some, rest) = self.bytes.split_at(most.min(self.bytes.len()));
        self.bytes = rest;
        some
    }

    /// A sequence number: mostly this one, often one beside it.
    pub(crate) fn near(&mut self, value: u32) -> u32 {
        match self.byte() {
            0..176 => value,
            176..192 => value.wrapping_add(1),
            192..208 => value.wrapping_sub(1),
            208..224 => value.wrapping_add(self.half().into()),
            224..240 => value.wrapping_sub(self.half().into()),
            240..248 => value.wrapping_add(1_460),
            _ => value.wrapping_add(self.word()),
        }
    }
}
