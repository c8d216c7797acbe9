#define _POSIX_C_SOURCE 200809L

#include "directory.h"
#include "directory_paths.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Listings at a time. */
#define LISTINGS 8

struct listing {
    DIR *stream;
    /* The path of what is listed, and "/"; then the name of an entry. */
    size_t prefix_len;
    char path[512];
};

static struct listing listings[LISTINGS];

static coracle_status open_file(void *user, const char *name, void **file) {
    struct directory *directory = user;
    int opened;
    coracle_status status = paths_open_file(directory->root, name, &opened);
    if (status == CORACLE_STATUS_OK) {
        *file = paths_handle(opened);
    }
    return status;
}

static coracle_status stat_file(void *user, void *file, coracle_file_info *info) {
    (void)user;
    return paths_info(paths_file(file), info);
}

static coracle_status read_file(void *user, void *file, uint64_t offset, uint8_t *buf, size_t len, size_t *taken) {
    (void)user;
    return paths_read(paths_file(file), offset, buf, len, taken);
}

static void close_file(void *user, void *file) {
    (void)user;
    close(paths_file(file));
}

static coracle_status list(void *user, const char *path, void **listing) {
    struct directory *directory = user;
    struct listing *place = NULL;
    for (size_t i = 0; i < LISTINGS && !place; i++) {
        place = listings[i].stream ? NULL : &listings[i];
    }
    if (!place) {
        return CORACLE_STATUS_BUSY;
    }
    int opened;
    coracle_status status = paths_open_directory(directory->root, path ? path : ".", &opened);
    if (status != CORACLE_STATUS_OK) {
        return status;
    }
    place->stream = fdopendir(opened);
    if (!place->stream) {
        close(opened);
        return CORACLE_STATUS_IO;
    }
    place->prefix_len = (size_t)snprintf(place->path, sizeof place->path, path ? "%s/" : "%s", path ? path : "");
    *listing = place;
    return CORACLE_STATUS_OK;
}

static coracle_status next(void *user, void *opened, coracle_entry *entry) {
    (void)user;
    struct listing *listing = opened;
    struct dirent *found;
    do {
        errno = 0;
        found = readdir(listing->stream);
    } while (found && (strcmp(found->d_name, ".") == 0 || strcmp(found->d_name, "..") == 0));
    if (!found) {
        return errno ? CORACLE_STATUS_IO : CORACLE_STATUS_OK;
    }
    struct stat state;
    if (paths_is_own(found->d_name)) {
        entry->kind = CORACLE_ENTRY_KIND_HIDDEN;
    } else if (fstatat(dirfd(listing->stream), found->d_name, &state, AT_SYMLINK_NOFOLLOW) != 0) {
        entry->kind = CORACLE_ENTRY_KIND_SKIPPED;
    } else if (S_ISREG(state.st_mode)) {
        entry->kind = CORACLE_ENTRY_KIND_FILE;
        entry->size = (uint64_t)state.st_size;
        entry->modified = state.st_mtime < 0 ? CORACLE_UNKNOWN : (uint64_t)state.st_mtime;
    } else {
        entry->kind = S_ISDIR(state.st_mode) ? CORACLE_ENTRY_KIND_DIRECTORY : CORACLE_ENTRY_KIND_SKIPPED;
    }
    size_t room = sizeof listing->path - listing->prefix_len;
    snprintf(listing->path + listing->prefix_len, room, "%s", found->d_name);
    entry->name = listing->path;
    return CORACLE_STATUS_OK;
}

static void end_list(void *user, void *opened) {
    (void)user;
    struct listing *listing = opened;
    closedir(listing->stream);
    listing->stream = NULL;
}

static uint64_t unix_time(void *user) {
    (void)user;
    return (uint64_t)time(NULL);
}

bool directory_open(struct directory *directory, const char *path) {
    memset(directory, 0, sizeof *directory);
    directory->root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return directory->root >= 0;
}

coracle_store directory_store(struct directory *directory) {
    return (coracle_store){
        .user = directory,
        .open = open_file,
        .stat = stat_file,
        .read = read_file,
        .close = close_file,
        .list = list,
        .next = next,
        .end_list = end_list,
        .unix_time = unix_time,
    };
}
