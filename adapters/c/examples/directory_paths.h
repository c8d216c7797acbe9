/* What reading and writing a directory have in common: paths without symbolic links, and files. */
#ifndef DIRECTORY_PATHS_H
#define DIRECTORY_PATHS_H

#include "coracle.h"

#include <sys/stat.h>

/* How the names of files begin that collect the bytes of uploads, in the root. */
#define PATHS_PART ".coracle-part-"

/* A file's descriptor as what the library passes on; never NULL. */
static inline void *paths_handle(int file) {
    return (void *)((intptr_t)file + 1);
}

static inline int paths_file(void *handle) {
    return (int)((intptr_t)handle - 1);
}

/* What errno says. */
coracle_status paths_status(void);
/* Whether a name is kept from clients. */
bool paths_is_own(const char *name);
/* Opens the directory in which `path` lies, making what is missing where `parents`; `*last` is the rest of the path. */
coracle_status paths_parent(int root, const char *path, bool parents, int *parent, const char **last);
coracle_status paths_open_directory(int root, const char *path, int *opened);
coracle_status paths_open_file(int root, const char *path, int *opened);
coracle_status paths_info(int file, coracle_file_info *info);
void paths_version(const struct stat *state, char *version);
coracle_status paths_read(int file, uint64_t offset, uint8_t *buf, size_t len, size_t *taken);

#endif
