//! How fast rules are evaluated, on one core.
//!
//! `cargo run --release -p urban-neuron-benches --bin rules [load | core | log | windows | restart]`
//!
//! Times are of the processor, which neighbours on the machine do not lengthen (they do take its cache).

mod core;
mod from_log;
mod load;
mod restart;
mod windows;
mod workload;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The system's allocator, counting what is asked of it and what is held.
struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);
static HELD_BYTES: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is handed to the system's allocator as it came; the counters are atomics.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        HELD_BYTES.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD_BYTES.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are the same.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations() -> usize {
    ALLOCATIONS.load(Ordering::Relaxed)
}

fn held_bytes() -> usize {
    HELD_BYTES.load(Ordering::Relaxed)
}

/// Seconds of processor time of this thread.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(f64::NAN) / 1e9
}

fn main() -> anyhow::Result<()> {
    let wanted = std::env::args().nth(1);
    type Bench = fn() -> anyhow::Result<()>;
    let benches: [(&str, Bench); 5] = [
        ("load", load::run),
        ("core", core::run),
        ("log", from_log::run),
        ("windows", windows::run),
        ("restart", restart::run),
    ];
    benches
        .into_iter()
        .filter(|(name, _)| wanted.as_deref().is_none_or(|wanted| wanted == *name))
        .try_for_each(|(_, run)| run())
}
