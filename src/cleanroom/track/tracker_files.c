/* SPDX-License-Identifier: MIT */
#include "track/tracker_internal.h"

#include "kind/mqueue.h"
#include "kind/sys.h"
#include "probe/probe.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/fanotify.h>

/* Of newer kernels' <linux/fanotify.h>: events of mounts (6.15). */
#define REPORT_MNT 0x00004000
#define MARK_MNTNS 0x00000110
#define MNT_ATTACH 0x01000000ull
#define MNT_DETACH 0x02000000ull
#define INFO_TYPE_MNT 7
struct mount_info {
    struct fanotify_event_info_header header;
    uint64_t id;
};

/* And of <linux/fcntl.h>: AT_HANDLE_FID (6.5). */
#define HANDLE_FID 0x200

#define IN_DIRECTORY (FAN_CREATE | FAN_DELETE | FAN_MOVED_TO | FAN_MOVED_FROM | FAN_ONDIR)

/* ---- what is watched ------------------------------------------------------------------------- */

/* Some file systems have handles that name a file, but do not lead to it: that will do. */
static bool handle_of(const char *path, struct file_handle *handle)
{
    unsigned room = handle->handle_bytes;
    int mount_id;
    if (name_to_handle_at(AT_FDCWD, path, handle, &mount_id, AT_SYMLINK_FOLLOW) == 0)
        return true;
    handle->handle_bytes = room;
    return errno == EOPNOTSUPP && name_to_handle_at(AT_FDCWD, path, handle, &mount_id,
                                                    AT_SYMLINK_FOLLOW | HANDLE_FID) == 0;
}

/* `path` is where it is found now, `name` what it is called in evidence. */
static void watch_as(struct pnx__tracker *tracker, const char *path, const char *name,
                     uint64_t events)
{
    struct {
        struct file_handle head;
        unsigned char room[sizeof tracker->places->handle];
    } handle = {.head = {.handle_bytes = sizeof handle.room}};
    if (tracker->place_count == PNX__TRACKED_PLACES || !handle_of(path, &handle.head) ||
        fanotify_mark(tracker->files, FAN_MARK_ADD, events, AT_FDCWD, path) != 0)
        return;
    struct pnx__place *place = &tracker->places[tracker->place_count++];
    place->handle_bytes = handle.head.handle_bytes;
    place->handle_type = handle.head.handle_type;
    memcpy(place->handle, handle.head.f_handle, handle.head.handle_bytes);
    snprintf(place->path, sizeof place->path, "%s", name);
    pnx__tracker_tell(tracker, 'p', name);
}

static void watch(struct pnx__tracker *tracker, const char *path, uint64_t events)
{
    watch_as(tracker, path, path, events);
}

/* Wherever the queues are mounted, if they are at all: it is one directory. */
static void watch_queues(struct pnx__tracker *tracker)
{
    char path[32];
    tracker->queues = pnx__mqueue_open_dir();
    snprintf(path, sizeof path, "/proc/self/fd/%d", tracker->queues);
    if (tracker->queues >= 0)
        watch_as(tracker, path, "/dev/mqueue", IN_DIRECTORY);
}

static void open_mounts(struct pnx__tracker *tracker)
{
    int namespace = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
    tracker->mounts = fanotify_init(FAN_CLASS_NOTIF | REPORT_MNT | FAN_CLOEXEC | FAN_NONBLOCK, 0);
    if (tracker->mounts >= 0 && fanotify_mark(tracker->mounts, FAN_MARK_ADD | MARK_MNTNS,
                                              MNT_ATTACH | MNT_DETACH, namespace, NULL) != 0) {
        pnx__close(tracker->mounts);
        tracker->mounts = -1;
    }
    pnx__close(namespace);
}

void pnx__tracker_open_files(struct pnx__tracker *tracker)
{
    static const char *const directories[] = {"/dev/shm", "/run", "/run/netns", "/tmp", "/var/tmp"};
    /* Who is not privileged may watch, too, but is not told who did something: that would make
     * strangers of all. */
    if (!pnx__may_watch_files())
        return;
    tracker->files = fanotify_init(
        FAN_CLASS_NOTIF | FAN_REPORT_DFID_NAME | FAN_CLOEXEC | FAN_NONBLOCK, O_RDONLY);
    if (tracker->files < 0)
        return;
    for (size_t i = 0; i < sizeof directories / sizeof *directories; i++)
        watch(tracker, directories[i], IN_DIRECTORY);
    watch_queues(tracker);
    /* Who configures a loop device has it open for writing. */
    for (unsigned i = 0; i < 32; i++) {
        char path[32];
        snprintf(path, sizeof path, "/dev/loop%u", i);
        if (access(path, F_OK) != 0)
            break;
        watch(tracker, path, FAN_CLOSE_WRITE);
    }
    open_mounts(tracker);
}

/* ---- events ---------------------------------------------------------------------------------- */

/* What was read, one event after the other; only the first one is aligned. */
struct events {
    const char *at, *end;
    struct fanotify_event_metadata event; /* the present one */
    const char *more;                     /* what follows it, up to `at` */
};

static bool next_event(struct events *events)
{
    if (events->end - events->at < (ptrdiff_t)sizeof events->event)
        return false;
    memcpy(&events->event, events->at, sizeof events->event);
    if (events->event.event_len < sizeof events->event ||
        events->event.event_len > (size_t)(events->end - events->at))
        return false;
    events->more = events->at + events->event.metadata_len;
    events->at += events->event.event_len;
    return true;
}

/* The directory of an event and the name in it. NULL: it carries none. */
static const char *name_of(const struct events *events, const struct file_handle **ret_handle)
{
    const char *at = events->more, *end = events->at;
    while (at + sizeof(struct fanotify_event_info_header) <= end) {
        const struct fanotify_event_info_fid *info = (const void *)at;
        if (info->hdr.len == 0)
            return NULL;
        if (info->hdr.info_type == FAN_EVENT_INFO_TYPE_DFID_NAME) {
            *ret_handle = (const void *)info->handle; /* after 12 bytes: aligned */
            return (const char *)(*ret_handle)->f_handle + (*ret_handle)->handle_bytes;
        }
        at += info->hdr.len;
    }
    return NULL;
}

static const struct pnx__place *place_of(const struct pnx__tracker *tracker,
                                         const struct file_handle *handle)
{
    for (size_t i = 0; i < tracker->place_count; i++) {
        const struct pnx__place *place = &tracker->places[i];
        if (place->handle_bytes == handle->handle_bytes &&
            place->handle_type == handle->handle_type &&
            memcmp(place->handle, handle->f_handle, handle->handle_bytes) == 0)
            return place;
    }
    return NULL;
}

static void take_device(struct pnx__tracker *tracker, const char *name, bool by_member)
{
    char path[300];
    if (strncmp(name, "loop", 4) != 0)
        return;
    snprintf(path, sizeof path, "/dev/%s", name);
    pnx__tracker_tell(tracker, by_member ? 'w' : 'W', path);
}

static void take_event(struct pnx__tracker *tracker, const struct events *events)
{
    const struct fanotify_event_metadata *event = &events->event;
    const struct file_handle *handle;
    const char *name = name_of(events, &handle);
    bool by_member = pnx__members_has(&tracker->members, event->pid);
    if (event->mask & FAN_Q_OVERFLOW)
        pnx__tracker_lost(tracker, "more files were made at a time than can be followed");
    if (!name)
        return;
    if (event->mask & FAN_CLOSE_WRITE) {
        take_device(tracker, name, by_member);
        return;
    }
    const struct pnx__place *place = place_of(tracker, handle);
    char path[320];
    if (!place || snprintf(path, sizeof path, "%s/%s", place->path, name) >= (int)sizeof path)
        return;
    /* Several events of a name may come as one: what is there at the end is asked elsewhere, and
     * recognised by its identity; here it only counts who made something of this name. */
    if (event->mask & (FAN_CREATE | FAN_MOVED_TO))
        pnx__tracker_tell(tracker, by_member ? 'c' : 'C', path);
    if (by_member && strcmp(path, "/run/netns") == 0)
        watch(tracker, "/run/netns", IN_DIRECTORY);
}

void pnx__tracker_take_files(struct pnx__tracker *tracker)
{
    char buffer[16384];
    ssize_t size;
    if (tracker->files < 0)
        return;
    while ((size = read(tracker->files, buffer, sizeof buffer)) > 0) {
        struct events events = {.at = buffer, .end = buffer + size};
        while (next_event(&events))
            take_event(tracker, &events);
    }
}

static void take_mount(struct pnx__tracker *tracker, const struct events *events)
{
    struct mount_info info;
    char text[24];
    if (events->event.mask & FAN_Q_OVERFLOW)
        pnx__tracker_lost(tracker, "more mounts were made at a time than can be followed");
    if (events->at - events->more < (ptrdiff_t)sizeof info)
        return;
    memcpy(&info, events->more, sizeof info);
    if (info.header.info_type != INFO_TYPE_MNT || !(events->event.mask & MNT_ATTACH) ||
        !pnx__members_has(&tracker->members, events->event.pid))
        return;
    snprintf(text, sizeof text, "u%" PRIx64, info.id);
    pnx__tracker_tell(tracker, 'm', text);
}

void pnx__tracker_take_mounts(struct pnx__tracker *tracker)
{
    char buffer[16384];
    ssize_t size;
    if (tracker->mounts < 0)
        return;
    while ((size = read(tracker->mounts, buffer, sizeof buffer)) > 0) {
        struct events events = {.at = buffer, .end = buffer + size};
        while (next_event(&events))
            take_mount(tracker, &events);
    }
}
