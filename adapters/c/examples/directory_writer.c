#define _POSIX_C_SOURCE 200809L

#include "directory.h"
#include "directory_paths.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* How long a connection has to be silent before another one takes over its upload, in milliseconds. */
#define SILENCE_MS 2000

/* FNV-1a, for names of parts. */
static unsigned long long hash(const char *text) {
    unsigned long long value = 0xcbf29ce484222325;
    for (; *text; text++) {
        value = (value ^ (unsigned char)*text) * 0x100000001b3;
    }
    return value;
}

/* How the names of the parts of `name` begin. */
static size_t part_prefix(char *part, size_t size, const char *name) {
    return (size_t)snprintf(part, size, PATHS_PART "%016llx-", hash(name));
}

static void part_name(char *part, size_t size, const coracle_put *put) {
    size_t len = part_prefix(part, size, put->name);
    len += (size_t)snprintf(part + len, size - len, "%llx-", (unsigned long long)put->size);
    size_t digest_len = put->digest_kind == CORACLE_DIGEST_KIND_SHA256 ? 32 : 4;
    for (size_t i = 0; i < digest_len; i++) {
        len += (size_t)snprintf(part + len, size - len, "%02x", put->digest[i]);
    }
}

/* Deletes the parts of `name` other than `kept`; returns whether there was one. */
static bool drop_parts(struct directory *directory, const char *name, const char *kept) {
    char prefix[64];
    size_t len = part_prefix(prefix, sizeof prefix, name);
    int root = openat(directory->root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = root < 0 ? NULL : fdopendir(root);
    if (!stream) {
        close(root);
        return false;
    }
    bool has_dropped = false;
    for (struct dirent *found; (found = readdir(stream)) != NULL;) {
        if (strncmp(found->d_name, prefix, len) == 0 && (!kept || strcmp(found->d_name, kept) != 0)) {
            has_dropped |= unlinkat(directory->root, found->d_name, 0) == 0;
        }
    }
    closedir(stream);
    return has_dropped;
}

/* The upload to `name` that a connection is sending. */
static struct directory_upload *sending(struct directory *directory, const char *name) {
    for (size_t i = 0; i < DIRECTORY_UPLOADS; i++) {
        struct directory_upload *upload = &directory->uploads[i];
        if (upload->is_used && !upload->is_lost && strcmp(upload->name, name) == 0) {
            return upload;
        }
    }
    return NULL;
}

bool directory_is_sent(struct directory *directory, const char *name) {
    return sending(directory, name) != NULL;
}

/* Whether what has the name now may be replaced. `*size` is its size; -1: there is none. */
static coracle_status check_replace(int parent, const char *last, const coracle_put *put, long long *size) {
    struct stat state;
    *size = -1;
    if (fstatat(parent, last, &state, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno != ENOENT) {
            return paths_status();
        }
        return put->replace == CORACLE_REPLACE_VERSION ? CORACLE_STATUS_CHANGED : CORACLE_STATUS_OK;
    }
    if (!S_ISREG(state.st_mode)) {
        return CORACLE_STATUS_NOT_FILE;
    }
    *size = (long long)state.st_size;
    char version[CORACLE_VERSION_SIZE];
    paths_version(&state, version);
    switch (put->replace) {
    case CORACLE_REPLACE_ANYTHING:
        return CORACLE_STATUS_OK;
    case CORACLE_REPLACE_VERSION:
        return strcmp(version, put->version) == 0 ? CORACLE_STATUS_OK : CORACLE_STATUS_CHANGED;
    default:
        return CORACLE_STATUS_EXISTS;
    }
}

/* Whether another connection has to be waited for, or is in the way. */
static coracle_status claim(struct directory *directory, const coracle_put *put, uint64_t now_ms) {
    struct directory_upload *holder = sending(directory, put->name);
    if (!holder) {
        return CORACLE_STATUS_OK;
    }
    bool is_same = holder->size == put->size && memcmp(holder->digest, put->digest, CORACLE_DIGEST_LEN) == 0;
    if (!is_same || holder->last_byte_ms > put->asked_ms) {
        return CORACLE_STATUS_IN_USE;
    }
    if (now_ms - holder->last_byte_ms < SILENCE_MS) {
        return CORACLE_STATUS_PENDING;
    }
    holder->is_lost = true;
    return CORACLE_STATUS_OK;
}

static coracle_status begin_upload(struct directory *directory, const coracle_put *put, coracle_begun *begun,
                                   uint64_t now_ms) {
    struct directory_upload *upload = NULL;
    for (size_t i = 0; i < DIRECTORY_UPLOADS && !upload; i++) {
        upload = directory->uploads[i].is_used ? NULL : &directory->uploads[i];
    }
    if (!upload) {
        return CORACLE_STATUS_BUSY;
    }
    *upload = (struct directory_upload){.last_byte_ms = now_ms, .size = put->size};
    memcpy(upload->digest, put->digest, CORACLE_DIGEST_LEN);
    snprintf(upload->name, sizeof upload->name, "%s", put->name);
    part_name(upload->part, sizeof upload->part, put);
    drop_parts(directory, put->name, upload->part);
    upload->file = openat(directory->root, upload->part, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
    struct stat state;
    if (upload->file < 0) {
        return paths_status();
    }
    if (fstat(upload->file, &state) != 0) {
        close(upload->file);
        return CORACLE_STATUS_IO;
    }
    upload->is_used = true;
    begun->handle = upload;
    begun->have = (uint64_t)state.st_size < put->size ? (uint64_t)state.st_size : put->size;
    return CORACLE_STATUS_OK;
}

static coracle_status begin(void *user, const coracle_put *put, coracle_begun *begun, uint64_t now_ms) {
    struct directory *directory = user;
    const char *last;
    int parent;
    coracle_status status = paths_parent(directory->root, put->name, put->parents, &parent, &last);
    if (status != CORACLE_STATUS_OK) {
        return status;
    }
    long long size;
    status = paths_is_own(last) ? CORACLE_STATUS_DENIED : check_replace(parent, last, put, &size);
    if (status != CORACLE_STATUS_NOT_FILE && status != CORACLE_STATUS_DENIED && put->may_compare &&
        size == (long long)put->size) {
        int file = openat(parent, last, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        close(parent);
        /* Whoever has put it there may not have synced it. */
        if (file < 0 || fsync(file) != 0) {
            close(file);
            return CORACLE_STATUS_IO;
        }
        begun->kind = CORACLE_BEGUN_KIND_COMPARE;
        begun->handle = paths_handle(file);
        return CORACLE_STATUS_OK;
    }
    close(parent);
    if (status == CORACLE_STATUS_OK) {
        status = claim(directory, put, now_ms);
    }
    return status == CORACLE_STATUS_OK ? begin_upload(directory, put, begun, now_ms) : status;
}

static coracle_status write_bytes(void *user, void *opened, uint64_t offset, const uint8_t *bytes, size_t len,
                                  size_t *taken, uint64_t now_ms) {
    (void)user;
    struct directory_upload *upload = opened;
    if (upload->is_lost) {
        return CORACLE_STATUS_IN_USE;
    }
    ssize_t put = pwrite(upload->file, bytes, len, (off_t)offset);
    if (put < 0) {
        return errno == EINTR ? CORACLE_STATUS_OK : paths_status();
    }
    upload->last_byte_ms = now_ms;
    *taken = (size_t)put;
    return CORACLE_STATUS_OK;
}

static coracle_status read_back(void *user, void *opened, uint64_t offset, uint8_t *buf, size_t len, size_t *taken,
                                uint64_t now_ms) {
    (void)user;
    struct directory_upload *upload = opened;
    if (upload->is_lost) {
        return CORACLE_STATUS_IN_USE;
    }
    upload->last_byte_ms = now_ms;
    return paths_read(upload->file, offset, buf, len, taken);
}

static void end_upload(struct directory_upload *upload) {
    close(upload->file);
    upload->is_used = false;
}

static coracle_status commit(void *user, void *opened, const coracle_put *put, coracle_file_info *info,
                             uint64_t now_ms) {
    (void)now_ms;
    struct directory *directory = user;
    struct directory_upload *upload = opened;
    if (upload->is_lost) {
        return CORACLE_STATUS_IN_USE;
    }
    if (put->modified != CORACLE_UNKNOWN) {
        struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = (time_t)put->modified}};
        if (futimens(upload->file, times) != 0) {
            return paths_status();
        }
    }
    if (ftruncate(upload->file, (off_t)put->size) != 0 || fsync(upload->file) != 0) {
        return paths_status();
    }
    const char *last;
    int parent;
    coracle_status status = paths_parent(directory->root, put->name, false, &parent, &last);
    if (status != CORACLE_STATUS_OK) {
        return status;
    }
    long long size;
    status = check_replace(parent, last, put, &size);
    if (status == CORACLE_STATUS_OK &&
        (renameat(directory->root, upload->part, parent, last) != 0 || fsync(parent) != 0)) {
        status = paths_status();
    }
    close(parent);
    if (status == CORACLE_STATUS_OK) {
        status = paths_info(upload->file, info);
    }
    if (status == CORACLE_STATUS_OK) {
        end_upload(upload);
    }
    return status;
}

static void keep(void *user, void *opened) {
    (void)user;
    end_upload(opened);
}

static void discard(void *user, void *opened) {
    struct directory *directory = user;
    struct directory_upload *upload = opened;
    if (!upload->is_lost) {
        unlinkat(directory->root, upload->part, 0);
    }
    end_upload(upload);
}

static coracle_status remove_entry(struct directory *directory, int parent, const char *last, const char *name,
                                   coracle_delete_kind kind, const char *version) {
    struct stat state;
    if (kind == CORACLE_DELETE_KIND_PARTIAL) {
        return drop_parts(directory, name, NULL) ? CORACLE_STATUS_OK : CORACLE_STATUS_NOT_FOUND;
    }
    if (fstatat(parent, last, &state, AT_SYMLINK_NOFOLLOW) != 0) {
        return paths_status();
    }
    if (kind == CORACLE_DELETE_KIND_DIRECTORY) {
        if (!S_ISDIR(state.st_mode)) {
            return CORACLE_STATUS_NOT_DIRECTORY;
        }
        return unlinkat(parent, last, AT_REMOVEDIR) == 0 ? CORACLE_STATUS_OK : paths_status();
    }
    if (!S_ISREG(state.st_mode)) {
        return CORACLE_STATUS_NOT_FILE;
    }
    char current[CORACLE_VERSION_SIZE];
    paths_version(&state, current);
    if (version && strcmp(version, current) != 0) {
        return CORACLE_STATUS_CHANGED;
    }
    drop_parts(directory, name, NULL);
    return unlinkat(parent, last, 0) == 0 ? CORACLE_STATUS_OK : paths_status();
}

static coracle_status remove_name(void *user, const char *name, coracle_delete_kind kind, const char *version) {
    struct directory *directory = user;
    const char *last;
    int parent;
    coracle_status status = paths_parent(directory->root, name, false, &parent, &last);
    if (status != CORACLE_STATUS_OK) {
        return status;
    }
    if (paths_is_own(last)) {
        status = CORACLE_STATUS_DENIED;
    } else if (sending(directory, name)) {
        status = CORACLE_STATUS_IN_USE;
    } else {
        status = remove_entry(directory, parent, last, name, kind, version);
    }
    if (status == CORACLE_STATUS_OK && fsync(parent) != 0) {
        status = CORACLE_STATUS_IO;
    }
    close(parent);
    return status;
}

coracle_writer directory_writer(void) {
    return (coracle_writer){
        .begin = begin,
        .write = write_bytes,
        .read_back = read_back,
        .commit = commit,
        .keep = keep,
        .discard = discard,
        .remove = remove_name,
        .reads_back = false,
    };
}
