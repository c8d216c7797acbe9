/* A directory as what a Coracle server serves, for the examples: POSIX files, no symbolic links. */
#ifndef DIRECTORY_H
#define DIRECTORY_H

#include "coracle.h"

/* Uploads at a time. */
#define DIRECTORY_UPLOADS 8

struct directory_upload {
    bool is_used;
    /* Another connection has taken over. */
    bool is_lost;
    int file;
    uint64_t last_byte_ms;
    uint64_t size;
    uint8_t digest[CORACLE_DIGEST_LEN];
    char name[256];
    /* Of the file that collects the bytes. */
    char part[128];
};

struct directory {
    int root;
    struct directory_upload uploads[DIRECTORY_UPLOADS];
};

/* Opens the directory `path`; false where that fails. */
bool directory_open(struct directory *directory, const char *path);

/* The callbacks, whose `user` is `directory`. */
coracle_store directory_store(struct directory *directory);
coracle_writer directory_writer(void);

/* Whether a connection sends the file `name`. */
bool directory_is_sent(struct directory *directory, const char *name);

#endif
