/* Faults at the nth change of a folder's files, for tests. LD_PRELOADed; silent until armed.
 *
 * Every call of libc that changes a file, makes it last, or changes a name under the watched folder
 * is one point. At the chosen one the process dies, dies halfway through a write, or is told EIO or
 * ENOSPC. Each call that went through is traced with its data, so that a test can work out what a
 * disk would hold after a loss of power; so is what the process says on its standard output.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { COUNT, KILL, TORN, EIO_ONCE, FULL };
enum op { SAID, WRITE, SYNC, RENAME, UNLINK, CREATE, TRUNCATE, MKDIR, RMDIR };

static char watched[PATH_MAX];
static size_t watched_length;
static long at, count;
static enum kind kind;
static int trace = -1, full, armed;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

/* Watch a folder (its real path) from now on; `point` counts from 1, 0: no fault. */
void fault_arm(const char *folder, long point, int what, int trace_to) {
  strncpy(watched, folder, sizeof watched - 1);
  watched_length = strlen(watched);
  at = point, kind = what, trace = trace_to, count = 0, full = 0, armed = 1;
}

/* A program that knows nothing of the shim: FAULT_AT="<point> <kind> <folder>" arms it. */
__attribute__((constructor)) static void arm_by_environment(void) {
  static char folder[PATH_MAX];
  const char *given = getenv("FAULT_AT");
  long point;
  int what;
  if (given && sscanf(given, "%ld %d %4095[^\n]", &point, &what, folder) == 3)
    fault_arm(folder, point, what, -1);
}

void fault_disarm(void) { armed = 0; }

long fault_count(void) { return count; }

static void record(enum op op, const char *path, const char *other, off_t offset,
                   const void *data, size_t length) {
  if (trace < 0) return;
  uint64_t head[5] = {op, strlen(path), strlen(other), (uint64_t)offset, length};
  struct iovec parts[4] = {{head, sizeof head}, {(void *)path, strlen(path)},
                           {(void *)other, strlen(other)}, {(void *)data, length}};
  REAL(writev)(trace, parts, 4);
}

static int is_watched(const char *path) {
  return armed && strncmp(path, watched, watched_length) == 0 && path[watched_length] == '/';
}

static int path_of(int fd, char *path) {
  char link[64];
  if (!armed) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, PATH_MAX - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return is_watched(path) || strcmp(path, watched) == 0;
}

static int named(int folder, const char *name, char *path) {
  if (!armed || name == NULL) return 0;
  if (name[0] == '/') {
    snprintf(path, PATH_MAX, "%s", name);
  } else {
    char base[PATH_MAX];
    if (folder == AT_FDCWD) {
      if (getcwd(base, sizeof base) == NULL) return 0;
    } else {
      char link[64];
      snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
      ssize_t length = readlink(link, base, PATH_MAX - 1);
      if (length < 0) return 0;
      base[length] = 0;
    }
    if (snprintf(path, PATH_MAX, "%s/%s", base, name) >= PATH_MAX) return 0;
  }
  return is_watched(path);
}

static void die(void) {
  kill(getpid(), SIGKILL);
  for (;;) pause();
}

/* Count one point; answers 0 or the errno that is due. `*half`: a write goes through by half. */
static int fault_here(enum op op, int *half) {
  pthread_mutex_lock(&lock);
  long here = ++count;
  pthread_mutex_unlock(&lock);
  *half = 0;
  if (at == 0 || here < at) return 0;
  if (here > at) {
    int grows = op == WRITE || op == CREATE || op == TRUNCATE || op == MKDIR;
    return full && grows ? ENOSPC : 0;
  }
  switch (kind) {
    case EIO_ONCE: return EIO;
    case FULL: full = 1; *half = op == WRITE; return *half ? 0 : ENOSPC;
    case TORN: *half = op == WRITE; break;
    case KILL: break;
    default: return 0;
  }
  if (!*half) die(); /* what is no write is whole or not there */
  return 0;
}

/* Give the length of which a write may go through; -1: none, errno is set. */
static ssize_t allowed(int fd, char *path, size_t length, int *half) {
  *half = 0;
  if (!path_of(fd, path)) return -2;
  int fault = fault_here(WRITE, half);
  if (fault) {
    errno = fault;
    return -1;
  }
  return *half ? (ssize_t)(length / 2) : (ssize_t)length;
}

static ssize_t written(const char *path, off_t offset, const void *data, ssize_t done, int half) {
  if (done > 0) record(WRITE, path, "", offset, data, (size_t)done);
  if (half && kind == TORN) die();
  if (half && done == 0) {
    errno = ENOSPC;
    return -1;
  }
  return done;
}

static off_t place(int fd) {
  if (fcntl(fd, F_GETFL) & O_APPEND) {
    struct stat found;
    return fstat(fd, &found) ? 0 : found.st_size;
  }
  return lseek(fd, 0, SEEK_CUR);
}

ssize_t write(int fd, const void *data, size_t length) {
  char path[PATH_MAX];
  int half, before = errno;
  if (armed && fd == STDOUT_FILENO) record(SAID, "", "", 0, data, length);
  ssize_t may = allowed(fd, path, length, &half);
  if (may == -1) return -1;
  errno = before;
  if (may == -2) return REAL(write)(fd, data, length);
  off_t offset = place(fd);
  return written(path, offset, data, REAL(write)(fd, data, (size_t)may), half);
}

ssize_t pwrite64(int fd, const void *data, size_t length, off_t offset) {
  char path[PATH_MAX];
  int half, before = errno;
  ssize_t may = allowed(fd, path, length, &half);
  if (may == -1) return -1;
  errno = before;
  if (may == -2) return REAL(pwrite64)(fd, data, length, offset);
  return written(path, offset, data, REAL(pwrite64)(fd, data, (size_t)may, offset), half);
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) {
  return pwrite64(fd, data, length, offset);
}

ssize_t writev(int fd, const struct iovec *parts, int number) {
  char path[PATH_MAX];
  if (!path_of(fd, path)) return REAL(writev)(fd, parts, number);
  ssize_t done = 0;
  for (int i = 0; i < number; i++) {
    ssize_t now = write(fd, parts[i].iov_base, parts[i].iov_len);
    if (now < 0) return done ? done : now;
    done += now;
    if ((size_t)now < parts[i].iov_len) break;
  }
  return done;
}

#define POINT(op, found, call, path, other, offset)   \
  do {                                                \
    int half, before = errno;                         \
    if (!(found)) return call;                        \
    int fault = fault_here(op, &half);                \
    if (fault) {                                      \
      errno = fault;                                  \
      return -1;                                      \
    }                                                 \
    errno = before;                                   \
    int done = call;                                  \
    if (done == 0) record(op, path, other, offset, "", 0); \
    return done;                                      \
  } while (0)

int fsync(int fd) {
  char path[PATH_MAX];
  POINT(SYNC, path_of(fd, path), REAL(fsync)(fd), path, "", 0);
}

int fdatasync(int fd) {
  char path[PATH_MAX];
  POINT(SYNC, path_of(fd, path), REAL(fdatasync)(fd), path, "", 0);
}

int ftruncate64(int fd, off_t length) {
  char path[PATH_MAX];
  POINT(TRUNCATE, path_of(fd, path), REAL(ftruncate64)(fd, length), path, "", length);
}

int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

int renameat(int from, const char *old, int to, const char *new) {
  char path[PATH_MAX], other[PATH_MAX];
  int found = named(from, old, path) & named(to, new, other);
  POINT(RENAME, found, REAL(renameat)(from, old, to, new), path, other, 0);
}

int rename(const char *old, const char *new) { return renameat(AT_FDCWD, old, AT_FDCWD, new); }

int unlinkat(int folder, const char *name, int flags) {
  char path[PATH_MAX];
  enum op op = flags & AT_REMOVEDIR ? RMDIR : UNLINK;
  int found = named(folder, name, path) && faccessat(folder, name, F_OK, 0) == 0;
  POINT(op, found, REAL(unlinkat)(folder, name, flags), path, "", 0);
}

int unlink(const char *name) { return unlinkat(AT_FDCWD, name, 0); }

int rmdir(const char *name) { return unlinkat(AT_FDCWD, name, AT_REMOVEDIR); }

int mkdirat(int folder, const char *name, mode_t mode) {
  char path[PATH_MAX];
  int found = named(folder, name, path) && faccessat(folder, name, F_OK, 0) != 0;
  POINT(MKDIR, found, REAL(mkdirat)(folder, name, mode), path, "", 0);
}

int mkdir(const char *name, mode_t mode) { return mkdirat(AT_FDCWD, name, mode); }

static int opened(int folder, const char *name, int flags, mode_t mode) {
  char path[PATH_MAX];
  struct stat there;
  int half, before = errno;
  if (!(flags & (O_CREAT | O_TRUNC)) || !named(folder, name, path))
    return REAL(openat64)(folder, name, flags, mode);
  int exists = fstatat(folder, name, &there, 0) == 0;
  int shortens = exists && (flags & O_TRUNC) && there.st_size > 0;
  errno = before;
  if (exists && !shortens) return REAL(openat64)(folder, name, flags, mode);
  enum op op = exists ? TRUNCATE : CREATE;
  int fault = fault_here(op, &half);
  if (fault) {
    errno = fault;
    return -1;
  }
  int fd = REAL(openat64)(folder, name, flags, mode);
  if (fd >= 0) record(op, path, "", 0, "", 0);
  return fd;
}

#define MODE(flags)                                   \
  mode_t mode = 0;                                    \
  if ((flags) & (O_CREAT | O_TMPFILE)) {              \
    va_list rest;                                     \
    va_start(rest, flags);                            \
    mode = va_arg(rest, mode_t);                      \
    va_end(rest);                                     \
  }

int open64(const char *name, int flags, ...) {
  MODE(flags);
  return opened(AT_FDCWD, name, flags, mode);
}

int open(const char *name, int flags, ...) {
  MODE(flags);
  return opened(AT_FDCWD, name, flags, mode);
}

int openat64(int folder, const char *name, int flags, ...) {
  MODE(flags);
  return opened(folder, name, flags, mode);
}

int openat(int folder, const char *name, int flags, ...) {
  MODE(flags);
  return opened(folder, name, flags, mode);
}
