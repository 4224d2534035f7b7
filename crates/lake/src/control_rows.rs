//! The records that are no telemetry, as rows of the control table: with them a replay has the whole log.

use model::LogRecordView;

/// One control record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ControlRow {
    pub(crate) log_offset: i64,
    /// The partition clock at the record.
    pub(crate) log_time_us: i64,
    pub(crate) kind: &'static str,
    pub(crate) instance: String,
    pub(crate) digest: String,
}

impl ControlRow {
    /// The row of a record; `None` for telemetry.
    pub(crate) fn of(record: &LogRecordView<'_>, log_offset: i64, log_time_us: i64) -> Option<Self> {
        let (kind, instance, digest) = match record {
            LogRecordView::Telemetry(_) => return None,
            LogRecordView::Tick { instance } => ("tick", *instance, ""),
            LogRecordView::Heartbeat { instance } => ("heartbeat", *instance, ""),
            LogRecordView::RuleSet { digest, .. } => ("rule_set", "", *digest),
            LogRecordView::UnknownControl => ("unknown", "", ""),
        };
        let (instance, digest) = (instance.to_owned(), digest.to_owned());
        Some(ControlRow { log_offset, log_time_us, kind, instance, digest })
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.instance.len() + self.digest.len()
    }
}
