//! The binary `cloudnest`: everything it does is in [`cell::cli`].

use std::process::ExitCode;

/// Stalls of 59 ms with the C library's allocator were 13 ms with this one.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long memory that was freed is kept before it goes back to the system, ms. A delta fills, is flushed and is freed every few
/// seconds: with the default of a second its pages were given back and faulted in again, zeroed, for 8 % of W1's processor time.
/// Higher: a node that was busy stays large for longer.
const KEEP_FREED_MS: std::ffi::c_long = 60_000;
/// `mi_option_purge_delay` of mimalloc.h; the binding has no name for it.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

fn main() -> ExitCode {
    // SAFETY: sets a number inside the allocator, before there is a second thread; MIMALLOC_PURGE_DELAY still wins.
    #[allow(unsafe_code, reason = "the allocator has no other way to be told")]
    unsafe {
        libmimalloc_sys::mi_option_set_default(PURGE_DELAY, KEEP_FREED_MS);
    }
    cell::cli::main(std::env::args_os())
}
