//! The frame check sequence (IEEE 802.3 3.2.9): CRC-32, eight bytes a step.
//!
//! Receives a frame without FCS and hands on the four bytes that follow it on the wire.

const TABLES: [[u32; 256]; 8] = tables();

const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0u32; 256]; 8];
    let mut n = 0;
    while n < 256 {
        let mut crc = n as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 != 0 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
            bit += 1;
        }
        tables[0][n] = crc;
        n += 1;
    }
    let mut step = 1;
    while step < 8 {
        let mut n = 0;
        while n < 256 {
            let before = tables[step - 1][n];
            tables[step][n] = before >> 8 ^ tables[0][(before & 0xff) as usize];
            n += 1;
        }
        step += 1;
    }
    tables
}

/// The FCS of `frame`, in wire order.
#[must_use]
pub fn fcs(frame: &[u8]) -> [u8; 4] {
    let mut crc = u32::MAX;
    let mut chunks = frame.chunks_exact(8);
    for c in &mut chunks {
        let low = crc ^ u32::from_le_bytes([c[0], c[1], c[2], c[3]]);
        crc = TABLES[7][(low & 0xff) as usize]
            ^ TABLES[6][(low >> 8 & 0xff) as usize]
            ^ TABLES[5][(low >> 16 & 0xff) as usize]
            ^ TABLES[4][(low >> 24) as usize]
            ^ TABLES[3][c[4] as usize]
            ^ TABLES[2][c[5] as usize]
            ^ TABLES[1][c[6] as usize]
            ^ TABLES[0][c[7] as usize];
    }
    for byte in chunks.remainder() {
        crc = crc >> 8 ^ TABLES[0][((crc ^ u32::from(*byte)) & 0xff) as usize];
    }
    (!crc).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::fcs;

    #[test]
    fn the_check_value_of_crc_32() {
        assert_eq!(fcs(b"123456789"), 0xcbf4_3926_u32.to_le_bytes());
        let long: Vec<u8> = (0..1000u32).map(|n| (n * 7) as u8).collect();
        let mut with = long.clone();
        with.extend(fcs(&long));
        assert_eq!(u32::from_le_bytes(fcs(&with)), 0x2144_df1c, "the residue of a frame with its own FCS");
    }
}
