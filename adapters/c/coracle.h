/* Coracle's file server: the functions of crate coracle-c. Written by cbindgen from the crate's sources; README.md has an example.
 *
 * Define CORACLE_SHA256, CORACLE_WRITE, CORACLE_MANAGE, CORACLE_RIGHTS, CORACLE_CHANNEL, CORACLE_WAIT and CORACLE_PANIC_HANDLER where
 * the library was built with those features. What one of them takes, its features take, too: MANAGE takes WRITE, CHANNEL takes RIGHTS.
 * No function allocates, waits, or calls anything but the callbacks and memcpy and the like. */


#ifndef CORACLE_H
#define CORACLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * Stands for a number that is not known: a time, a size, a deadline.
 */
#define CORACLE_UNKNOWN UINT64_MAX

/**
 * Bytes of the longest version of a file, and the 0 behind it.
 */
#define CORACLE_VERSION_SIZE 65

/**
 * Bytes of the longest digest.
 */
#define CORACLE_DIGEST_LEN 32

/**
 * Bytes of a key.
 */
#define CORACLE_KEY_LEN 32

/**
 * Bytes of a key as text, and the 0 behind it.
 */
#define CORACLE_KEY_TEXT_SIZE 62

/**
 * The least room for coracle_session_read where a client is encrypted, in bytes; 64 or more waste less.
 */
#define CORACLE_RECORD_MIN 19

#if defined(CORACLE_CHANNEL)
/**
 * What keys add to a server.
 */
#define CORACLE_SERVER_CHANNEL_WORDS 9
#endif

#if !defined(CORACLE_CHANNEL)
/**
 * What keys add to a server.
 */
#define CORACLE_SERVER_CHANNEL_WORDS 0
#endif

/**
 * Eighths of the bytes that a server takes without its pointers.
 */
#define CORACLE_SERVER_WORDS (6 + CORACLE_SERVER_CHANNEL_WORDS)

/**
 * Pointers in it.
 */
#define CORACLE_SERVER_POINTERS 8

/**
 * The same of a session that only reads.
 */
#define CORACLE_SESSION_BASE_WORDS 116

#if defined(CORACLE_SHA256)
/**
 * What SHA-256 adds.
 */
#define CORACLE_SESSION_SHA256_WORDS 13
#endif

#if !defined(CORACLE_SHA256)
/**
 * What SHA-256 adds.
 */
#define CORACLE_SESSION_SHA256_WORDS 0
#endif

#if defined(CORACLE_WRITE)
/**
 * What writing adds.
 */
#define CORACLE_SESSION_WRITE_WORDS 29
#endif

#if !defined(CORACLE_WRITE)
/**
 * What writing adds.
 */
#define CORACLE_SESSION_WRITE_WORDS 0
#endif

#if defined(CORACLE_MANAGE)
/**
 * What managing adds to writing.
 */
#define CORACLE_SESSION_MANAGE_WORDS 16
#endif

#if !defined(CORACLE_MANAGE)
/**
 * What managing adds to writing.
 */
#define CORACLE_SESSION_MANAGE_WORDS 0
#endif

#if defined(CORACLE_RIGHTS)
/**
 * What rights add.
 */
#define CORACLE_SESSION_RIGHTS_WORDS 1
#endif

#if !defined(CORACLE_RIGHTS)
/**
 * What rights add.
 */
#define CORACLE_SESSION_RIGHTS_WORDS 0
#endif

#if defined(CORACLE_WAIT)
/**
 * What waiting adds.
 */
#define CORACLE_SESSION_WAIT_WORDS 4
#endif

#if !defined(CORACLE_WAIT)
/**
 * What waiting adds.
 */
#define CORACLE_SESSION_WAIT_WORDS 0
#endif

/**
 * Eighths of the bytes that a session takes without its pointers.
 */
#define CORACLE_SESSION_WORDS (((((CORACLE_SESSION_BASE_WORDS + CORACLE_SESSION_SHA256_WORDS) + CORACLE_SESSION_WRITE_WORDS) + CORACLE_SESSION_MANAGE_WORDS) + CORACLE_SESSION_RIGHTS_WORDS) + CORACLE_SESSION_WAIT_WORDS)

/**
 * Pointers in it.
 */
#define CORACLE_SESSION_POINTERS 16

#if defined(CORACLE_CHANNEL)
/**
 * Eighths of the bytes that a channel takes.
 */
#define CORACLE_CHANNEL_WORDS 96
#endif

/**
 * Whether a server or a session was made.
 */
enum coracle_outcome
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * It was.
     */
    CORACLE_OUTCOME_OK = 0,
    /**
     * A pointer that must not be NULL is.
     */
    CORACLE_OUTCOME_NULL = 1,
    /**
     * The memory is smaller than this library needs, or not aligned to 8 bytes: the header and the library are not of one version,
     * or the CORACLE_ macros are not those of the library's features.
     */
    CORACLE_OUTCOME_MEMORY = 2,
    /**
     * The server's name is longer than 32 bytes, no UTF-8, or has a control character.
     */
    CORACLE_OUTCOME_NAME = 3,
    /**
     * A callback is missing that has no default.
     */
    CORACLE_OUTCOME_CALLBACK = 4,
    /**
     * The actions are not words of a-z, 0-9 and '-', of at most 32 characters each, or are more than 8.
     */
    CORACLE_OUTCOME_ACTIONS = 5,
    /**
     * The secret key is missing, or was never set; or the server has none.
     */
    CORACLE_OUTCOME_KEY = 6,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum coracle_outcome coracle_outcome;
#else
typedef uint8_t coracle_outcome;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Which digest.
 */
enum coracle_digest_kind
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * CRC-32/ISO-HDLC, 4 bytes, the most significant first.
     */
    CORACLE_DIGEST_KIND_CRC32 = 0,
    /**
     * SHA-256, 32 bytes.
     */
    CORACLE_DIGEST_KIND_SHA256 = 1,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum coracle_digest_kind coracle_digest_kind;
#else
typedef uint8_t coracle_digest_kind;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * What a file that is put may replace.
 */
enum coracle_replace
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * Nothing: the name must be free.
     */
    CORACLE_REPLACE_NOTHING = 0,
    /**
     * Whatever has the name, if anything.
     */
    CORACLE_REPLACE_ANYTHING = 1,
    /**
     * Only a file in the version that is given.
     */
    CORACLE_REPLACE_VERSION = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum coracle_replace coracle_replace;
#else
typedef uint8_t coracle_replace;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * What a client deletes.
 */
enum coracle_delete_kind
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * A file, and an unfinished upload to its name.
     */
    CORACLE_DELETE_KIND_FILE = 0,
    /**
     * The unfinished upload to a name, alone.
     */
    CORACLE_DELETE_KIND_PARTIAL = 1,
    /**
     * An empty directory.
     */
    CORACLE_DELETE_KIND_DIRECTORY = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum coracle_delete_kind coracle_delete_kind;
#else
typedef uint8_t coracle_delete_kind;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * What the owner of a connection has to do next.
 */
enum coracle_action_kind
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * Wait for bytes and pass them to coracle_session_receive, or the end of input to coracle_session_receive_eof.
     */
    CORACLE_ACTION_KIND_RECEIVE = 0,
    /**
     * Send some of `bytes`, and report how many with coracle_session_sent.
     */
    CORACLE_ACTION_KIND_SEND_BYTES = 1,
    /**
     * Read up to `len` bytes with coracle_session_read, and send all that it has read. They are a file's, or anything that is sent
     * to an encrypted client.
     */
    CORACLE_ACTION_KIND_SEND_FILE = 2,
    /**
     * Call coracle_session_poll again, after other connections had their turn: there is work to do in the store.
     */
    CORACLE_ACTION_KIND_AGAIN = 3,
    /**
     * Do nothing before the deadline, or before the file called `bytes` may have changed: then call
     * coracle_session_look_again.
     */
    CORACLE_ACTION_KIND_WATCH = 4,
    /**
     * End the connection as `how` says, and call coracle_session_end.
     */
    CORACLE_ACTION_KIND_CLOSE = 5,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum coracle_action_kind coracle_action_kind;
#else
typedef uint8_t coracle_action_kind;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * What to do with the connection of a session that has ended.
 */
enum coracle_close_how
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * Close it when all bytes are sent.
     */
    CORACLE_CLOSE_HOW_FINISH = 0,
    /**
     * Shut down the sending side, read and discard at most 1 MiB for at most 2 s, then close: with unread input many stacks
     * send a reset, which can destroy the last line before the peer reads it.
     */
    CORACLE_CLOSE_HOW_LINGER = 1,
    /**
     * Reset it: the peer takes no bytes, or must notice that its body is incomplete.
     */
    CORACLE_CLOSE_HOW_ABORT = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum coracle_close_how coracle_close_how;
#else
typedef uint8_t coracle_close_how;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Why a session has ended, for a log.
 */
enum coracle_close_reason
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * The peer ended the connection.
     */
    CORACLE_CLOSE_REASON_DONE = 0,
    /**
     * Nothing was requested for too long.
     */
    CORACLE_CLOSE_REASON_IDLE = 1,
    /**
     * The peer took no byte for too long, or bytes too slowly.
     */
    CORACLE_CLOSE_REASON_STALLED = 2,
    /**
     * An error was sent that ends the connection.
     */
    CORACLE_CLOSE_REASON_REFUSED = 3,
    /**
     * The transport failed.
     */
    CORACLE_CLOSE_REASON_TRANSPORT = 4,
    /**
     * A body could not be finished: the file shrank, or reading it failed.
     */
    CORACLE_CLOSE_REASON_BROKEN = 5,
    /**
     * The client was told that the server has no place for it, or is stopping.
     */
    CORACLE_CLOSE_REASON_UNAVAILABLE = 6,
    /**
     * The owner reported something that does not match the action.
     */
    CORACLE_CLOSE_REASON_MISUSE = 7,
    /**
     * The client's handshake failed: it has another pre-shared key, was too slow, or does not speak the protocol; or there was no
     * entropy.
     */
    CORACLE_CLOSE_REASON_HANDSHAKE = 8,
    /**
     * What an encrypted client sent was changed on its way, or cut off.
     */
    CORACLE_CLOSE_REASON_RECORD = 9,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum coracle_close_reason coracle_close_reason;
#else
typedef uint8_t coracle_close_reason;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * What a callback of the store returns.
 */
enum coracle_status
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * It is done.
     */
    CORACLE_STATUS_OK = 0,
    /**
     * There is no such file or directory.
     */
    CORACLE_STATUS_NOT_FOUND = 1,
    /**
     * It exists and is not a regular file.
     */
    CORACLE_STATUS_NOT_FILE = 2,
    /**
     * It exists and is not a directory.
     */
    CORACLE_STATUS_NOT_DIRECTORY = 3,
    /**
     * It may not be accessed.
     */
    CORACLE_STATUS_DENIED = 4,
    /**
     * The name is invalid in this store, by a rule of its own.
     */
    CORACLE_STATUS_BAD_NAME = 5,
    /**
     * The medium failed. So does every value that is not one of these.
     */
    CORACLE_STATUS_IO = 6,
    /**
     * No handle is left: the client is told to try again.
     */
    CORACLE_STATUS_BUSY = 7,
    /**
     * Not yet: the callback is called again soon.
     */
    CORACLE_STATUS_PENDING = 8,
    /**
     * The name is taken, and nothing may be replaced.
     */
    CORACLE_STATUS_EXISTS = 9,
    /**
     * What has the name is not in the expected version, or nothing has it.
     */
    CORACLE_STATUS_CHANGED = 10,
    /**
     * The file is larger than this store accepts.
     */
    CORACLE_STATUS_TOO_LARGE = 11,
    /**
     * There is no room.
     */
    CORACLE_STATUS_NO_SPACE = 12,
    /**
     * Another connection is sending an upload to this name.
     */
    CORACLE_STATUS_IN_USE = 13,
    /**
     * The contents break a rule of the store's own.
     */
    CORACLE_STATUS_CORRUPT = 14,
    /**
     * The directory has entries.
     */
    CORACLE_STATUS_NOT_EMPTY = 15,
    /**
     * This store cannot do it.
     */
    CORACLE_STATUS_UNSUPPORTED = 16,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum coracle_status coracle_status;
#else
typedef uint8_t coracle_status;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * What a step of a listing has met.
 */
enum coracle_entry_kind
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * The end.
     */
    CORACLE_ENTRY_KIND_END = 0,
    /**
     * A regular file.
     */
    CORACLE_ENTRY_KIND_FILE = 1,
    /**
     * A directory.
     */
    CORACLE_ENTRY_KIND_DIRECTORY = 2,
    /**
     * Something that cannot be requested, whatever it is called.
     */
    CORACLE_ENTRY_KIND_SKIPPED = 3,
    /**
     * A regular file or a directory that cannot be requested because of its name. So is an entry whose name breaks a rule of the protocol.
     */
    CORACLE_ENTRY_KIND_UNNAMEABLE = 4,
    /**
     * Something that is kept from clients, which are told how many of these there are.
     */
    CORACLE_ENTRY_KIND_HIDDEN = 5,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum coracle_entry_kind coracle_entry_kind;
#else
typedef uint8_t coracle_entry_kind;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * What a file that is put meets in the store.
 */
enum coracle_begun_kind
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * The bytes from `have` on are wanted, by `handle`.
     */
    CORACLE_BEGUN_KIND_UPLOAD = 0,
    /**
     * The very file is there already: `info`.
     */
    CORACLE_BEGUN_KIND_STORED = 1,
    /**
     * A file of the same size is there, open as `handle`: its bytes are to be compared.
     */
    CORACLE_BEGUN_KIND_COMPARE = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum coracle_begun_kind coracle_begun_kind;
#else
typedef uint8_t coracle_begun_kind;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Which key.
 */
enum coracle_key_kind
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint8_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * A public one: `ck1...`.
     */
    CORACLE_KEY_KIND_PUBLIC = 0,
    /**
     * A secret one: `cs1...`.
     */
    CORACLE_KEY_KIND_SECRET = 1,
    /**
     * A pre-shared one: `cp1...`.
     */
    CORACLE_KEY_KIND_PRE_SHARED = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum coracle_key_kind coracle_key_kind;
#else
typedef uint8_t coracle_key_kind;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * The settings of a server. Begin with those of coracle_config_default.
 */
typedef struct coracle_config {
    /**
     * The name that the server tells: at most 32 bytes of UTF-8 that end with 0, kept by its owner for as long as the
     * server. NULL: none.
     */
    const char *name;
    /**
     * The chunk size of bodies, in bytes; 0 counts as 1. Default: 1,024.
     */
    uint32_t chunk_size;
    /**
     * The maximum number of bytes of a body in one action, rounded down to whole chunks, at least one chunk. Default: 0.
     */
    uint32_t send_max;
    /**
     * How long a connection may be idle between exchanges, in milliseconds; 0: no limit. Default: 60,000.
     */
    uint32_t idle_ms;
    /**
     * How long a request may take from its first byte to its last, in milliseconds; 0: no limit. Default: 10,000.
     */
    uint32_t request_ms;
    /**
     * How long sending may stall without a byte accepted, in milliseconds; 0: no limit. Default: 30,000.
     */
    uint32_t stall_ms;
    /**
     * The minimum average rate while a response is sent, in bytes per second; 0: none. Default: 0.
     */
    uint32_t min_rate;
    /**
     * When a client that is told `busy` is to come again, in milliseconds; 0: it is not told. Default: 0.
     */
    uint32_t busy_retry_ms;
    /**
     * When a client that is told `shuttingDown` is to come again, in milliseconds; 0: it is not told. Default: 0.
     */
    uint32_t stop_retry_ms;
    /**
     * How long a `get` waits at most at the end of its file, in milliseconds; 0: it does not. Takes CORACLE_WAIT. Default: 0.
     */
    uint32_t wait_max_ms;
} coracle_config;

/**
 * Memory for the settings that connections share. Its bytes are the library's; it may not be moved while a session uses it.
 */
typedef struct coracle_server {
    uint64_t words[CORACLE_SERVER_WORDS];
    void *pointers[CORACLE_SERVER_POINTERS];
} coracle_server;

/**
 * Information on an open file. A callback finds it filled with a size of 0, an empty version and times that are not known.
 */
typedef struct coracle_file_info {
    /**
     * Length in bytes.
     */
    uint64_t size;
    /**
     * When the contents last changed, in seconds since 1970-01-01 00:00 UTC; CORACLE_UNKNOWN: not known.
     */
    uint64_t modified;
    /**
     * 1 to 64 characters from 0x21 to 0x7E that end with 0. While the version is the same, no existing byte has changed; the
     * file may have grown.
     */
    char version[CORACLE_VERSION_SIZE];
} coracle_file_info;

/**
 * One step of a listing. A callback finds it as END.
 */
typedef struct coracle_entry {
    /**
     * One of coracle_entry_kind.
     */
    coracle_entry_kind kind;
    /**
     * DIRECTORY: whether it is reached through a link, so that following it may lead in a circle.
     */
    bool is_link;
    /**
     * FILE, DIRECTORY: its path from the store's root on, which ends with 0; read before the next callback is called.
     */
    const char *name;
    /**
     * FILE: its length in bytes.
     */
    uint64_t size;
    /**
     * FILE: as in coracle_file_info.
     */
    uint64_t modified;
} coracle_entry;

/**
 * The files that are served: functions of the firmware. Each is called from within a function of a session, and gets `user` as its
 * first argument. It may call no function for that session. Names are paths from the store's root on, of at most 255 bytes of UTF-8
 * that end with 0 and are valid during the call; no component is empty, `.` or `..`, and there is no control character and no
 * backslash. Pointers that a callback is given are never NULL unless it says so.
 */
typedef struct coracle_store {
    /**
     * Passed to each callback; may be NULL.
     */
    void *user;
    /**
     * Opens the regular file `name`, and sets `*file` to what the other callbacks are to be given; it finds NULL there.
     * NOT_FILE for what exists and is not a regular file, BUSY where no handle is left.
     */
    coracle_status (*open)(void *user, const char *name, void **file);
    /**
     * Fills `*info` with what the open file is now. Called after `open`, and again after the last byte was sent.
     */
    coracle_status (*stat)(void *user, void *file, struct coracle_file_info *info);
    /**
     * Reads up to `len` bytes from `offset` on into `buf`, and sets `*taken` to how many; 0 means that the file ends there.
     */
    coracle_status (*read)(void *user, void *file, uint64_t offset, uint8_t *buf, size_t len, size_t *taken);
    /**
     * Closes what `open` has opened, or `begin` with COMPARE.
     */
    void (*close)(void *user, void *file);
    /**
     * Begins a listing of the directory `path`, or of the root for NULL, and sets `*listing` to what `next` is to be given.
     */
    coracle_status (*list)(void *user, const char *path, void **listing);
    /**
     * Fills `*entry` with the next entry of the listing.
     */
    coracle_status (*next)(void *user, void *listing, struct coracle_entry *entry);
    /**
     * Ends a listing.
     */
    void (*end_list)(void *user, void *listing);
    /**
     * Stores the digest of all of the file, from the first to the last byte of the size that `stat` has told, in `digest`,
     * CORACLE_DIGEST_LEN bytes, if it is known without reading; else returns false. NULL: none is.
     */
    bool (*known_digest)(void *user, void *file, coracle_digest_kind kind, uint8_t *digest);
    /**
     * The time now, in seconds since 1970-01-01 00:00 UTC; CORACLE_UNKNOWN where there is no clock. NULL: there is none.
     */
    uint64_t (*unix_time)(void *user);
    /**
     * Whether no component of `name` that exists is a link, the last one included. Asked for clients whose right is limited to a
     * directory, which a link could lead out of. NULL: there are no links, or none is followed. Takes CORACLE_RIGHTS.
     */
    bool (*is_linkless)(void *user, const char *name);
} coracle_store;

/**
 * A file that a client sends. Name, size and digest are the identity of an upload: after a broken connection the same three
 * continue it. Pointers are valid during the call.
 */
typedef struct coracle_put {
    /**
     * The name that the file gets, which ends with 0.
     */
    const char *name;
    /**
     * Its length in bytes. Any number: nothing may be reserved by it before it was compared with what there is.
     */
    uint64_t size;
    /**
     * When its contents last changed, as in coracle_file_info.
     */
    uint64_t modified;
    /**
     * `replace` is VERSION: that version, which ends with 0. Empty where it is none that a file could have.
     */
    const char *version;
    /**
     * When this connection first asked. Later than the last byte of another connection with the same upload: that one was
     * silent meanwhile.
     */
    uint64_t asked_ms;
    /**
     * The digest of all its bytes.
     */
    uint8_t digest[CORACLE_DIGEST_LEN];
    /**
     * Which digest.
     */
    coracle_digest_kind digest_kind;
    /**
     * What may be replaced: checked by `begin`, so that nothing is sent in vain, and again by `commit`.
     */
    coracle_replace replace;
    /**
     * Whether missing directories are made.
     */
    bool parents;
    /**
     * Whether `begin` may answer STORED or COMPARE.
     */
    bool may_compare;
} coracle_put;

/**
 * How an upload begins. A callback finds it as UPLOAD from byte 0 on.
 */
typedef struct coracle_begun {
    /**
     * One of coracle_begun_kind.
     */
    coracle_begun_kind kind;
    /**
     * UPLOAD: the upload; COMPARE: an open file.
     */
    void *handle;
    /**
     * UPLOAD: how many bytes are stored from earlier connections, at most the size.
     */
    uint64_t have;
    /**
     * STORED: what is there.
     */
    struct coracle_file_info info;
    /**
     * With CORACLE_STATUS_TOO_LARGE the largest size that is accepted, with CORACLE_STATUS_NO_SPACE how many bytes are free;
     * CORACLE_UNKNOWN: not known.
     */
    uint64_t limit;
} coracle_begun;

/**
 * The room of a store, in bytes. A callback finds each as CORACLE_UNKNOWN.
 */
typedef struct coracle_space {
    /**
     * Used and free together.
     */
    uint64_t total;
    /**
     * Left for new files.
     */
    uint64_t free;
    /**
     * The largest file that is accepted.
     */
    uint64_t max_file;
} coracle_space;

/**
 * Who asks. Pointers are valid during the call.
 */
typedef struct coracle_client {
    /**
     * Its coracle_session, to be compared with those of the owner: no function may be called for it.
     */
    const void *session;
    /**
     * The public key that it has shown to have the secret half of, 32 bytes; NULL where it is not encrypted.
     */
    const uint8_t *key;
    /**
     * Where it is encrypted: the place of its pre-shared key, as `psk` of coracle_keys was asked for it.
     */
    size_t psk;
} coracle_client;

#if defined(CORACLE_WRITE)
/**
 * The files that are written. One upload at most exists for a name, and at most one connection sends it.
 * Before `commit` has returned OK, the file that had the name is untouched; after it, contents and name survive a power cut.
 */
typedef struct coracle_writer {
    /**
     * Begins an upload, or continues the one with the same name, size and digest that was kept; fills `*begun`. PENDING where
     * another connection has this upload and may be dead, IN_USE where that one is alive or sends other contents. Before it
     * answers STORED or COMPARE, what is there has to be durable.
     */
    coracle_status (*begin)(void *user, const struct coracle_put *put, struct coracle_begun *begun, uint64_t now_ms);
    /**
     * Stores some of the `len` bytes at `offset` of the file, and sets `*taken` to how many; 0 means none yet. They come in
     * order. IN_USE where another connection has taken over the upload.
     */
    coracle_status (*write)(void *user,
                            void *upload,
                            uint64_t offset,
                            const uint8_t *bytes,
                            size_t len,
                            size_t *taken,
                            uint64_t now_ms);
    /**
     * Reads what was stored, as `read` of coracle_store does.
     */
    coracle_status (*read_back)(void *user,
                                void *upload,
                                uint64_t offset,
                                uint8_t *buf,
                                size_t len,
                                size_t *taken,
                                uint64_t now_ms);
    /**
     * Gives the complete and verified upload its name, durably, and fills `*info`. Called again while it returns PENDING. After
     * OK no function is called for the upload any more.
     */
    coracle_status (*commit)(void *user,
                             void *upload,
                             const struct coracle_put *put,
                             struct coracle_file_info *info,
                             uint64_t now_ms);
    /**
     * Keeps an unfinished upload for a later connection; no function is called for it any more.
     */
    void (*keep)(void *user, void *upload);
    /**
     * Drops an upload and its bytes; no function is called for it any more.
     */
    void (*discard)(void *user, void *upload);
    /**
     * Deletes a file, an unfinished upload or an empty directory, durably. `version` is the one that a file must have, or NULL for
     * any. NULL in place of this callback: nothing is deleted.
     */
    coracle_status (*remove)(void *user, const char *name, coracle_delete_kind kind, const char *version);
    /**
     * Whether all of a file has to be read back from the medium before `commit`, as flash chips need it. Otherwise bytes are
     * hashed as they are passed to `write`.
     */
    bool reads_back;
    /**
     * Gives the file `name` the name `to`, durably and atomically; `version` as in `remove`. EXISTS where `to` is taken. NULL in
     * place of this callback: nothing is renamed. Takes CORACLE_MANAGE, as all that follow.
     */
    coracle_status (*rename)(void *user, const char *name, const char *to, const char *version);
    /**
     * Makes the directory `path`, durably; OK where it is one already, EXISTS where it is something else. NULL: none is made.
     */
    coracle_status (*make_dir)(void *user, const char *path);
    /**
     * Fills `*space` with how much room there is. NULL: clients are not told.
     */
    coracle_status (*space)(void *user, struct coracle_space *space);
    /**
     * What clients may ask for by `do`: at most 8 words of 1 to 32 characters of `a-z0-9-`, with one space between two, which end with 0
     * and stay. NULL: nothing.
     */
    const char *actions;
    /**
     * Does `action`, one of `actions`. One after which no answer could be sent, such as a restart, is only noted here, and done when
     * the client's connection has closed.
     */
    coracle_status (*perform)(void *user, const struct coracle_client *client, const char *action);
} coracle_writer;
#endif

/**
 * Memory for one connection. Its bytes are the library's; it may not be moved while the session lasts.
 */
typedef struct coracle_session {
    uint64_t words[CORACLE_SESSION_WORDS];
    void *pointers[CORACLE_SESSION_POINTERS];
} coracle_session;

/**
 * What the owner of a connection has to do next. Members that no comment of coracle_action_kind names are 0.
 */
typedef struct coracle_action {
    /**
     * Which one.
     */
    coracle_action_kind kind;
    /**
     * SEND_BYTES, SEND_FILE: whether more of this response follows, so that the transport may hold back a partial packet.
     */
    bool more;
    /**
     * CLOSE: what to do with the connection.
     */
    coracle_close_how how;
    /**
     * CLOSE: why.
     */
    coracle_close_reason why;
    /**
     * SEND_BYTES, SEND_FILE, WATCH: how many bytes, at least 1; of SEND_FILE perhaps fewer can be read at a time.
     */
    size_t len;
    /**
     * SEND_BYTES: what to send. WATCH: the file's name, without a 0 at its end. Valid until the next call of a function for
     * this session.
     */
    const uint8_t *bytes;
    /**
     * When to call coracle_session_timeout, if nothing could be received, sent or done before; CORACLE_UNKNOWN: never.
     */
    uint64_t deadline_ms;
} coracle_action;

#if defined(CORACLE_CHANNEL)
/**
 * The keys of a server whose clients come encrypted.
 */
typedef struct coracle_keys {
    /**
     * Stores the server's secret key, CORACLE_KEY_LEN unpredictable bytes that stay the same for as long as the device lives, in `key`;
     * or returns false. Called by coracle_server_set_keys.
     */
    bool (*secret)(void *user, uint8_t *key);
    /**
     * Stores the pre-shared key number `index`, from 0 on, CORACLE_KEY_LEN bytes, in `key`; or returns false where there is none. At most
     * 4 are asked for, at each handshake, which fails where there are none. NULL: clients need no pre-shared key.
     */
    bool (*psk)(void *user, size_t index, uint8_t *key);
    /**
     * Stores CORACLE_KEY_LEN bytes that nobody can predict in `bytes`, others at each call; or returns false, and the handshake fails.
     * A repetition lets who has recorded two connections read them.
     */
    bool (*entropy)(void *user, uint8_t *bytes);
    /**
     * Whether clients without encryption are served, too. Otherwise they are told to encrypt.
     */
    bool serves_plain;
} coracle_keys;
#endif

#if defined(CORACLE_CHANNEL)
/**
 * Memory for the encryption of one connection: its handshake, then its records. Its bytes are the library's; it may not be moved while
 * the session lasts.
 */
typedef struct coracle_channel {
    uint64_t words[CORACLE_CHANNEL_WORDS];
} coracle_channel;
#endif

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The default settings, which are for a board.
 */
struct coracle_config coracle_config_default(void);

/**
 * Makes a server in `*server`, memory of `size` bytes: sizeof(coracle_server).
 *
 * `*config` is read here. `*store`, and the name, have to stay as they are for as long as the server is used. Nothing has to be
 * done at its end. Its functions, and those of its sessions, may be called by one thread at a time.
 *
 * # Safety
 *
 * As said here and in the structures' own words.
 */
coracle_outcome coracle_server_init(struct coracle_server *server,
                                    size_t size,
                                    const struct coracle_config *config,
                                    const struct coracle_store *store);

#if defined(CORACLE_WRITE)
/**
 * Lets clients put files, and whatever else `writer` can. Called before the first session begins. `*writer` has to stay as it is for
 * as long as the server is used.
 *
 * # Safety
 *
 * `server` is one that coracle_server_init has made, without sessions; `writer` as said.
 */
coracle_outcome coracle_server_set_writer(struct coracle_server *server,
                                          const struct coracle_writer *writer);
#endif

#if defined(CORACLE_RIGHTS)
/**
 * Lets `of` say what each client may do, at each of its requests; otherwise every client may do everything that is offered. Called
 * before the first session begins.
 *
 * It returns words that end with 0, with spaces between them: `read` (list, stat, get), `write` (put, makeDir, space), `delete`,
 * `do=ACTION`; with `write` and `delete` a client may rename. `read=logs/` is limited to what lies beneath the directory `logs`, and so
 * are the others. Any other word leaves no rights at all. The words have to stay until the next call of a callback. NULL: the client is
 * not known, and may do nothing; one with a key is told it.
 *
 * # Safety
 *
 * `server` is one that coracle_server_init has made, without sessions; `of` as said.
 */
coracle_outcome coracle_server_set_rights(struct coracle_server *server,
                                          const char *(*of)(void *user, const struct coracle_client *client));
#endif

/**
 * Makes a session in `*session`, memory of `size` bytes (sizeof(coracle_session)), for a connection that was just accepted.
 *
 * `*server` has to stay where it is until coracle_session_end. `now_ms` is the time in milliseconds since a start of the caller's
 * choice, here and in all functions, by one clock that does not run backwards.
 *
 * # Safety
 *
 * As said; no session is in `*session`, or one that has ended.
 */
coracle_outcome coracle_session_init(struct coracle_session *session,
                                     size_t size,
                                     const struct coracle_server *server,
                                     uint64_t now_ms);

/**
 * The same for a connection that there is no place for: its session sends `busy` and closes.
 *
 * # Safety
 *
 * As coracle_session_init.
 */
coracle_outcome coracle_session_init_busy(struct coracle_session *session,
                                          size_t size,
                                          const struct coracle_server *server,
                                          uint64_t now_ms);

/**
 * Does what there is to do in the store, for a bounded time, and returns what is left to the owner of the connection. Called after each
 * report; without one in between the answer stays the same. For a session that has ended, or NULL, it is CLOSE.
 *
 * # Safety
 *
 * `session` is NULL, or one that coracle_session_init or coracle_session_init_busy has made.
 */
struct coracle_action coracle_session_poll(struct coracle_session *session,
                                           uint64_t now_ms);

/**
 * Takes received bytes, and returns how many of the `len`; the rest has to be passed again after coracle_session_poll. It takes none
 * while a response is under way, and may take none while the store is at work.
 *
 * # Safety
 *
 * `bytes` are `len` readable bytes, or NULL; `session` as in coracle_session_poll.
 */
size_t coracle_session_receive(struct coracle_session *session,
                               const uint8_t *bytes,
                               size_t len,
                               uint64_t now_ms);

/**
 * The peer will send no more, and all that it sent was taken. A response under way is still sent in full.
 *
 * # Safety
 *
 * As coracle_session_poll.
 */
void coracle_session_receive_eof(struct coracle_session *session, uint64_t now_ms);

/**
 * The next `len` bytes of SEND_BYTES were taken by the transport, or by a buffer of the owner.
 *
 * # Safety
 *
 * As coracle_session_poll.
 */
void coracle_session_sent(struct coracle_session *session, size_t len, uint64_t now_ms);

/**
 * Reads at most `len` of the bytes that SEND_FILE asks for into `buf`, and returns how many. They count as sent: the owner has to
 * send them all. 0 where the file cannot be read, or another action is due: coracle_session_poll says which. Of an encrypted client
 * `len` has to be at least CORACLE_RECORD_MIN.
 *
 * # Safety
 *
 * `buf` are `len` bytes that can be written, or NULL; `session` as in coracle_session_poll.
 */
size_t coracle_session_read(struct coracle_session *session,
                            uint8_t *buf,
                            size_t len,
                            uint64_t now_ms);

/**
 * The transport has accepted bytes that counted as sent before: restarts the timer for clients that take nothing.
 *
 * # Safety
 *
 * As coracle_session_poll.
 */
void coracle_session_progress(struct coracle_session *session, uint64_t now_ms);

/**
 * Handles the timer that has expired by `now_ms`, if any.
 *
 * # Safety
 *
 * As coracle_session_poll.
 */
void coracle_session_timeout(struct coracle_session *session, uint64_t now_ms);

#if defined(CORACLE_WAIT)
/**
 * Answers WATCH: the file may have changed, or the store may be ready. Changes nothing where the session does not wait.
 *
 * # Safety
 *
 * As coracle_session_poll.
 */
void coracle_session_look_again(struct coracle_session *session, uint64_t now_ms);
#endif

/**
 * Ends the session gracefully: finishes the exchange under way, then tells the client that the server is stopping.
 *
 * # Safety
 *
 * As coracle_session_poll.
 */
void coracle_session_stop(struct coracle_session *session, uint64_t now_ms);

/**
 * Ends the session: after CLOSE, or where the connection is lost. Closes what it has open in the store; an unfinished upload is
 * kept. From then on its memory may be used again.
 *
 * # Safety
 *
 * As coracle_session_poll.
 */
void coracle_session_end(struct coracle_session *session);

#if defined(CORACLE_CHANNEL)
/**
 * Gives a server its keys: clients come encrypted where their sessions are told so, by coracle_session_encrypt. Called before the first
 * session begins; computes the public key, a Diffie-Hellman operation. `*keys` has to stay as it is for as long as the server is used.
 *
 * Who completes the handshake may do everything that is offered, if coracle_server_set_rights says no other.
 *
 * # Safety
 *
 * `server` is one that coracle_server_init has made, without sessions; `keys` as said.
 */
coracle_outcome coracle_server_set_keys(struct coracle_server *server,
                                        const struct coracle_keys *keys);
#endif

#if defined(CORACLE_CHANNEL)
/**
 * Stores the server's public key as text, `ck1...` and a 0, in `text`, CORACLE_KEY_TEXT_SIZE bytes: what clients pin. False where the
 * server has no keys.
 *
 * # Safety
 *
 * `server` is NULL, or one that coracle_server_init has made; `text` is NULL, or as said.
 */
bool coracle_server_public_key(const struct coracle_server *server,
                               char *text);
#endif

#if defined(CORACLE_CHANNEL)
/**
 * Reads a key of this kind from text that ends with 0, as `coracle key` writes it, into `key`, CORACLE_KEY_LEN bytes. False where it is
 * another kind, was mistyped, or is no key.
 *
 * # Safety
 *
 * `text` is NULL, or as said; so is `key`.
 */
bool coracle_key_parse(const char *text,
                       coracle_key_kind kind,
                       uint8_t *key);
#endif

#if defined(CORACLE_CHANNEL)
/**
 * Lets the client of a session come encrypted, with `*channel`, memory of `size` bytes (sizeof(coracle_channel)) that has to stay where it
 * is until coracle_session_end. Called right behind coracle_session_init. The owner does for the session what it does for any other:
 * what the library takes and hands out is encrypted.
 *
 * # Safety
 *
 * As said; `session` is one that coracle_session_init has just made.
 */
coracle_outcome coracle_session_encrypt(struct coracle_session *session,
                                        struct coracle_channel *channel,
                                        size_t size,
                                        uint64_t now_ms);
#endif

#if defined(CORACLE_PANIC_HANDLER)
/**
 * Defined by the firmware, and called when the library finds itself in a state that cannot be: logs, or resets the board. It
 * may not return.
 */
extern void coracle_panic(void);
#endif

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* CORACLE_H */

#if !defined(__cplusplus)
_Static_assert(sizeof(coracle_server) == CORACLE_SERVER_WORDS * 8 + CORACLE_SERVER_POINTERS * sizeof(void *),
               "the size that the library counts on");
_Static_assert(sizeof(coracle_session) == CORACLE_SESSION_WORDS * 8 + CORACLE_SESSION_POINTERS * sizeof(void *),
               "the size that the library counts on");
#if defined(CORACLE_CHANNEL)
_Static_assert(sizeof(coracle_channel) == CORACLE_CHANNEL_WORDS * 8, "the size that the library counts on");
#endif
_Static_assert(sizeof(coracle_status) == 1, "a byte, as the callbacks return it");
#endif
