//! Named points at which crash tests end the process, as a power cut would: at once, without a destructor.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// The point of `[testing] abort_at`, if any. Cloning shares the count of passings.
#[derive(Clone, Debug, Default)]
pub struct Failpoints {
    abort_at: Option<Arc<AbortAt>>,
}

#[derive(Debug)]
struct AbortAt {
    name: String,
    /// Passings left before the one that aborts.
    left: AtomicU32,
}

impl Failpoints {
    pub fn new(abort_at: Option<&(String, u32)>) -> Self {
        let abort_at = abort_at.map(|(name, nth)| {
            Arc::new(AbortAt { name: name.clone(), left: AtomicU32::new(nth.saturating_sub(1)) })
        });
        Failpoints { abort_at }
    }

    pub fn is_armed(&self) -> bool {
        self.abort_at.is_some()
    }

    /// Passes a point.
    pub fn pass(&self, name: &str) {
        let Some(abort_at) = self.abort_at.as_ref().filter(|abort_at| abort_at.name == name) else { return };
        let passed =
            abort_at.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if passed.is_err() {
            std::process::abort();
        }
    }

    /// The same as the engines take it; it never gives an error.
    pub fn io(&self, name: &str) -> io::Result<()> {
        self.pass(name);
        Ok(())
    }
}
