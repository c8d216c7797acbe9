/* Serves a directory over POSIX sockets: one thread, poll(2), four clients and a fifth that is told `busy`.
 *
 * Usage: posix [-k KEY [-s PSK]] [-r RIGHTS] [-p PORT] DIRECTORY
 *
 * It listens on 127.0.0.1, at any free port if none is given. Clients may do everything, or what RIGHTS says ("read write=config/").
 * With KEY, a file of `coracle key new`, they come encrypted, and with the pre-shared key in the file PSK.
 *
 * SIGTERM ends it when the exchanges under way have ended. */
#define _POSIX_C_SOURCE 200809L

#include "options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CLIENTS 4
/* How long the last bytes may take, and what the client still sends. */
#define FINISH_MS 10000
#define LINGER_MS 2000
#define LINGER_LEN (1 << 20)
/* How often files are looked at for clients that wait for them to change. */
#define LOOK_MS 100

struct connection {
    int socket;
    bool is_used;
    /* The session has ended, and `how` says what is left to do. */
    bool is_closing;
    bool is_shut;
    bool has_ended;
    coracle_close_how how;
    uint64_t closed_ms;
    size_t discarded;
    /* What poll(2) is to wait for, and until when. */
    short events;
    uint64_t wake_ms;
    size_t received_from, received_to, sent_from, sent_to;
    uint8_t received[512];
    uint8_t sent[4096];
    coracle_session session;
    coracle_channel channel;
};

static volatile sig_atomic_t is_stopping;

static void stop(int signal_number) {
    (void)signal_number;
    is_stopping = 1;
}

static uint64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void close_connection(struct connection *connection, bool resets) {
    if (resets) {
        struct linger none = {.l_onoff = 1, .l_linger = 0};
        setsockopt(connection->socket, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    }
    coracle_session_end(&connection->session);
    close(connection->socket);
    connection->is_used = false;
}

/* Sends what is in the buffer; true when that is all. */
static bool flush(struct connection *connection) {
    while (connection->sent_from < connection->sent_to) {
        ssize_t len = send(connection->socket, connection->sent + connection->sent_from,
                           connection->sent_to - connection->sent_from, MSG_NOSIGNAL);
        if (len < 0) {
            if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
                close_connection(connection, true);
            }
            connection->events = POLLOUT;
            return false;
        }
        connection->sent_from += (size_t)len;
        coracle_session_progress(&connection->session, now_ms());
    }
    connection->sent_from = connection->sent_to = 0;
    return true;
}

/* Receives, if nothing is left; false where nothing came. */
static bool receive(struct connection *connection) {
    if (connection->received_from < connection->received_to || connection->has_ended) {
        return true;
    }
    ssize_t len = recv(connection->socket, connection->received, sizeof connection->received, 0);
    if (len < 0) {
        if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
            close_connection(connection, true);
        }
        connection->events = POLLIN;
        return false;
    }
    connection->has_ended = len == 0;
    connection->received_from = 0;
    connection->received_to = (size_t)len;
    return true;
}

/* Does what an action asks for; false where that has to wait. */
static bool perform(struct connection *connection, const coracle_action *action) {
    coracle_session *session = &connection->session;
    uint8_t *place = connection->sent + connection->sent_to;
    size_t room = sizeof connection->sent - connection->sent_to;
    size_t len = action->len < room ? action->len : room;
    switch (action->kind) {
    case CORACLE_ACTION_KIND_SEND_BYTES:
    case CORACLE_ACTION_KIND_SEND_FILE:
        /* A record that is much shorter than it could be is a waste. */
        if (room < sizeof connection->sent / 8) {
            return flush(connection);
        }
        if (action->kind == CORACLE_ACTION_KIND_SEND_FILE) {
            connection->sent_to += coracle_session_read(session, place, len, now_ms());
        } else {
            memcpy(place, action->bytes, len);
            connection->sent_to += len;
            coracle_session_sent(session, len, now_ms());
        }
        return true;
    case CORACLE_ACTION_KIND_RECEIVE:
        if (!flush(connection) || !receive(connection)) {
            return false;
        }
        if (connection->received_from == connection->received_to) {
            coracle_session_receive_eof(session, now_ms());
            return true;
        }
        len = coracle_session_receive(session, connection->received + connection->received_from,
                                      connection->received_to - connection->received_from, now_ms());
        connection->received_from += len;
        if (len == 0) {
            connection->wake_ms = 0;
        }
        return len > 0;
    case CORACLE_ACTION_KIND_AGAIN:
        if (flush(connection)) {
            connection->wake_ms = 0;
        }
        return false;
    case CORACLE_ACTION_KIND_WATCH:
        if (flush(connection)) {
            connection->wake_ms = now_ms() + LOOK_MS;
        }
        return false;
    default:
        connection->is_closing = true;
        connection->how = action->how;
        connection->closed_ms = now_ms();
        return true;
    }
}

/* What is left to do when the session has ended. */
static void finish(struct connection *connection) {
    uint64_t elapsed_ms = now_ms() - connection->closed_ms;
    if (connection->how == CORACLE_CLOSE_HOW_ABORT || elapsed_ms > FINISH_MS) {
        close_connection(connection, true);
        return;
    }
    connection->wake_ms = connection->closed_ms + FINISH_MS + 1;
    if (!flush(connection)) {
        return;
    }
    if (!connection->is_shut) {
        shutdown(connection->socket, SHUT_WR);
        connection->is_shut = true;
        connection->closed_ms = now_ms();
    }
    bool lingers = connection->how == CORACLE_CLOSE_HOW_LINGER && !connection->has_ended;
    while (lingers && connection->discarded < LINGER_LEN && now_ms() - connection->closed_ms < LINGER_MS) {
        connection->received_from = connection->received_to = 0;
        connection->wake_ms = connection->closed_ms + LINGER_MS;
        if (!receive(connection)) {
            return;
        }
        connection->discarded += connection->received_to;
        lingers = !connection->has_ended;
    }
    close_connection(connection, false);
}

/* Goes on with a connection until it has to wait. */
static void advance(struct connection *connection) {
    connection->events = 0;
    while (connection->is_used && !connection->is_closing) {
        coracle_action action = coracle_session_poll(&connection->session, now_ms());
        connection->wake_ms = action.deadline_ms;
        if (perform(connection, &action) || !connection->is_used) {
            continue;
        }
        if (now_ms() < action.deadline_ms) {
            return;
        }
        coracle_session_timeout(&connection->session, now_ms());
    }
    if (connection->is_used) {
        finish(connection);
    }
}

/* Accepts a client, if there is a place; the last one is for those that are told `busy`. */
static void accept_client(int listener, struct connection *connections, const coracle_server *server,
                          bool is_encrypted) {
    for (size_t i = 0; i <= CLIENTS; i++) {
        struct connection *connection = &connections[i];
        if (connection->is_used) {
            continue;
        }
        int accepted = accept(listener, NULL, NULL);
        if (accepted < 0) {
            return;
        }
        fcntl(accepted, F_SETFL, O_NONBLOCK);
        memset(connection, 0, sizeof *connection);
        connection->socket = accepted;
        connection->is_used = true;
        size_t size = sizeof connection->session;
        coracle_outcome outcome = i < CLIENTS
                                      ? coracle_session_init(&connection->session, size, server, now_ms())
                                      : coracle_session_init_busy(&connection->session, size, server, now_ms());
        if (outcome == CORACLE_OUTCOME_OK && i < CLIENTS && is_encrypted) {
            size_t len = sizeof connection->channel;
            outcome = coracle_session_encrypt(&connection->session, &connection->channel, len, now_ms());
        }
        if (outcome != CORACLE_OUTCOME_OK) {
            fprintf(stderr, "no session: outcome %d\n", (int)outcome);
            exit(1);
        }
        advance(connection);
        return;
    }
}

/* Waits until something can be done; returns whether a client has come. */
static bool wait_for_events(int listener, struct connection *connections) {
    struct pollfd polled[CLIENTS + 2];
    bool has_place = false;
    uint64_t wake_ms = now_ms() + 1000;
    for (size_t i = 0; i <= CLIENTS; i++) {
        struct connection *connection = &connections[i];
        polled[i] = (struct pollfd){.fd = connection->is_used ? connection->socket : -1, .events = connection->events};
        /* A socket that waits for nothing is not asked: it would be told of its end again and again. */
        if (connection->events == 0) {
            polled[i].fd = -1;
        }
        has_place |= !connection->is_used;
        if (connection->is_used && connection->wake_ms < wake_ms) {
            wake_ms = connection->wake_ms;
        }
    }
    polled[CLIENTS + 1] = (struct pollfd){.fd = has_place && !is_stopping ? listener : -1, .events = POLLIN};
    uint64_t now = now_ms();
    poll(polled, CLIENTS + 2, wake_ms > now ? (int)(wake_ms - now) : 0);
    return polled[CLIENTS + 1].revents != 0;
}

static int listen_on(uint16_t port) {
    int listener = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    socklen_t len = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    fcntl(listener, F_SETFL, O_NONBLOCK);
    if (bind(listener, (struct sockaddr *)&address, len) != 0 || listen(listener, 16) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &len) != 0) {
        perror("cannot listen");
        exit(1);
    }
    printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return listener;
}

int main(int argc, char **argv) {
    static struct connection connections[CLIENTS + 1];
    static struct options options;
    static coracle_server server;
    if (!options_read(&options, argc, argv)) {
        return 2;
    }
    coracle_config config = coracle_config_default();
    config.name = "posix";
    config.send_max = sizeof connections[0].sent;
    config.busy_retry_ms = 100;
    config.request_ms = 3000;
    config.wait_max_ms = 60000;
    if (!options_server(&options, &config, &server)) {
        return 1;
    }
    struct sigaction action = {.sa_handler = stop};
    sigaction(SIGTERM, &action, NULL);
    int listener = listen_on(options.port);
    bool is_told = false, is_live = true;
    while (is_live) {
        if (wait_for_events(listener, connections)) {
            accept_client(listener, connections, &server, options.is_encrypted);
        }
        is_live = !is_stopping;
        for (size_t i = 0; i <= CLIENTS; i++) {
            struct connection *connection = &connections[i];
            if (connection->is_used && !connection->is_closing) {
                if (is_stopping && !is_told) {
                    coracle_session_stop(&connection->session, now_ms());
                }
                coracle_session_look_again(&connection->session, now_ms());
            }
            if (connection->is_used) {
                advance(connection);
            }
            is_live |= connection->is_used;
        }
        is_told = is_stopping;
    }
    return 0;
}
