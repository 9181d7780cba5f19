/* SPDX-License-Identifier: MIT */
/*
 * Saves files of the session's directory before that is removed. Everything goes by descriptors:
 * no link is followed, no mount is crossed, and what is written goes into a new directory in which
 * every name is made anew.
 */
#include "session/session.h"

#include "kind/sys.h"
#include "kind/tree.h"
#include "ledger/ledger.h"

#include <cleanroom/process.h>
#include <dirent.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define DEPTH_MAX 32
#define NAME_KEPT 64
/* Names that a directory of one session is tried under: each cleaner that died may have one. */
#define TRIES 16

struct saving {
    pnx_session *session;
    pnx_time deadline;
    int to;              /* the directory of this session */
    char path[PATH_MAX]; /* of what is at hand, relative to both */
    uint64_t files, bytes;
    char buffer[65536];
    bool full; /* a limit was met, or the time is over: that was told */
};

/* ---- where to -------------------------------------------------------------------------------- */

/* mkdir -p; what is there is taken as it is. */
static bool make_path(const char *path)
{
    char part[PATH_MAX];
    size_t length = strlen(path);
    if (length >= sizeof part) {
        errno = ENAMETOOLONG;
        return false;
    }
    memcpy(part, path, length + 1);
    for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(part, 0777) != 0 && errno != EEXIST)
            return false;
        *slash = '/';
    }
    return mkdir(part, 0777) == 0 || errno == EEXIST;
}

static char *absolute(const char *path)
{
    char *whole = NULL, *current = *path == '/' ? NULL : getcwd(NULL, 0);
    if (*path == '/')
        return strdup(path);
    if (current && asprintf(&whole, "%s/%s", current, path) < 0)
        whole = NULL;
    free(current);
    return whole;
}

static int open_place(const char *path, pnx_error *err)
{
    int fd = make_path(path) ? open(path, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd < 0)
        pnx_fail(err, PNX_EFAILED, "cannot save artifacts in '%s': %m", path);
    return fd;
}

static pnx_status note(pnx_session *session, pnx_error *err)
{
    if (!session->ledger)
        return PNX_OK;
    pnx_status status = pnx__ledger_note(session->ledger, "artifacts", session->artifacts, err);
    if (status != PNX_OK || !session->save)
        return status;
    char *globs = pnx__words_encode((const char *const *)session->save);
    status = globs ? pnx__ledger_note(session->ledger, "save", globs, err)
                   : pnx_fail(err, PNX_ENOMEM, "no memory for a session");
    free(globs);
    return status;
}

pnx_status pnx__session_note_artifacts(pnx_session *session, pnx_error *err)
{
    const char *dir = session->config.artifacts;
    const char *const *save = session->config.save;
    session->config.artifacts = NULL; /* the caller's */
    session->config.save = NULL;
    if (!dir)
        return PNX_OK;
    session->artifacts = absolute(dir);
    session->save = save && *save ? pnx__session_copy_list(save) : NULL;
    if (!session->artifacts || (save && *save && !session->save))
        return pnx_fail(err, PNX_ENOMEM, "no memory for a session");
    int fd = open_place(session->artifacts, err); /* told before anything is run */
    if (fd < 0)
        return PNX_EFAILED;
    pnx__close(fd);
    return note(session, err);
}

void pnx__session_recall_artifacts(pnx_session *session, const char *dir, const char *save)
{
    if (!dir || *dir != '/')
        return;
    session->artifacts = strdup(dir);
    session->save = save && *save ? pnx__words_decode(save) : NULL;
}

/* "NAME-ID", of bytes that need no care in a path. */
static void name_place(const pnx_session *session, unsigned number, char *ret, size_t size)
{
    char name[NAME_KEPT + 1], id[PNX_ID_TEXT_SIZE];
    size_t length = 0;
    const char *from = session->config.name ? session->config.name : "";
    for (; *from && length < NAME_KEPT; from++, length++) {
        bool plain = (*from >= 'a' && *from <= 'z') || (*from >= 'A' && *from <= 'Z') ||
                     (*from >= '0' && *from <= '9') || *from == '-' || *from == '_' ||
                     (*from == '.' && length > 0);
        name[length] = plain ? *from : '_';
    }
    name[length] = '\0';
    pnx_id_format(session->id, id);
    snprintf(ret, size, number ? "%s-%s.%u" : "%s-%s", name, id, number);
}

/* Of this session; made when it is first asked for. */
static bool make_place(pnx_session *session, pnx_error *err)
{
    char name[NAME_KEPT + PNX_ID_TEXT_SIZE + 16];
    if (session->artifacts_fd > 0)
        return true;
    int place = open_place(session->artifacts, err);
    if (place < 0)
        return false;
    int made = -1;
    for (unsigned number = 0; number < TRIES && made != 0; number++) {
        name_place(session, number, name, sizeof name);
        made = mkdirat(place, name, 0777);
        if (made != 0 && errno != EEXIST)
            break;
    }
    int fd = made == 0 ? openat(place, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
    if (fd < 0)
        pnx_fail(err, PNX_EFAILED, "cannot save artifacts in '%s/%s': %m", session->artifacts,
                 name);
    else if (asprintf(&session->artifacts_told.dir, "%s/%s", session->artifacts, name) < 0)
        session->artifacts_told.dir = NULL;
    pnx__close(place);
    if (fd >= 0)
        session->artifacts_fd = fd;
    return fd >= 0;
}

static void tell_no_place(pnx_session *session, const char *why)
{
    session->artifacts_told.dir = strdup(session->artifacts);
    if (!session->warning[0])
        snprintf(session->warning, sizeof session->warning, "%s",
                 *why ? why : "artifacts could not be saved");
    session->artifacts_told.failed++;
}

const char *pnx__session_artifacts_place(pnx_session *session)
{
    pnx_error why = {0};
    if (!session->artifacts || session->artifacts_told.dir)
        return session->artifacts_fd > 0 ? session->artifacts_told.dir : NULL;
    if (!make_place(session, &why))
        tell_no_place(session, why.message);
    return session->artifacts_fd > 0 ? session->artifacts_told.dir : NULL;
}

/* ---- what is told ---------------------------------------------------------------------------- */

static void add_row(pnx_session *session, const char *path, uint64_t bytes, const char *reason)
{
    struct pnx__artifacts *told = &session->artifacts_told;
    told->saved += !reason;
    told->failed += reason != NULL;
    told->bytes += bytes;
    if (told->count >= session->config.listed_max)
        return;
    pnx_session_artifact *grown = realloc(told->rows, (told->count + 1) * sizeof *grown);
    if (!grown)
        return;
    told->rows = grown;
    pnx_session_artifact *row = &told->rows[told->count++];
    *row = (pnx_session_artifact){.path = strdup(path), .bytes = bytes};
    row->reason = strdup(reason ? reason : "");
    if (reason || asprintf(&row->saved_as, "%s/%s", told->dir ? told->dir : "", path) < 0)
        row->saved_as = strdup("");
}

static void tell(struct saving *saving, uint64_t bytes, const char *reason)
{
    add_row(saving->session, saving->path, bytes, reason);
}

void pnx__session_add_artifact(pnx_session *session, const char *name, uint64_t bytes,
                               const char *reason)
{
    add_row(session, name, bytes, *reason ? reason : NULL);
}

static void tell_errno(struct saving *saving)
{
    tell(saving, 0, strerrordesc_np(errno));
}

static void stop(struct saving *saving, const char *why)
{
    tell(saving, 0, why);
    saving->full = true;
}

/* ---- one file -------------------------------------------------------------------------------- */

static bool is_wanted(const struct saving *saving)
{
    char **globs = saving->session->save;
    const char *slash = strrchr(saving->path, '/'), *base = slash ? slash + 1 : saving->path;
    for (; globs && *globs; globs++) {
        bool whole = strchr(*globs, '/') != NULL;
        if (fnmatch(*globs, whole ? saving->path : base, whole ? FNM_PATHNAME : 0) == 0)
            return true;
    }
    return !saving->session->save;
}

/* The directories on the way to `path`, made as needed; the last component is the caller's. */
static int open_parent(int to, const char *path, const char **ret_name)
{
    int dir = fcntl(to, F_DUPFD_CLOEXEC, 3);
    const char *slash;
    for (; dir >= 0 && (slash = strchr(path, '/')); path = slash + 1) {
        char name[NAME_MAX + 1];
        size_t length = (size_t)(slash - path);
        memcpy(name, path, length);
        name[length] = '\0';
        int next = -1;
        if (mkdirat(dir, name, 0777) == 0 || errno == EEXIST)
            next = openat(dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        pnx__close(dir);
        dir = next;
    }
    *ret_name = path;
    return dir;
}

static bool copy_bytes(struct saving *saving, int from, int to, uint64_t *ret)
{
    char *buffer = saving->buffer;
    uint64_t most = PNX_ARTIFACTS_BYTES_MAX - saving->bytes;
    ssize_t got;
    *ret = 0;
    while ((got = read(from, buffer, sizeof saving->buffer)) > 0) {
        if (*ret + (uint64_t)got > most) {
            errno = EFBIG;
            return false;
        }
        for (ssize_t done = 0, wrote; done < got; done += wrote)
            if ((wrote = write(to, buffer + done, (size_t)(got - done))) < 0)
                return false;
        *ret += (uint64_t)got;
    }
    return got == 0;
}

static void save_into(struct saving *saving, int from, const struct stat *about, int dir,
                      const char *name)
{
    uint64_t bytes;
    int to = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                    about->st_mode & 0777);
    if (to < 0) {
        tell_errno(saving);
        return;
    }
    struct timespec times[2] = {about->st_atim, about->st_mtim};
    if (copy_bytes(saving, from, to, &bytes) && futimens(to, times) == 0) {
        saving->files++;
        saving->bytes += bytes;
        tell(saving, bytes, NULL);
    } else { /* half a file looks like a whole one */
        tell_errno(saving);
        (void)unlinkat(dir, name, 0);
    }
    pnx__close(to);
}

static void save_open(struct saving *saving, int from, const struct stat *about)
{
    const char *name;
    if ((uint64_t)about->st_size > PNX_ARTIFACTS_BYTES_MAX - saving->bytes) {
        tell(saving, 0, "it would be more than " PNX_ARTIFACTS_BYTES_TEXT " in all");
        return;
    }
    int dir = open_parent(saving->to, saving->path, &name);
    if (dir < 0) {
        tell_errno(saving);
        return;
    }
    save_into(saving, from, about, dir, name);
    pnx__close(dir);
}

static void save_file(struct saving *saving, int dir, const char *name)
{
    struct stat about;
    if (saving->files == PNX_ARTIFACTS_FILES_MAX) {
        stop(saving, "there are more files than are saved");
        return;
    }
    if (pnx_monotonic_now() >= saving->deadline) {
        stop(saving, "there was no time left");
        return;
    }
    int from = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (from < 0 && errno == EACCES && fchmodat(dir, name, 0600, AT_SYMLINK_NOFOLLOW) == 0)
        from = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (from < 0 || fstat(from, &about) != 0)
        tell_errno(saving);
    else if (!S_ISREG(about.st_mode))
        tell(saving, 0, "it is not a regular file any more");
    else
        save_open(saving, from, &about);
    pnx__close(from);
}

/* ---- all of them ----------------------------------------------------------------------------- */

static void walk(struct saving *saving, int dir, size_t length, unsigned depth);

static void descend(struct saving *saving, int dir, const char *name, size_t length, unsigned depth)
{
    if (depth == DEPTH_MAX) {
        tell(saving, 0, "its directory lies too deep");
        return;
    }
    int below = pnx__tree_open(dir, name);
    if (below < 0) {
        tell_errno(saving);
        return;
    }
    saving->path[length] = '/';
    saving->path[length + 1] = '\0';
    walk(saving, below, length + 1, depth + 1);
}

static void visit(struct saving *saving, int dir, const char *name, size_t length, unsigned depth)
{
    const pnx_session *session = saving->session;
    struct stat about;
    size_t name_length = strlen(name);
    if (length + name_length + 2 > sizeof saving->path) {
        tell(saving, 0, "its path is too long");
        return;
    }
    memcpy(saving->path + length, name, name_length + 1);
    if (fstatat(dir, name, &about, AT_SYMLINK_NOFOLLOW) != 0)
        return;
    if (S_ISDIR(about.st_mode))
        descend(saving, dir, name, length + name_length, depth);
    else if (!is_wanted(saving) || ((session->config.isolate & PNX_ISOLATE_TMP) &&
                                    pnx_isolate_made(session->dir_path, saving->path)))
        return;
    else if (S_ISREG(about.st_mode))
        save_file(saving, dir, name);
    else if (session->save || S_ISLNK(about.st_mode))
        tell(saving, 0,
             S_ISLNK(about.st_mode) ? "symbolic links are not followed"
                                    : "it is not a regular file");
}

/* Takes `dir` over. */
static void walk(struct saving *saving, int dir, size_t length, unsigned depth)
{
    DIR *stream = fdopendir(dir);
    if (!stream) {
        pnx__close(dir);
        tell_errno(saving);
        return;
    }
    const struct dirent *entry;
    while (!saving->full && (entry = readdir(stream))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        visit(saving, dir, entry->d_name, length, depth);
        saving->path[length] = '\0';
    }
    (void)closedir(stream);
}

void pnx__session_save_artifacts(pnx_session *session, pnx_time deadline)
{
    pnx_error why = {0};
    if (!session->artifacts || !session->dir)
        return;
    struct saving *saving = calloc(1, sizeof *saving);
    if (!saving)
        return;
    saving->session = session;
    saving->deadline = deadline;
    int dir = pnx__session_open_files(session);
    if (dir >= 0 && make_place(session, &why)) {
        saving->to = session->artifacts_fd;
        walk(saving, dir, 0, 0);
        if (session->ledger) /* who cleans up after us does not do it again */
            (void)!pnx__ledger_note(session->ledger, "artifacts", "saved", NULL);
    } else {
        pnx__close(dir);
        if (!session->artifacts_told.dir)
            tell_no_place(session, why.message);
    }
    free(saving);
}

void pnx__session_tell_artifacts(pnx_session *session, pnx_session_report *report)
{
    struct pnx__artifacts *told = &session->artifacts_told;
    report->artifacts_dir = told->dir;
    report->artifacts_saved = told->saved;
    report->artifacts_failed = told->failed;
    report->artifacts_bytes = told->bytes;
    report->artifacts = told->rows;
    report->artifact_count = told->count;
    *told = (struct pnx__artifacts){0};
}

void pnx__session_forget_artifacts(pnx_session *session)
{
    for (size_t i = 0; session->save && session->save[i]; i++)
        free(session->save[i]);
    free(session->save);
    free(session->artifacts);
    pnx__close(session->artifacts_fd > 0 ? session->artifacts_fd : -1);
}
