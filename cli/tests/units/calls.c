/*
 * Stands between a process of the tests and the C library (LD_PRELOAD). Of the calls that change or open
 * files under the folder CALLS_ROOT, each is
 *   - written to the file CALLS_RECORD, in the order in which they took effect, and
 *   - delayed until the scheduler at the socket CALLS_TURN sends a byte,
 * whichever of the two is named. A number in the record has eight bytes, a text its length and its bytes.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;
static const char *root;
static int record = -1, turn = -1;

__attribute__((constructor)) static void begin(void) {
    const char *file = getenv("CALLS_RECORD"), *socket_path = getenv("CALLS_TURN");
    root = getenv("CALLS_ROOT");
    if (file) record = REAL(open)(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (socket_path) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        strncpy(address.sun_path, socket_path, sizeof address.sun_path - 1);
        turn = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(turn, (struct sockaddr *)&address, sizeof address)) abort();
    }
}

static int inside(const char *path) {
    return root && path && strncmp(path, root, strlen(root)) == 0;
}

/* The path of an open file; 0 if it is outside the folder. */
static int named(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, 4095);
    path[n < 0 ? 0 : n] = 0;
    return inside(path);
}

/* Waits for this process's turn, and keeps other threads out until `leave`. */
static void enter(void) {
    char byte = 0;
    pthread_mutex_lock(&one);
    if (turn >= 0 && (REAL(write)(turn, &byte, 1) != 1 || read(turn, &byte, 1) != 1)) abort();
}

static void leave(void) {
    int error = errno;
    pthread_mutex_unlock(&one);
    errno = error;
}

static void put(const void *bytes, size_t n) {
    if (REAL(write)(record, bytes, n) != (ssize_t)n) abort();
}

static void number(uint64_t n) { put(&n, sizeof n); }

static void text(const void *bytes, size_t n) {
    number(n);
    put(bytes, n);
}

/* What happened, with two numbers and two texts whose meaning depends on it. */
static void note(char what, uint64_t a, uint64_t b, const void *x, size_t xn, const char *y) {
    if (record < 0) return;
    int error = errno;
    put(&what, 1);
    number(a);
    number(b);
    text(x, xn);
    text(y, strlen(y));
    errno = error;
}

static uint64_t inode(int fd) {
    struct stat found;
    return fstat(fd, &found) ? 0 : found.st_ino;
}

static int opened(const char *path, int flags, mode_t mode) {
    if (!inside(path)) return REAL(open64)(path, flags, mode);
    enter();
    int is_new = (flags & O_CREAT) && access(path, F_OK) != 0;
    int fd = REAL(open64)(path, flags, mode);
    if (fd >= 0 && is_new) note('c', inode(fd), 0, path, strlen(path), "");
    if (fd >= 0 && !is_new && (flags & O_TRUNC)) note('t', inode(fd), 0, "", 0, "");
    leave();
    return fd;
}

#define MODE(last)                                   \
    mode_t mode = 0;                                 \
    if (flags & (O_CREAT | O_TMPFILE)) {             \
        va_list more;                                \
        va_start(more, last);                        \
        mode = va_arg(more, mode_t);                 \
        va_end(more);                                \
    }

int open(const char *path, int flags, ...) {
    MODE(flags)
    return opened(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    MODE(flags)
    return opened(path, flags, mode);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    char path[4096];
    if (!named(fd, path)) return REAL(writev)(fd, parts, count);
    enter();
    ssize_t n = REAL(writev)(fd, parts, count), left = n;
    char *all = malloc(n > 0 ? n : 1), *at = all;
    for (int i = 0; i < count && left > 0; i++) {
        size_t some = parts[i].iov_len < (size_t)left ? parts[i].iov_len : (size_t)left;
        memcpy(at, parts[i].iov_base, some);
        at += some;
        left -= some;
    }
    if (n > 0) note('w', inode(fd), lseek(fd, 0, SEEK_CUR) - n, all, n, "");
    free(all);
    leave();
    return n;
}

ssize_t write(int fd, const void *bytes, size_t count) {
    char path[4096];
    if (!named(fd, path)) return REAL(write)(fd, bytes, count);
    struct iovec whole = {(void *)bytes, count};
    return writev(fd, &whole, 1);
}

static int synced(int fd, int (*real)(int)) {
    char path[4096];
    if (!named(fd, path)) return real(fd);
    enter();
    int result = real(fd);
    struct stat found;
    int is_folder = !fstat(fd, &found) && S_ISDIR(found.st_mode);
    if (!result) note(is_folder ? 'd' : 's', inode(fd), 0, path, strlen(path), "");
    leave();
    return result;
}

int fsync(int fd) { return synced(fd, REAL(fsync)); }

int fdatasync(int fd) { return synced(fd, REAL(fdatasync)); }

int ftruncate64(int fd, off64_t length) {
    char path[4096];
    if (!named(fd, path)) return REAL(ftruncate64)(fd, length);
    enter();
    int result = REAL(ftruncate64)(fd, length);
    if (!result) note('t', inode(fd), length, "", 0, "");
    leave();
    return result;
}

int rename(const char *from, const char *to) {
    if (!inside(from) && !inside(to)) return REAL(rename)(from, to);
    enter();
    int result = REAL(rename)(from, to);
    if (!result) note('r', 0, 0, from, strlen(from), to);
    leave();
    return result;
}

int linkat(int a, const char *from, int b, const char *to, int flags) {
    if (!inside(from) && !inside(to)) return REAL(linkat)(a, from, b, to, flags);
    enter();
    int result = REAL(linkat)(a, from, b, to, flags);
    if (!result) note('l', 0, 0, from, strlen(from), to);
    leave();
    return result;
}

int unlink(const char *path) {
    if (!inside(path)) return REAL(unlink)(path);
    enter();
    int result = REAL(unlink)(path);
    if (!result) note('u', 0, 0, path, strlen(path), "");
    leave();
    return result;
}

int mkdir(const char *path, mode_t mode) {
    if (!inside(path)) return REAL(mkdir)(path, mode);
    enter();
    int result = REAL(mkdir)(path, mode);
    if (!result) note('m', 0, 0, path, strlen(path), "");
    leave();
    return result;
}
