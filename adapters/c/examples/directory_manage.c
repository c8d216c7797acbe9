#define _POSIX_C_SOURCE 200809L

#include "directory_manage.h"
#include "directory_paths.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* Whether `last` in `parent` is a file, in this version if one is given. */
static coracle_status check_file(int parent, const char *last, const char *version) {
    struct stat state;
    char current[CORACLE_VERSION_SIZE];
    if (fstatat(parent, last, &state, AT_SYMLINK_NOFOLLOW) != 0) {
        return paths_status();
    }
    if (!S_ISREG(state.st_mode)) {
        return CORACLE_STATUS_NOT_FILE;
    }
    paths_version(&state, current);
    return version && strcmp(version, current) != 0 ? CORACLE_STATUS_CHANGED : CORACLE_STATUS_OK;
}

/* Renames without a look at uploads. There is no other program here that writes, so that `to` stays free. */
static coracle_status rename_in(int from_parent, const char *from, int to_parent, const char *to,
                                const char *version) {
    struct stat state;
    coracle_status status = check_file(from_parent, from, version);
    if (status != CORACLE_STATUS_OK) {
        return status;
    }
    if (fstatat(to_parent, to, &state, AT_SYMLINK_NOFOLLOW) == 0) {
        return CORACLE_STATUS_EXISTS;
    }
    bool is_done = errno == ENOENT && renameat(from_parent, from, to_parent, to) == 0 && fsync(to_parent) == 0 &&
                   fsync(from_parent) == 0;
    return is_done ? CORACLE_STATUS_OK : paths_status();
}

static coracle_status rename_file(void *user, const char *name, const char *to, const char *version) {
    struct directory *directory = user;
    const char *last, *to_last;
    int parent, to_parent;
    coracle_status status = paths_parent(directory->root, name, false, &parent, &last);
    if (status != CORACLE_STATUS_OK) {
        return status;
    }
    status = paths_parent(directory->root, to, false, &to_parent, &to_last);
    if (status != CORACLE_STATUS_OK) {
        close(parent);
        return status;
    }
    if (paths_is_own(last) || paths_is_own(to_last)) {
        status = CORACLE_STATUS_DENIED;
    } else if (directory_is_sent(directory, name) || directory_is_sent(directory, to)) {
        status = CORACLE_STATUS_IN_USE;
    } else {
        status = rename_in(parent, last, to_parent, to_last, version);
    }
    close(parent);
    close(to_parent);
    return status;
}

static coracle_status make_dir(void *user, const char *path) {
    struct directory *directory = user;
    const char *last;
    int parent;
    coracle_status status = paths_parent(directory->root, path, false, &parent, &last);
    if (status != CORACLE_STATUS_OK) {
        return status;
    }
    struct stat state;
    if (paths_is_own(last)) {
        status = CORACLE_STATUS_DENIED;
    } else if (mkdirat(parent, last, 0777) != 0 && errno != EEXIST) {
        status = paths_status();
    } else if (fstatat(parent, last, &state, AT_SYMLINK_NOFOLLOW) != 0 || fsync(parent) != 0) {
        status = paths_status();
    } else {
        status = S_ISDIR(state.st_mode) ? CORACLE_STATUS_OK : CORACLE_STATUS_EXISTS;
    }
    close(parent);
    return status;
}

static coracle_status space(void *user, coracle_space *space) {
    struct directory *directory = user;
    struct statvfs room;
    if (fstatvfs(directory->root, &room) != 0) {
        return CORACLE_STATUS_IO;
    }
    space->total = (uint64_t)room.f_blocks * room.f_frsize;
    space->free = (uint64_t)room.f_bavail * room.f_frsize;
    return CORACLE_STATUS_OK;
}

/* `count` notes in the file "count" how often it was asked for; `fail` fails. */
static coracle_status perform(void *user, const coracle_client *client, const char *action) {
    (void)client;
    struct directory *directory = user;
    if (strcmp(action, "count") != 0) {
        return CORACLE_STATUS_IO;
    }
    int file = openat(directory->root, "count", O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (file < 0) {
        return paths_status();
    }
    bool is_done = write(file, "+", 1) == 1;
    close(file);
    return is_done ? CORACLE_STATUS_OK : CORACLE_STATUS_IO;
}

void directory_manage(coracle_writer *writer) {
    writer->rename = rename_file;
    writer->make_dir = make_dir;
    writer->space = space;
    writer->actions = "count fail";
    writer->perform = perform;
}
