/*
 * files.c - rill_route_files: a folder as a part of the hub's paths.
 *
 * A path is decoded once, then walked segment by segment from the folder's
 * descriptor with openat(2).  No segment may begin with a dot, hold a slash
 * or a control byte, or be a symbolic link; so there is no way out of the
 * folder, whatever the encoding, and none that a rename could open.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rill/epoll.h>

#define FILE_MAX ((off_t)16 * 1024 * 1024)
#define PATH_BYTES 1024

typedef struct folder {
  int fd;
  size_t prefix; /* length of the route's path */
  char pattern[];
} folder;

static const struct {
  const char *suffix, *type;
} types[] = {
    {"html", "text/html; charset=utf-8"},
    {"htm", "text/html; charset=utf-8"},
    {"css", "text/css; charset=utf-8"},
    {"js", "text/javascript; charset=utf-8"},
    {"mjs", "text/javascript; charset=utf-8"},
    {"json", "application/json"},
    {"map", "application/json"},
    {"webmanifest", "application/manifest+json"},
    {"txt", "text/plain; charset=utf-8"},
    {"md", "text/markdown; charset=utf-8"},
    {"csv", "text/csv; charset=utf-8"},
    {"xml", "application/xml"},
    {"svg", "image/svg+xml"},
    {"png", "image/png"},
    {"jpg", "image/jpeg"},
    {"jpeg", "image/jpeg"},
    {"gif", "image/gif"},
    {"webp", "image/webp"},
    {"avif", "image/avif"},
    {"ico", "image/x-icon"},
    {"woff", "font/woff"},
    {"woff2", "font/woff2"},
    {"ttf", "font/ttf"},
    {"otf", "font/otf"},
    {"mp3", "audio/mpeg"},
    {"ogg", "audio/ogg"},
    {"wav", "audio/wav"},
    {"mp4", "video/mp4"},
    {"webm", "video/webm"},
    {"pdf", "application/pdf"},
    {"wasm", "application/wasm"},
    {"zip", "application/zip"},
};

static char lower(char c) {
  return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool same_word(const char *text, const char *word) {
  while (*text != '\0' && lower(*text) == *word) {
    text++;
    word++;
  }
  return *text == *word;
}

static const char *type_of(const char *name) {
  const char *dot = strrchr(name, '.');

  if (dot != NULL)
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
      if (same_word(dot + 1, types[i].suffix))
        return types[i].type;
  return "application/octet-stream";
}

static int hex(char c) {
  if (c >= '0' && c <= '9')
    return c - '0';
  c = lower(c);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A slash that was encoded is part of a name, and no name has one. */
static bool decode(rill_str in, char out[PATH_BYTES]) {
  size_t len = 0;

  for (size_t i = 0; i < in.len; i++) {
    int c = (unsigned char)in.ptr[i];
    if (c == '%') {
      int high = i + 2 < in.len ? hex(in.ptr[i + 1]) : -1;
      int low = high >= 0 ? hex(in.ptr[i + 2]) : -1;
      if (low < 0)
        return false;
      c = high * 16 + low;
      if (c == '/')
        return false;
      i += 2;
    }
    if (c < ' ' || c == 127 || len + 1 >= PATH_BYTES)
      return false;
    out[len++] = (char)c;
  }
  out[len] = '\0';
  return true;
}

/* Opens |name| in |dir| and closes |dir|.  -1 where there is none. */
static int step(int dir, const char *name) {
  int fd = -1;

  if (dir >= 0 && name[0] != '\0' && name[0] != '.')
    fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (dir >= 0)
    close(dir);
  return fd;
}

/* The file or folder at |path| (cut up); an empty last segment is itself. */
static int walk(int root, char *path) {
  int fd = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  char *slash;

  for (; (slash = strchr(path, '/')) != NULL; path = slash + 1) {
    *slash = '\0';
    fd = step(fd, path);
  }
  return *path == '\0' ? fd : step(fd, path);
}

static int not_found(rill_request *req) {
  return rill_reject(req, 404, "not found");
}

/* Links of the page are relative to its folder, so its path needs the "/". */
static int redirect(rill_request *req) {
  rill_str path = rill_request_path(req);
  char to[PATH_BYTES + 2];
  const rill_header location = {"Location", to};
  const rill_response moved = {
      .status = 308, .headers = &location, .nheaders = 1};

  if (path.len > PATH_BYTES)
    return not_found(req);
  memcpy(to, path.ptr, path.len);
  memcpy(to + path.len, "/", 2);
  return rill_respond(req, &moved);
}

/* Does the list |field| of If-None-Match name |etag|?  RFC 9110, 13.1.2. */
static bool names_etag(rill_str field, const char *etag) {
  size_t len = strlen(etag), at = 0;

  while (at < field.len) {
    const char *tag = field.ptr + at;
    const char *comma = memchr(tag, ',', field.len - at);
    size_t n = comma == NULL ? field.len - at : (size_t)(comma - tag);

    at += n + 1;
    for (; n > 0 && (*tag == ' ' || *tag == '\t'); n--)
      tag++;
    while (n > 0 && (tag[n - 1] == ' ' || tag[n - 1] == '\t'))
      n--;
    if (n > 2 && tag[0] == 'W' && tag[1] == '/') {
      tag += 2;
      n -= 2;
    }
    if ((n == 1 && *tag == '*') || (n == len && memcmp(tag, etag, n) == 0))
      return true;
  }
  return false;
}

/* Up to |size| bytes: a file that grows meanwhile is not followed. */
static char *read_all(int fd, size_t size, size_t *len) {
  char *data = malloc(size + 1);

  *len = 0;
  while (data != NULL && *len < size) {
    ssize_t n = read(fd, data + *len, size - *len);
    if (n == 0)
      break;
    if (n < 0 && errno != EINTR) {
      free(data);
      return NULL;
    }
    if (n > 0)
      *len += (size_t)n;
  }
  return data;
}

static int respond(rill_request *req, int fd, const struct stat *st,
                   const char *name) {
  char etag[64];
  const rill_header headers[] = {{"ETag", etag},
                                 {"Cache-Control", "no-cache"},
                                 {"X-Content-Type-Options", "nosniff"}};
  rill_response response = {.type = type_of(name),
                            .headers = headers,
                            .nheaders = sizeof headers / sizeof headers[0]};
  char *body = NULL;
  int rv;

  snprintf(etag, sizeof etag, "\"%llx-%llx-%llx\"",
           (unsigned long long)st->st_mtim.tv_sec * 1000000000ULL +
               (unsigned long long)st->st_mtim.tv_nsec,
           (unsigned long long)st->st_size, (unsigned long long)st->st_ino);
  if (names_etag(rill_request_header(req, "If-None-Match"), etag)) {
    response.status = 304;
  } else {
    body = read_all(fd, (size_t)st->st_size, &response.body_len);
    if (body == NULL)
      return RILL_ERR_IO;
    response.body = body;
  }
  rv = rill_respond(req, &response);
  free(body);
  return rv;
}

static int answer(rill_request *req, void *arg) {
  const folder *files = arg;
  rill_str path = rill_request_path(req);
  char name[PATH_BYTES];
  struct stat st;
  int fd, rv;

  if (path.len < files->prefix ||
      !decode((rill_str){.ptr = path.ptr + files->prefix,
                         .len = path.len - files->prefix},
              name))
    return not_found(req);
  fd = walk(files->fd, name);
  if (fd >= 0 && fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
    if (path.ptr[path.len - 1] != '/') {
      close(fd);
      return redirect(req);
    }
    memcpy(name, "index.html", sizeof "index.html");
    fd = step(fd, name);
  } else if (path.ptr[path.len - 1] == '/') {
    /* walk takes "file/" for "file"; it is no folder. */
    if (fd >= 0)
      close(fd);
    fd = -1;
  }
  if (fd < 0)
    return not_found(req);
  if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
    rv = not_found(req);
  else if (st.st_size > FILE_MAX)
    rv = rill_reject(req, 500, "file too big");
  else
    rv = respond(req, fd, &st, name);
  close(fd);
  return rv;
}

static void folder_free(void *arg) {
  folder *files = arg;

  if (files->fd >= 0)
    close(files->fd);
  free(files);
}

static folder *folder_new(const char *path, const char *dir) {
  size_t len = strlen(path);
  folder *files = malloc(sizeof *files + len + 2);

  if (files == NULL)
    return NULL;
  files->prefix = len;
  memcpy(files->pattern, path, len);
  memcpy(files->pattern + len, "*", 2);
  files->fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
  return files;
}

int rill_route_files(rill_hub *hub, const char *path, const char *dir) {
  size_t len = strlen(path);
  folder *files;
  int rv;

  if (len == 0 || path[0] != '/' || path[len - 1] != '/')
    return RILL_ERR_ARG;
  files = folder_new(path, dir);
  if (files == NULL)
    return RILL_ERR_NOMEM;
  rv = files->fd < 0 ? RILL_ERR_IO : rill_at_free(hub, folder_free, files);
  if (rv != 0) {
    int error = errno;
    folder_free(files);
    errno = error;
    return rv;
  }
  return rill_handle(hub, "GET", files->pattern, answer, files);
}
