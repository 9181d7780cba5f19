// SPDX-License-Identifier: MIT
//! The peers that are written in Rust, behind the functions of `peer.h`, so that the workloads
//! and the clock are the same C code as for everybody else. `main` is in `peer_rust.c`.

mod channel;
mod guard;
mod registry;

use std::ffi::c_void;

extern "C" {
    fn bench_release_thing(thing: *mut c_void);
}

/// What a release does; see `release.h`.
fn release_thing(thing: u64) {
    unsafe { bench_release_thing(thing as *mut c_void) }
}

/// One worker thread, as everybody has.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_time()
        .build()
        .expect("a tokio runtime")
}
