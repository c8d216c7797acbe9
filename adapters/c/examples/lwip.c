/* Serves a directory over lwIP's raw API, on a TAP device: four clients and a fifth that is told `busy`.
 *
 * Usage: PRECONFIGURED_TAPIF=tap0 lwip [-k KEY [-s PSK]] [-r RIGHTS] DIRECTORY
 *
 * It has the address 10.70.0.2. The options are those of posix.c.
 *
 * SIGTERM ends it when the exchanges under way have ended. What is particular to a PC: files by POSIX, `tapif`, and `main`. */
#define _POSIX_C_SOURCE 200809L

#include "options.h"

#include <lwip/tcp.h>
#include <lwip/tcpip.h>
#include <lwip/timeouts.h>
#include <netif/tapif.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PORT 8888
#define CLIENTS 4
/* How long what the client still sends is discarded, and how much of it. */
#define LINGER_MS 2000
#define LINGER_LEN (1 << 20)
/* How often files are looked at for clients that wait for them to change. */
#define LOOK_MS 100

struct connection {
    struct tcp_pcb *pcb;
    bool is_used;
    bool is_closing;
    bool is_shut;
    /* The client sends no more. */
    bool has_ended;
    coracle_close_how how;
    uint64_t closed_ms;
    size_t discarded;
    /* Received and not taken. */
    struct pbuf *received;
    /* Read from the file and not passed to lwIP. */
    size_t file_from, file_to;
    uint8_t file[1024];
    coracle_session session;
    coracle_channel channel;
};

static struct connection connections[CLIENTS + 1];
static struct options options;
static coracle_server server;

static err_t advance(struct connection *connection);

static uint64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void go_on(void *argument) {
    struct connection *connection = argument;
    coracle_session_look_again(&connection->session, now_ms());
    advance(connection);
}

static void go_on_in(struct connection *connection, u32_t ms) {
    sys_untimeout(go_on, connection);
    sys_timeout(ms, go_on, connection);
}

static void release(struct connection *connection) {
    sys_untimeout(go_on, connection);
    coracle_session_end(&connection->session);
    if (connection->received) {
        pbuf_free(connection->received);
    }
    connection->is_used = false;
}

/* Passes bytes to lwIP; returns how many it has taken. */
static size_t pass(struct connection *connection, const uint8_t *bytes, size_t len, bool more) {
    size_t room = tcp_sndbuf(connection->pcb);
    len = len < room ? len : room;
    len = len < UINT16_MAX ? len : UINT16_MAX;
    u8_t flags = TCP_WRITE_FLAG_COPY | (more ? TCP_WRITE_FLAG_MORE : 0);
    return len > 0 && tcp_write(connection->pcb, bytes, (u16_t)len, flags) == ERR_OK ? len : 0;
}

static bool receive(struct connection *connection) {
    struct pbuf *first = connection->received;
    if (!first && connection->has_ended) {
        coracle_session_receive_eof(&connection->session, now_ms());
        return true;
    }
    if (!first) {
        return false;
    }
    size_t taken = coracle_session_receive(&connection->session, first->payload, first->len, now_ms());
    if (taken == 0) {
        go_on_in(connection, 1);
        return false;
    }
    connection->received = pbuf_free_header(first, (u16_t)taken);
    tcp_recved(connection->pcb, (u16_t)taken);
    return true;
}

/* Does what an action asks for; false where that has to wait. */
static bool perform(struct connection *connection, const coracle_action *action) {
    coracle_session *session = &connection->session;
    size_t len;
    if (connection->file_from < connection->file_to) {
        len = pass(connection, connection->file + connection->file_from, connection->file_to - connection->file_from, true);
        connection->file_from += len;
        return len > 0;
    }
    switch (action->kind) {
    case CORACLE_ACTION_KIND_SEND_BYTES:
        len = pass(connection, action->bytes, action->len, action->more);
        coracle_session_sent(session, len, now_ms());
        return len > 0;
    case CORACLE_ACTION_KIND_SEND_FILE:
        if (tcp_sndbuf(connection->pcb) == 0) {
            return false;
        }
        connection->file_from = 0;
        connection->file_to = coracle_session_read(session, connection->file, sizeof connection->file, now_ms());
        return true;
    case CORACLE_ACTION_KIND_RECEIVE:
        return receive(connection);
    case CORACLE_ACTION_KIND_AGAIN:
        go_on_in(connection, 1);
        return false;
    case CORACLE_ACTION_KIND_WATCH:
        go_on_in(connection, LOOK_MS);
        return false;
    default:
        connection->is_closing = true;
        connection->how = action->how;
        connection->closed_ms = now_ms();
        return true;
    }
}

static void attach(struct connection *connection, bool is_attached);

/* What is left to do when the session has ended. */
static err_t finish(struct connection *connection) {
    struct tcp_pcb *pcb = connection->pcb;
    if (connection->how == CORACLE_CLOSE_HOW_ABORT) {
        attach(connection, false);
        release(connection);
        tcp_abort(pcb);
        return ERR_ABRT;
    }
    if (connection->received) {
        connection->discarded += connection->received->tot_len;
        tcp_recved(pcb, connection->received->tot_len);
        pbuf_free(connection->received);
        connection->received = NULL;
    }
    if (connection->how == CORACLE_CLOSE_HOW_LINGER && !connection->has_ended &&
        connection->discarded < LINGER_LEN && now_ms() - connection->closed_ms < LINGER_MS) {
        if (!connection->is_shut) {
            connection->is_shut = tcp_shutdown(pcb, 0, 1) == ERR_OK;
        }
        return ERR_OK;
    }
    attach(connection, false);
    if (tcp_close(pcb) == ERR_OK) {
        release(connection);
    } else {
        /* Without memory now: the next call of `on_poll` tries again. */
        attach(connection, true);
    }
    return ERR_OK;
}

/* Goes on with a connection until it has to wait. */
static err_t advance(struct connection *connection) {
    while (!connection->is_closing) {
        coracle_action action = coracle_session_poll(&connection->session, now_ms());
        if (perform(connection, &action)) {
            continue;
        }
        if (now_ms() < action.deadline_ms) {
            tcp_output(connection->pcb);
            return ERR_OK;
        }
        coracle_session_timeout(&connection->session, now_ms());
    }
    return finish(connection);
}

static err_t on_received(void *argument, struct tcp_pcb *pcb, struct pbuf *bytes, err_t error) {
    struct connection *connection = argument;
    (void)pcb;
    if (error != ERR_OK) {
        return error;
    }
    if (!bytes) {
        connection->has_ended = true;
    } else if (connection->received) {
        pbuf_cat(connection->received, bytes);
    } else {
        connection->received = bytes;
    }
    return advance(connection);
}

static err_t on_sent(void *argument, struct tcp_pcb *pcb, u16_t len) {
    struct connection *connection = argument;
    (void)pcb, (void)len;
    coracle_session_progress(&connection->session, now_ms());
    return advance(connection);
}

/* Twice a second. */
static err_t on_poll(void *argument, struct tcp_pcb *pcb) {
    (void)pcb;
    return advance(argument);
}

/* The connection is lost, and lwIP has freed its `pcb`. */
static void on_error(void *argument, err_t error) {
    (void)error;
    release(argument);
}

static void attach(struct connection *connection, bool is_attached) {
    struct tcp_pcb *pcb = connection->pcb;
    tcp_arg(pcb, is_attached ? connection : NULL);
    tcp_recv(pcb, is_attached ? on_received : NULL);
    tcp_sent(pcb, is_attached ? on_sent : NULL);
    tcp_err(pcb, is_attached ? on_error : NULL);
    tcp_poll(pcb, is_attached ? on_poll : NULL, 1);
}

/* Takes a client, if there is a place; the last one is for those that are told `busy`. */
static err_t on_accepted(void *argument, struct tcp_pcb *pcb, err_t error) {
    (void)argument;
    if (error != ERR_OK || !pcb) {
        return ERR_VAL;
    }
    for (size_t i = 0; i <= CLIENTS; i++) {
        struct connection *connection = &connections[i];
        if (connection->is_used) {
            continue;
        }
        memset(connection, 0, sizeof *connection);
        size_t size = sizeof connection->session;
        coracle_outcome outcome = i < CLIENTS
                                      ? coracle_session_init(&connection->session, size, &server, now_ms())
                                      : coracle_session_init_busy(&connection->session, size, &server, now_ms());
        if (outcome == CORACLE_OUTCOME_OK && i < CLIENTS && options.is_encrypted) {
            size_t len = sizeof connection->channel;
            outcome = coracle_session_encrypt(&connection->session, &connection->channel, len, now_ms());
        }
        if (outcome != CORACLE_OUTCOME_OK) {
            break;
        }
        connection->pcb = pcb;
        connection->is_used = true;
        tcp_nagle_disable(pcb);
        attach(connection, true);
        return advance(connection);
    }
    tcp_abort(pcb);
    return ERR_ABRT;
}

static struct tcp_pcb *listen_on(struct netif *netif) {
    ip4_addr_t address, mask, gateway;
    IP4_ADDR(&address, 10, 70, 0, 2);
    IP4_ADDR(&mask, 255, 255, 255, 0);
    IP4_ADDR(&gateway, 10, 70, 0, 1);
    if (!netif_add(netif, &address, &mask, &gateway, NULL, tapif_init, tcpip_input)) {
        return NULL;
    }
    netif_set_default(netif);
    netif_set_up(netif);
    netif_set_link_up(netif);
    struct tcp_pcb *pcb = tcp_new();
    if (!pcb || tcp_bind(pcb, IP_ANY_TYPE, PORT) != ERR_OK) {
        return NULL;
    }
    struct tcp_pcb *listener = tcp_listen(pcb);
    if (listener) {
        tcp_accept(listener, on_accepted);
    }
    return listener;
}

/* Ends the sessions, and waits until their connections are closed. */
static void stop(struct tcp_pcb *listener) {
    bool is_live = true, is_told = false;
    while (is_live) {
        is_live = false;
        LOCK_TCPIP_CORE();
        if (!is_told) {
            tcp_close(listener);
        }
        for (size_t i = 0; i <= CLIENTS; i++) {
            struct connection *connection = &connections[i];
            if (connection->is_used && !is_told) {
                coracle_session_stop(&connection->session, now_ms());
                advance(connection);
            }
            is_live |= connection->is_used;
        }
        UNLOCK_TCPIP_CORE();
        is_told = true;
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    }
}

int main(int argc, char **argv) {
    static struct netif netif;
    if (!options_read(&options, argc, argv)) {
        return 2;
    }
    coracle_config config = coracle_config_default();
    config.name = "lwip";
    config.request_ms = 3000;
    config.busy_retry_ms = 100;
    config.wait_max_ms = 60000;
    if (!options_server(&options, &config, &server)) {
        return 1;
    }
    /* Before lwIP starts its threads, which inherit it. */
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    tcpip_init(NULL, NULL);
    LOCK_TCPIP_CORE();
    struct tcp_pcb *listener = listen_on(&netif);
    UNLOCK_TCPIP_CORE();
    if (!listener) {
        fprintf(stderr, "cannot listen\n");
        return 1;
    }
    printf("listening on 10.70.0.2:%d\n", PORT);
    fflush(stdout);
    int number;
    sigwait(&signals, &number);
    stop(listener);
    return 0;
}
