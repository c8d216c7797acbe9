#define _POSIX_C_SOURCE 200809L

#include "options.h"
#include "directory_manage.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The callbacks' `user` is the directory, the first member. */
static struct options *options_of(void *user) {
    return user;
}

static bool secret(void *user, uint8_t *key) {
    memcpy(key, options_of(user)->key, CORACLE_KEY_LEN);
    return true;
}

static bool psk(void *user, size_t index, uint8_t *key) {
    memcpy(key, options_of(user)->psk, CORACLE_KEY_LEN);
    return index == 0;
}

static bool entropy(void *user, uint8_t *bytes) {
    (void)user;
    int source = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    bool is_filled = source >= 0 && read(source, bytes, CORACLE_KEY_LEN) == CORACLE_KEY_LEN;
    if (source >= 0) {
        close(source);
    }
    return is_filled;
}

static const char *rights(void *user, const coracle_client *client) {
    (void)client;
    return options_of(user)->rights;
}

/* Reads a key from a file as `coracle key new` writes it: lines that begin with '#', and one with the key. */
static bool read_key(const char *path, coracle_key_kind kind, uint8_t *key) {
    FILE *file = fopen(path, "r");
    char line[256];
    bool is_read = false;
    while (file && !is_read && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\r\n")] = 0;
        is_read = coracle_key_parse(line, kind, key);
    }
    if (file) {
        fclose(file);
    }
    if (!is_read) {
        fprintf(stderr, "no such key in %s\n", path);
    }
    return is_read;
}

bool options_read(struct options *options, int argc, char **argv) {
    memset(options, 0, sizeof *options);
    bool is_right = true;
    for (int option; (option = getopt(argc, argv, "k:s:r:p:")) != -1;) {
        switch (option) {
        case 'k':
            options->is_encrypted = true;
            is_right &= read_key(optarg, CORACLE_KEY_KIND_SECRET, options->key);
            break;
        case 's':
            options->has_psk = true;
            is_right &= read_key(optarg, CORACLE_KEY_KIND_PRE_SHARED, options->psk);
            break;
        case 'r':
            options->rights = optarg;
            break;
        case 'p':
            options->port = (uint16_t)atoi(optarg);
            break;
        default:
            is_right = false;
        }
    }
    if (!is_right || argc != optind + 1 || !directory_open(&options->directory, argv[optind])) {
        fprintf(stderr, "usage: %s " OPTIONS_USAGE "\n", argv[0]);
        return false;
    }
    return true;
}

bool options_server(struct options *options, const coracle_config *config, coracle_server *server) {
    options->store = directory_store(&options->directory);
    options->writer = directory_writer();
    directory_manage(&options->writer);
    options->keys = (coracle_keys){.secret = secret, .psk = options->has_psk ? psk : NULL, .entropy = entropy};
    if (coracle_server_init(server, sizeof *server, config, &options->store) != CORACLE_OUTCOME_OK ||
        coracle_server_set_writer(server, &options->writer) != CORACLE_OUTCOME_OK ||
        (options->rights && coracle_server_set_rights(server, rights) != CORACLE_OUTCOME_OK) ||
        (options->is_encrypted && coracle_server_set_keys(server, &options->keys) != CORACLE_OUTCOME_OK)) {
        fprintf(stderr, "the library was built with other features\n");
        return false;
    }
    char text[CORACLE_KEY_TEXT_SIZE];
    if (coracle_server_public_key(server, text)) {
        printf("key %s\n", text);
    }
    return true;
}
