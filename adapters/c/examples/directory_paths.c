#define _POSIX_C_SOURCE 200809L

#include "directory_paths.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

coracle_status paths_status(void) {
    switch (errno) {
    case ENOENT:
    case ENOTDIR:
        return CORACLE_STATUS_NOT_FOUND;
    case EACCES:
    case EPERM:
    case EROFS:
    case ELOOP:
        return CORACLE_STATUS_DENIED;
    case EISDIR:
        return CORACLE_STATUS_NOT_FILE;
    case ENAMETOOLONG:
        return CORACLE_STATUS_BAD_NAME;
    case EMFILE:
    case ENFILE:
        return CORACLE_STATUS_BUSY;
    case ENOSPC:
    case EDQUOT:
        return CORACLE_STATUS_NO_SPACE;
    case EFBIG:
        return CORACLE_STATUS_TOO_LARGE;
    case ENOTEMPTY:
    case EEXIST:
        return CORACLE_STATUS_NOT_EMPTY;
    default:
        return CORACLE_STATUS_IO;
    }
}

bool paths_is_own(const char *name) {
    return strncmp(name, PATHS_PART, strlen(PATHS_PART)) == 0;
}

coracle_status paths_parent(int root, const char *path, bool parents, int *parent, const char **last) {
    const char *slash;
    int here = dup(root);
    while (here >= 0 && (slash = strchr(path, '/')) != NULL) {
        char component[256];
        snprintf(component, sizeof component, "%.*s", (int)(slash - path), path);
        if (parents && mkdirat(here, component, 0777) == 0 && fsync(here) != 0) {
            break;
        }
        int below = openat(here, component, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        int error = errno;
        close(here);
        here = below;
        errno = error;
        path = slash + 1;
    }
    if (here < 0) {
        return paths_status();
    }
    *parent = here;
    *last = path;
    return CORACLE_STATUS_OK;
}

coracle_status paths_open_directory(int root, const char *path, int *opened) {
    const char *last;
    int parent;
    coracle_status status = paths_parent(root, path, false, &parent, &last);
    if (status != CORACLE_STATUS_OK) {
        return status;
    }
    *opened = openat(parent, last, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (*opened < 0) {
        status = errno == ENOTDIR ? CORACLE_STATUS_NOT_DIRECTORY : paths_status();
    }
    close(parent);
    return status;
}

coracle_status paths_open_file(int root, const char *path, int *opened) {
    const char *last;
    int parent;
    coracle_status status = paths_parent(root, path, false, &parent, &last);
    if (status != CORACLE_STATUS_OK) {
        return status;
    }
    /* A pipe without a writer would wait. */
    *opened = paths_is_own(last) ? -1 : openat(parent, last, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat state;
    if (*opened < 0) {
        status = paths_is_own(last) ? CORACLE_STATUS_NOT_FOUND : paths_status();
    } else if (fstat(*opened, &state) != 0 || !S_ISREG(state.st_mode)) {
        close(*opened);
        status = CORACLE_STATUS_NOT_FILE;
    }
    close(parent);
    return status;
}

coracle_status paths_info(int file, coracle_file_info *info) {
    struct stat state;
    if (fstat(file, &state) != 0) {
        return CORACLE_STATUS_IO;
    }
    info->size = (uint64_t)state.st_size;
    info->modified = state.st_mtime < 0 ? CORACLE_UNKNOWN : (uint64_t)state.st_mtime;
    paths_version(&state, info->version);
    return CORACLE_STATUS_OK;
}

void paths_version(const struct stat *state, char *version) {
    snprintf(version, CORACLE_VERSION_SIZE, "%llx-%llx-%llx.%lx", (unsigned long long)state->st_ino,
             (unsigned long long)state->st_size, (unsigned long long)state->st_mtim.tv_sec,
             (unsigned long)state->st_mtim.tv_nsec);
}

coracle_status paths_read(int file, uint64_t offset, uint8_t *buf, size_t len, size_t *taken) {
    ssize_t got;
    do {
        got = pread(file, buf, len, (off_t)offset);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        return CORACLE_STATUS_IO;
    }
    *taken = (size_t)got;
    return CORACLE_STATUS_OK;
}
