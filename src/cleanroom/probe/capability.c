/* SPDX-License-Identifier: MIT */
#include "probe/probe.h"

#include <stdio.h>
#include <string.h>

pnx_capability *pnx__probe_add(struct pnx__probe *probe, const char *name, const char *gives)
{
    static pnx_capability nowhere; /* there are more than anybody has room for: a test counts */
    pnx_capability *capability = probe->next < probe->end ? probe->next++ : &nowhere;
    *capability = (pnx_capability){.group = probe->group, .name = name, .gives = gives};
    return capability;
}

static void say(char *buffer, size_t size, const char *format, va_list args) PNX_PRINTF(3, 0);
static void say(char *buffer, size_t size, const char *format, va_list args)
{
    pnx_error text = {0};
    (void)pnx_fail_va(&text, PNX_EFAILED, format, args);
    snprintf(buffer, size, "%s", text.message);
}

void pnx__probe_yes(pnx_capability *capability, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    capability->ok = true;
    say(capability->detail, sizeof capability->detail, format, args);
    va_end(args);
}

void pnx__probe_no(pnx_capability *capability, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    capability->ok = false;
    say(capability->detail, sizeof capability->detail, format, args);
    va_end(args);
}

void pnx__probe_change(pnx_capability *capability, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(capability->change, sizeof capability->change, format, args);
    va_end(args);
}

size_t pnx_capabilities_probe(const char *state_dir, const char *tmp_dir, pnx_capability *ret)
{
    static const struct {
        const char *group;
        void (*probe)(struct pnx__probe *probe);
    } groups[] = {
        {"cgroups", pnx__probe_cgroups},       {"processes", pnx__probe_processes},
        {"namespaces", pnx__probe_namespaces}, {"watching", pnx__probe_watching},
        {"engines", pnx__probe_engines},       {"places", pnx__probe_places},
    };
    struct pnx__probe probe = {
        .next = ret,
        .end = ret + PNX_CAPABILITIES_MAX,
        .state_dir = state_dir,
        .tmp_dir = tmp_dir,
    };
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        probe.group = groups[i].group;
        groups[i].probe(&probe);
    }
    return (size_t)(probe.next - ret);
}
