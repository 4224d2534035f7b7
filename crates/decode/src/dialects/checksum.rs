//! Checksums that several field protocols share.

/// CRC-16/MODBUS: polynomial 0x8005 reflected, from 0xffff.
pub(super) fn crc16_modbus(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xffff, |crc, byte| (crc >> 8) ^ SHIFTED[usize::from((crc ^ u16::from(*byte)) & 0xff)])
}

/// Eight shifts of each value of a byte, the polynomial taken off where a bit falls out.
pub(super) const SHIFTED: [u16; 256] = {
    let mut table = [0; 256];
    let mut value = 0;
    while value < 256 {
        let mut crc = value as u16;
        let mut shift = 0;
        while shift < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xa001 } else { crc >> 1 };
            shift += 1;
        }
        table[value] = crc;
        value += 1;
    }
    table
};

/// The low byte of the sum.
pub(super) fn sum8(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

/// All bytes, one against the other.
pub(super) fn xor8(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum ^ byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_values() {
        assert_eq!(crc16_modbus(b"123456789"), 0x4b37);
        assert_eq!(sum8(&[0xff, 2]), 1);
        assert_eq!(xor8(&[0xf0, 0x0f, 1]), 0xfe);
    }
}
