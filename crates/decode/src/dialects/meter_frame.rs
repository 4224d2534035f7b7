//! What frames of meters have in common: a byte of length at the end of the head, then data, a sum over all before it, `16`.

use model::Rejection;

use super::checksum::sum8;
use super::frame_payload::{malformed, wrong_checksum};

/// The length of the frame at the start of `bytes`, whose head of `head_bytes` ends with the length of the data.
pub(super) fn length(bytes: &[u8], head_bytes: usize) -> Result<usize, Rejection> {
    let Some(data) = bytes.get(head_bytes - 1) else { return Err(malformed("the frame ends in its head")) };
    let length = head_bytes + usize::from(*data) + 2;
    if bytes.get(length - 1) != Some(&0x16) {
        return Err(malformed(format!("the frame has no 16 behind its {data} bytes of data")));
    }
    Ok(length)
}

/// All of a whole frame before its sum, which must be right.
pub(super) fn checked(frame: &[u8]) -> Result<&[u8], Rejection> {
    let (checked, sum) = (&frame[..frame.len() - 2], frame[frame.len() - 2]);
    if sum8(checked) == sum { Ok(checked) } else { Err(wrong_checksum(sum8(checked), sum)) }
}
