// SPDX-License-Identifier: MIT
//! The registry of the reference design: a map behind tokio's RwLock, an unbounded channel for
//! clean-up requests, a heap that orders them by priority, a task that looks every 10 ms, and a
//! shutdown that sets a flag and sleeps for 100 ms. Where the description leaves a choice it
//! favours the reference: each look drains everything, and the flag is read before the channel is
//! drained.

use std::cmp;
use std::collections::{BinaryHeap, HashMap};
use std::sync::atomic::Ordering::{Acquire, Release, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicPtr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::runtime::{Handle, Runtime};
use tokio::sync::mpsc::{unbounded_channel, UnboundedReceiver, UnboundedSender};
use tokio::sync::RwLock;
use uuid::Uuid;

const POLL: Duration = Duration::from_millis(10);
const GRACE: Duration = Duration::from_millis(100);

#[derive(Clone)]
#[allow(dead_code)]
struct ResourceInfo {
    id: Uuid,
    type_name: String,
    created_at: Instant,
    size: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum CleanupPriority {
    Normal,
}

struct CleanupTask {
    id: Uuid,
    priority: CleanupPriority,
    thing: u64,
}

impl Ord for CleanupTask {
    fn cmp(&self, other: &Self) -> cmp::Ordering {
        self.priority.cmp(&other.priority)
    }
}
impl PartialOrd for CleanupTask {
    fn partial_cmp(&self, other: &Self) -> Option<cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl PartialEq for CleanupTask {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == cmp::Ordering::Equal
    }
}
impl Eq for CleanupTask {}

type Resources = Arc<RwLock<HashMap<Uuid, ResourceInfo>>>;

struct Registry {
    resources: Resources,
    requests: UnboundedSender<CleanupTask>,
    shutting_down: Arc<AtomicBool>,
}

impl Registry {
    fn start(handle: &Handle) -> Self {
        let (requests, receiver) = unbounded_channel();
        let registry = Registry {
            resources: Arc::default(),
            requests,
            shutting_down: Arc::default(),
        };
        let shutting_down = registry.shutting_down.clone();
        handle.spawn(clean_up(registry.resources.clone(), receiver, shutting_down));
        registry
    }

    fn register(&self, type_name: &str, size: usize) -> Uuid {
        let info = ResourceInfo {
            id: Uuid::new_v4(),
            type_name: type_name.to_string(),
            created_at: Instant::now(),
            size: Some(size),
        };
        let id = info.id;
        self.resources.blocking_write().insert(id, info);
        id
    }

    fn schedule(&self, id: Uuid, thing: u64) {
        let priority = CleanupPriority::Normal;
        let _ = self.requests.send(CleanupTask { id, priority, thing });
    }

    async fn shut_down(&self) {
        self.shutting_down.store(true, SeqCst);
        tokio::time::sleep(GRACE).await;
    }
}

async fn clean_up(
    resources: Resources,
    mut requests: UnboundedReceiver<CleanupTask>,
    shutting_down: Arc<AtomicBool>,
) {
    let mut heap = BinaryHeap::new();
    loop {
        let last = shutting_down.load(SeqCst);
        while let Ok(task) = requests.try_recv() {
            heap.push(task);
        }
        while let Some(task) = heap.pop() {
            crate::release_thing(task.thing);
            resources.write().await.remove(&task.id);
        }
        if last {
            break;
        }
        tokio::time::sleep(POLL).await;
    }
}

// ---- registering, scheduling, releasing --------------------------------------------------------

static RUNTIME: Mutex<Option<Runtime>> = Mutex::new(None);
/// Leaked, so that a look-up costs the caller no count of references.
static REGISTRY: AtomicPtr<Registry> = AtomicPtr::new(std::ptr::null_mut());

fn registry() -> &'static Registry {
    unsafe { REGISTRY.load(Acquire).as_ref() }.expect("registry_open was called")
}

#[no_mangle]
pub extern "C" fn registry_open(_backlog: usize) {
    let runtime = crate::runtime();
    let registry = Registry::start(runtime.handle());
    REGISTRY.store(Box::into_raw(Box::new(registry)), Release);
    *RUNTIME.lock().unwrap() = Some(runtime);
}

#[no_mangle]
pub extern "C" fn registry_drop(count: usize) {
    let registry = registry();
    for i in 0..count as u64 {
        let id = registry.register("thing", 64);
        registry.schedule(id, i + 1);
    }
}

#[no_mangle]
pub extern "C" fn registry_close() {
    if let Some(runtime) = RUNTIME.lock().unwrap().take() {
        runtime.block_on(registry().shut_down());
        runtime.shutdown_background();
    }
}

// ---- looking up --------------------------------------------------------------------------------

/// `struct table_id` of `peer.h`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct TableId {
    high: u64,
    low: u64,
}

impl From<Uuid> for TableId {
    fn from(id: Uuid) -> Self {
        let (high, low) = id.as_u64_pair();
        TableId { high, low }
    }
}

impl From<TableId> for Uuid {
    fn from(id: TableId) -> Self {
        Uuid::from_u64_pair(id.high, id.low)
    }
}

#[no_mangle]
pub unsafe extern "C" fn registry_add(ids: *mut TableId, count: usize) {
    let registry = registry();
    for id in std::slice::from_raw_parts_mut(ids, count) {
        *id = registry.register("thing", 64).into();
    }
}

/// Reads one field under the lock: cheaper than the reference, which clones the whole record.
#[no_mangle]
pub unsafe extern "C" fn registry_find(
    ids: *const TableId,
    order: *const u32,
    count: usize,
) -> usize {
    let registry = registry();
    let order = std::slice::from_raw_parts(order, count);
    let mut found = 0;
    for &index in order {
        let id = Uuid::from(*ids.add(index as usize));
        if let Some(info) = registry.resources.blocking_read().get(&id) {
            found += usize::from(info.size == Some(64));
        }
    }
    found
}

#[no_mangle]
pub unsafe extern "C" fn registry_replace(id: *mut TableId) {
    let registry = registry();
    registry.resources.blocking_write().remove(&Uuid::from(*id));
    *id = registry.register("thing", 64).into();
}
