/* What the examples take from their command line: a directory, keys, and rights. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include "directory.h"

#define OPTIONS_USAGE "[-k KEY [-s PSK]] [-r RIGHTS] [-p PORT] DIRECTORY"

struct options {
    struct directory directory;
    uint16_t port;
    bool is_encrypted;
    uint8_t key[CORACLE_KEY_LEN];
    bool has_psk;
    uint8_t psk[CORACLE_KEY_LEN];
    /* What each client may do; NULL: everything. */
    const char *rights;
    coracle_store store;
    coracle_writer writer;
    coracle_keys keys;
};

/* Reads the command line; says on standard error what is wrong with it and returns false where something is. */
bool options_read(struct options *options, int argc, char **argv);

/* Makes a server of the options, and says on standard output which key it has. */
bool options_server(struct options *options, const coracle_config *config, coracle_server *server);

#endif
