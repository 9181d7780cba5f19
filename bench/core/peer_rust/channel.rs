// SPDX-License-Identifier: MIT
//! The usual alternative in Rust: boxed closures through a crossbeam channel to a thread.

use crossbeam_channel::{unbounded, Sender};
use std::sync::Mutex;
use std::thread::JoinHandle;

type Cleanup = Box<dyn FnOnce() + Send>;

struct Guard<'a> {
    cleanup: Option<Cleanup>,
    sender: &'a Sender<Cleanup>,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if let Some(cleanup) = self.cleanup.take() {
            let _ = self.sender.send(cleanup);
        }
    }
}

static WORKER: Mutex<Option<(Sender<Cleanup>, JoinHandle<()>)>> = Mutex::new(None);

#[no_mangle]
pub extern "C" fn channel_open(_backlog: usize) {
    let (sender, receiver) = unbounded::<Cleanup>();
    let thread = std::thread::spawn(move || {
        for cleanup in receiver {
            cleanup();
        }
    });
    *WORKER.lock().unwrap() = Some((sender, thread));
}

#[no_mangle]
pub extern "C" fn channel_drop(count: usize) {
    let sender = {
        let worker = WORKER.lock().unwrap();
        worker.as_ref().expect("channel_open was called").0.clone()
    };
    for i in 0..count as u64 {
        let _guard = Guard {
            cleanup: Some(Box::new(move || crate::release_thing(i + 1))),
            sender: &sender,
        };
    }
}

#[no_mangle]
pub extern "C" fn channel_close() {
    if let Some((sender, thread)) = WORKER.lock().unwrap().take() {
        drop(sender);
        thread.join().expect("the worker ends");
    }
}
