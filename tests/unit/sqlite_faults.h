/*
 * sqlite_faults.h - a disk and a memory that fail when they are told to.
 *
 * The disk is a VFS over the system's, the default one from faults_begin on;
 * the memory stands between SQLite and malloc.
 */
#ifndef SQLITE_FAULTS_H
#define SQLITE_FAULTS_H

#include <sqlite3.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"

enum {
  FAULT_OPEN = 1,
  FAULT_READ = 2,
  FAULT_WRITE = 4,
  FAULT_SYNC = 8,
  FAULT_CUT = 16,
  FAULT_ANY = 31
};

/* Changed while the store sleeps. */
static struct faults {
  atomic_int what;     /* FAULT_*: the calls that are counted */
  atomic_int only_wal; /* those of the WAL */
  atomic_int at;       /* which of them fails, from 1; 0: none */
  atomic_int lasting;  /* and all after it */
  atomic_int code;     /* 0: the I/O error of the call */
  atomic_int calls, hits;
  atomic_llong room; /* bytes that the WAL may have; 0: any */
  atomic_int memory_at, memory_lasting, memory_calls, memory_hits;
} faults;

typedef struct fault_file {
  sqlite3_file base;
  int wal;
  sqlite3_file *real; /* behind this */
} fault_file;

static sqlite3_vfs *fault_real;

static inline int fault(int what, int wal, int error) {
  int n, at = faults.at;

  if ((faults.what & what) == 0 || (faults.only_wal && !wal))
    return SQLITE_OK;
  n = ++faults.calls;
  if (at == 0 || n < at || (n > at && !faults.lasting))
    return SQLITE_OK;
  faults.hits++;
  return faults.code != 0 ? faults.code : error;
}

static inline sqlite3_file *real_of(sqlite3_file *f) {
  return ((fault_file *)(void *)f)->real;
}
static inline int wal_of(sqlite3_file *f) {
  return ((fault_file *)(void *)f)->wal;
}

static int f_close(sqlite3_file *f) {
  return real_of(f)->pMethods->xClose(real_of(f));
}
static int f_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at) {
  int rc = fault(FAULT_READ, wal_of(f), SQLITE_IOERR_READ);
  return rc ? rc : real_of(f)->pMethods->xRead(real_of(f), p, n, at);
}
static int f_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at) {
  int rc = fault(FAULT_WRITE, wal_of(f), SQLITE_IOERR_WRITE);
  if (rc == 0 && faults.room > 0 && wal_of(f) && at + n > faults.room) {
    faults.hits++;
    rc = SQLITE_FULL;
  }
  return rc ? rc : real_of(f)->pMethods->xWrite(real_of(f), p, n, at);
}
static int f_cut(sqlite3_file *f, sqlite3_int64 size) {
  int rc = fault(FAULT_CUT, wal_of(f), SQLITE_IOERR_TRUNCATE);
  return rc ? rc : real_of(f)->pMethods->xTruncate(real_of(f), size);
}
/* No power is lost here, so nothing is gained by waiting for the disk. */
static int f_sync(sqlite3_file *f, int flags) {
  (void)flags;
  return fault(FAULT_SYNC, wal_of(f), SQLITE_IOERR_FSYNC);
}
static int f_size(sqlite3_file *f, sqlite3_int64 *size) {
  return real_of(f)->pMethods->xFileSize(real_of(f), size);
}
static int f_lock(sqlite3_file *f, int how) {
  return real_of(f)->pMethods->xLock(real_of(f), how);
}
static int f_unlock(sqlite3_file *f, int how) {
  return real_of(f)->pMethods->xUnlock(real_of(f), how);
}
static int f_reserved(sqlite3_file *f, int *out) {
  return real_of(f)->pMethods->xCheckReservedLock(real_of(f), out);
}
static int f_control(sqlite3_file *f, int op, void *arg) {
  return real_of(f)->pMethods->xFileControl(real_of(f), op, arg);
}
static int f_sector(sqlite3_file *f) {
  return real_of(f)->pMethods->xSectorSize(real_of(f));
}
static int f_device(sqlite3_file *f) {
  return real_of(f)->pMethods->xDeviceCharacteristics(real_of(f));
}

/* Version 1: without shared memory the WAL works in exclusive mode alone. */
static const sqlite3_io_methods fault_methods = {
    .iVersion = 1,
    .xClose = f_close,
    .xRead = f_read,
    .xWrite = f_write,
    .xTruncate = f_cut,
    .xSync = f_sync,
    .xFileSize = f_size,
    .xLock = f_lock,
    .xUnlock = f_unlock,
    .xCheckReservedLock = f_reserved,
    .xFileControl = f_control,
    .xSectorSize = f_sector,
    .xDeviceCharacteristics = f_device};

static int fault_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file,
                      int flags, int *out) {
  fault_file *f = (fault_file *)(void *)file;
  int rc;

  (void)vfs;
  f->base.pMethods = NULL;
  f->wal = (flags & SQLITE_OPEN_WAL) != 0;
  f->real = (sqlite3_file *)(void *)(f + 1);
  rc = fault(FAULT_OPEN, f->wal, SQLITE_CANTOPEN);
  if (rc == SQLITE_OK)
    rc = fault_real->xOpen(fault_real, name, f->real, flags, out);
  if (rc == SQLITE_OK)
    f->base.pMethods = &fault_methods;
  return rc;
}

typedef struct memory_head {
  long long size, pad;
} memory_head;

static int memory_fails(void) {
  int n = ++faults.memory_calls, at = faults.memory_at;

  if (at == 0 || n < at || (n > at && !faults.memory_lasting))
    return 0;
  faults.memory_hits++;
  return 1;
}
static void *memory_get(int size) {
  memory_head *h = memory_fails() ? NULL : malloc(sizeof *h + (size_t)size);
  if (h == NULL)
    return NULL;
  h->size = size;
  return h + 1;
}
static void memory_free(void *p) {
  free(p != NULL ? (memory_head *)p - 1 : NULL);
}
static void *memory_again(void *p, int size) {
  memory_head *h = (memory_head *)p - 1;
  if (memory_fails() || (h = realloc(h, sizeof *h + (size_t)size)) == NULL)
    return NULL;
  h->size = size;
  return h + 1;
}
static int memory_size(void *p) {
  return p != NULL ? (int)((memory_head *)p - 1)->size : 0;
}
static int memory_round(int size) {
  return (size + 7) & ~7;
}
static int memory_init(void *arg) {
  (void)arg;
  return SQLITE_OK;
}
static void memory_shutdown(void *arg) {
  (void)arg;
}

static inline void faults_begin(void) {
  static sqlite3_vfs vfs;
  static sqlite3_mem_methods memory = {
      memory_get,   memory_free, memory_again,    memory_size,
      memory_round, memory_init, memory_shutdown, NULL};

  MUST(sqlite3_config(SQLITE_CONFIG_MALLOC, &memory) == SQLITE_OK);
  fault_real = sqlite3_vfs_find(NULL);
  vfs = *fault_real;
  vfs.zName = "fault";
  vfs.xOpen = fault_open;
  vfs.szOsFile += (int)sizeof(fault_file);
  MUST(sqlite3_vfs_register(&vfs, 1) == SQLITE_OK);
}

static inline void faults_none(void) {
  faults.at = faults.memory_at = 0;
  faults.room = 0;
  faults.lasting = faults.memory_lasting = faults.only_wal = faults.code = 0;
  faults.calls = faults.hits = faults.memory_calls = faults.memory_hits = 0;
}

/* The |at|th of the calls |what| fails; |lasting|: and all that follow. */
static inline void faults_set(int what, int at, int lasting, int code) {
  faults_none();
  faults.what = what;
  faults.lasting = lasting;
  faults.code = code;
  faults.at = at;
}

#endif
