//! The object that keeps the state of one log partition of the rules worker: where its output and its commands stood in the
//! log, what people have marked, and the evaluator's own snapshot. It owns the layout and knows nothing of what the evaluator's bytes mean.

use serde::{Deserialize, Serialize};

use crate::alert_marks::AlertMarks;

/// Version of the object. Another one does not open, which costs the time to evaluate again and nothing else.
const MAGIC: [u8; 8] = *b"UNRULES2";

/// What stands before the evaluator's bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SnapshotHead {
    pub said: SaidPositions,
    /// The first command that is not done.
    pub commands_position: i64,
    pub marks: AlertMarks,
}

/// Just after the last event that was said below the snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SaidPositions {
    /// Of `alerts.v1`.
    pub alerts: i64,
    /// Of `alerts.shadow.v1`.
    pub shadow: i64,
}

/// The object does not open.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error("it is of another version")]
    Version,
    #[error("it is cut short")]
    Truncated,
    #[error("its head: {0}")]
    Head(#[from] serde_json::Error),
}

/// Magic, length of the head (u32, little-endian), head as JSON, evaluator.
pub fn encode(head: &SnapshotHead, evaluator: &[u8]) -> Vec<u8> {
    let head = serde_json::to_vec(head).expect("a head has text keys and finite numbers");
    let length = u32::try_from(head.len()).expect("what a head holds is bounded far below 4 GiB");
    [&MAGIC[..], &length.to_le_bytes(), &head, evaluator].concat()
}

/// The head, and the evaluator's bytes.
///
/// # Errors
/// See [`SnapshotError`].
pub fn decode(bytes: &[u8]) -> Result<(SnapshotHead, &[u8]), SnapshotError> {
    let rest = bytes.strip_prefix(&MAGIC).ok_or(SnapshotError::Version)?;
    let (length, rest) = rest.split_first_chunk::<4>().ok_or(SnapshotError::Truncated)?;
    let length = u32::from_le_bytes(*length) as usize;
    let (head, evaluator) = rest.split_at_checked(length).ok_or(SnapshotError::Truncated)?;
    Ok((serde_json::from_slice(head)?, evaluator))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_opens_and_nothing_else_does() {
        let said = SaidPositions { alerts: 7, shadow: 3 };
        let head = SnapshotHead { said, commands_position: 2, ..SnapshotHead::default() };
        let bytes = encode(&head, b"evaluator");
        assert_eq!(decode(&bytes).unwrap(), (head, &b"evaluator"[..]));
        for cut in 0..bytes.len() - b"evaluator".len() {
            assert!(decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        assert!(matches!(decode(b"UNRULES1........"), Err(SnapshotError::Version)));
    }
}
