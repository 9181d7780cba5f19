/* SPDX-License-Identifier: MIT */
/* Sessions that are looked at while they are only just being made. */
#include <cleanroom/reaper.h>

#include "ledger/ledger.h"
#include "ledger/state.h"
#include "support.h"

#include <ftw.h>
#include <stdlib.h>
#include <unistd.h>

static char place[] = "/tmp/cleanroom-test-XXXXXX";

static bool note(const pnx_session_info *info, void *context)
{
    pnx_session_life *life = context;
    *life = info->life;
    return true;
}

static pnx_session_life life_now(void)
{
    pnx_session_life life = PNX_SESSION_UNKNOWN;
    assert_int_equal(pnx_sessions_each(note, &life, NULL), PNX_OK);
    return life;
}

static size_t count_sessions(void)
{
    char path[128];
    size_t count = 0;
    snprintf(path, sizeof path, "%s/sessions", place);
    DIR *names = opendir(path);
    assert_non_null(names);
    for (const struct dirent *entry; (entry = readdir(names));)
        count += entry->d_name[0] != '.';
    closedir(names);
    return count;
}

static void a_session_that_is_being_made_is_left_alone(void **state)
{
    pnx_id id = {.high = 1, .low = 2};
    int state_fd, dir_fd;
    pnx__ledger *ledger = NULL;
    assert_int_equal(pnx__state_open(&state_fd, NULL, 0, NULL), PNX_OK);
    assert_int_equal(pnx__state_session_create(state_fd, id, &dir_fd, NULL), PNX_OK);
    assert_int_equal(pnx__ledger_create(dir_fd, PNX__STATE_LEDGER, id, &ledger, NULL), PNX_OK);

    assert_int_equal(life_now(), PNX_SESSION_LIVE);
    assert_int_equal(pnx_sessions_reap(0, NULL, NULL, NULL), PNX_OK);
    assert_int_equal(pnx_session_reap(id, "adopter", 0, NULL, NULL), PNX_EBUSY);
    assert_int_equal(count_sessions(), 1);

    pnx__ledger_close(ledger); /* as if its maker had died here */
    close(dir_fd);
    assert_int_equal(life_now(), PNX_SESSION_DEAD);
    assert_int_equal(pnx_sessions_reap(0, NULL, NULL, NULL), PNX_OK);
    assert_int_equal(count_sessions(), 0);
    close(state_fd);
}

static int remove_one(const char *path, const struct stat *about, int type, struct FTW *where)
{
    return remove(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_session_that_is_being_made_is_left_alone),
    };
    if (!mkdtemp(place) || setenv("CLEANROOM_STATE_DIR", place, 1) != 0)
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return nftw(place, remove_one, 8, FTW_DEPTH | FTW_PHYS) == 0 ? failed : 1;
}
