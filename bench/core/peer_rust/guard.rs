// SPDX-License-Identifier: MIT
//! The guard of the reference design: it holds a resource and an asynchronous clean-up, and its
//! `Drop` spawns that onto the runtime. The runtime's own end cancels what has not started.

use std::future::Future;
use std::pin::Pin;
use std::sync::Mutex;
use tokio::runtime::{Handle, Runtime};

type Cleanup<T> = fn(T) -> Pin<Box<dyn Future<Output = ()> + Send>>;

struct AsyncResourceGuard<T: Send + 'static> {
    resource: Option<T>,
    cleanup: Option<Cleanup<T>>,
}

impl<T: Send + 'static> Drop for AsyncResourceGuard<T> {
    fn drop(&mut self) {
        if let (Some(resource), Some(cleanup)) = (self.resource.take(), self.cleanup.take()) {
            tokio::spawn(async move { cleanup(resource).await });
        }
    }
}

static RUNTIME: Mutex<Option<Runtime>> = Mutex::new(None);

fn handle() -> Handle {
    let runtime = RUNTIME.lock().unwrap();
    runtime.as_ref().expect("guard_open was called").handle().clone()
}

fn give_back(thing: u64) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move { crate::release_thing(thing) })
}

#[no_mangle]
pub extern "C" fn guard_open(_backlog: usize) {
    *RUNTIME.lock().unwrap() = Some(crate::runtime());
}

#[no_mangle]
pub extern "C" fn guard_drop(count: usize) {
    let handle = handle();
    let _context = handle.enter();
    for i in 0..count as u64 {
        let _guard = AsyncResourceGuard {
            resource: Some(i + 1),
            cleanup: Some(give_back as Cleanup<u64>),
        };
    }
}

#[no_mangle]
pub extern "C" fn guard_close() {
    let runtime = RUNTIME.lock().unwrap().take();
    drop(runtime);
}
