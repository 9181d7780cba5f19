// SPDX-License-Identifier: MIT
//! r2d2, in its default configuration, behind the functions of `peer.h`. `main` is in
//! `peer_rust.c`.

use r2d2::{ManageConnection, Pool, PooledConnection};
use std::ffi::c_void;
use std::io::Error;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};

/// Things that cost nothing to make, and are always good.
struct Manager;

impl ManageConnection for Manager {
    type Connection = u32;
    type Error = Error;

    fn connect(&self) -> Result<u32, Error> {
        Ok(1)
    }
    fn is_valid(&self, _: &mut u32) -> Result<(), Error> {
        Ok(())
    }
    fn has_broken(&self, _: &mut u32) -> bool {
        false
    }
}

/// From open to close, while nobody else is there, it does not change.
static POOL: AtomicPtr<Pool<Manager>> = AtomicPtr::new(null_mut());

fn pool() -> &'static Pool<Manager> {
    unsafe { &*POOL.load(Ordering::Acquire) }
}

#[no_mangle]
pub extern "C" fn r2d2_open(size: u32) {
    let made = Pool::builder().max_size(size).build(Manager).expect("a pool");
    POOL.store(Box::into_raw(Box::new(made)), Ordering::Release);
}

#[no_mangle]
pub extern "C" fn r2d2_cycle(count: usize) {
    let pool = pool();
    for _ in 0..count {
        drop(pool.get().expect("a connection"));
    }
}

#[no_mangle]
pub extern "C" fn r2d2_borrow() -> *mut c_void {
    Box::into_raw(Box::new(pool().get().expect("a connection"))) as *mut c_void
}

#[no_mangle]
pub extern "C" fn r2d2_give_back(handle: *mut c_void) {
    drop(unsafe { Box::from_raw(handle as *mut PooledConnection<Manager>) });
}

#[no_mangle]
pub extern "C" fn r2d2_close() {
    drop(unsafe { Box::from_raw(POOL.swap(null_mut(), Ordering::AcqRel)) });
}
