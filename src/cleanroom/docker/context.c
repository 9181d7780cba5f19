/* SPDX-License-Identifier: MIT */
#include "docker/context.h"

#include <dirent.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PATH_SIZE 1024

void pnx__docker_directory(char *ret, size_t size)
{
    const char *set = getenv("DOCKER_CONFIG"), *home = getenv("HOME");
    ret[0] = '\0';
    if (set && *set)
        snprintf(ret, size, "%s", set);
    else if (home && *home)
        snprintf(ret, size, "%s/.docker", home);
}

/* NULL: it is not there, or is no JSON. */
static json_t *load(const char *directory, const char *name)
{
    char path[PATH_SIZE];
    if (snprintf(path, sizeof path, "%s/%s", directory, name) >= (int)sizeof path)
        return NULL;
    return json_load_file(path, 0, NULL);
}

static void find_name(const char *directory, char *ret, size_t size)
{
    const char *set = getenv("DOCKER_CONTEXT");
    if (set && *set) {
        snprintf(ret, size, "%s", set);
        return;
    }
    json_t *config = load(directory, "config.json");
    const char *current = json_string_value(json_object_get(config, "currentContext"));
    snprintf(ret, size, "%s", current ? current : "");
    json_decref(config);
}

static bool take_endpoint(const json_t *meta, struct pnx__context *ret)
{
    const json_t *endpoint = json_object_get(json_object_get(meta, "Endpoints"), "docker");
    const char *host = json_string_value(json_object_get(endpoint, "Host"));
    if (!host || strlen(host) >= sizeof ret->host)
        return false;
    snprintf(ret->host, sizeof ret->host, "%s", host);
    ret->verify = !json_is_true(json_object_get(endpoint, "SkipTLSVerify"));
    return true;
}

static void take_certificates(const char *directory, const char *hash, struct pnx__context *ret)
{
    char path[sizeof ret->directory];
    struct stat about;
    int length = snprintf(path, sizeof path, "%s/contexts/tls/%s/docker", directory, hash);
    if (length < (int)sizeof path && stat(path, &about) == 0 && S_ISDIR(about.st_mode))
        snprintf(ret->directory, sizeof ret->directory, "%s", path);
}

/* Each context lies in a directory that is named by a hash of its name; the name is in the file. */
static bool find_context(const char *directory, struct pnx__context *ret)
{
    char metas[PATH_SIZE];
    bool found = false;
    if (snprintf(metas, sizeof metas, "%s/contexts/meta", directory) >= (int)sizeof metas)
        return false;
    DIR *dir = opendir(metas);
    if (!dir)
        return false;
    for (const struct dirent *entry; !found && (entry = readdir(dir));) {
        char file[sizeof entry->d_name + 16];
        snprintf(file, sizeof file, "%s/meta.json", entry->d_name);
        json_t *meta = load(metas, file);
        const char *name = json_string_value(json_object_get(meta, "Name"));
        found = name && strcmp(name, ret->name) == 0 && take_endpoint(meta, ret);
        if (found)
            take_certificates(directory, entry->d_name, ret);
        json_decref(meta);
    }
    closedir(dir);
    return found;
}

pnx_status pnx__docker_context_read(struct pnx__context *ret, pnx_error *err)
{
    char directory[512];
    pnx__docker_directory(directory, sizeof directory);
    find_name(directory, ret->name, sizeof ret->name);
    if (strcmp(ret->name, "default") == 0)
        ret->name[0] = '\0';
    if (!ret->name[0])
        return pnx_fail(err, PNX_ENOTFOUND, "none is set");
    if (!find_context(directory, ret))
        return pnx_fail(err, PNX_ENOTFOUND, "there is no context '%s' with a host in %s/contexts",
                        ret->name, directory);
    return PNX_OK;
}
