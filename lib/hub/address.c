#include "hub/address.h"

#include "base/ip.h"
#include "base/map.h"

struct rill__address {
  UT_hash_handle hh;
  rill__ip key; /* an IPv6 address's /64 */
  rill__link idle;
  rill_time bucket;
  uint32_t conns;
  uint32_t text_len;
  char text[];
};

static void record_free(rill_hub *hub, rill__address *a) {
  const rill__alloc *map_alloc = &hub->alloc;

  HASH_DEL(hub->addresses, a);
  rill__list_remove(&a->idle);
  rill__free(&hub->alloc, a, sizeof *a + a->text_len);
}

/*
 * Records without conns are kept until their bucket is empty.  Two are
 * looked at for each that comes, so their number stays that of the
 * addresses seen within burst / per_sec seconds.
 */
static void expire(rill_hub *hub) {
  for (int i = 0; i < 2 && !rill__list_empty(&hub->idle_addresses); i++) {
    rill__address *a =
        RILL__CONTAINER(hub->idle_addresses.next, rill__address, idle);
    if (a->bucket > hub->now)
      break;
    record_free(hub, a);
  }
}

static rill__address *record_of(rill_hub *hub, const rill__ip *ip,
                                rill_str text) {
  const rill__alloc *map_alloc = &hub->alloc;
  bool map_failed = false;
  rill__ip key = *ip;
  rill__address *a;
  unsigned hash;

  if (!rill__ip_is_v4(ip))
    memset(key.b + 8, 0, 8);
  hash = (unsigned)rill__hub_hash(
      hub, (rill_str){(const char *)key.b, sizeof key.b});
  HASH_FIND_BYHASHVALUE(hh, hub->addresses, key.b, sizeof key.b, hash, a);
  if (a != NULL)
    return a;
  a = rill__calloc(&hub->alloc, sizeof *a + text.len);
  if (a == NULL)
    return NULL;
  a->key = key;
  a->text_len = (uint32_t)text.len;
  memcpy(a->text, text.ptr, text.len);
  rill__list_init(&a->idle);
  HASH_ADD_BYHASHVALUE(hh, hub->addresses, key, sizeof a->key, hash, a);
  if (map_failed) {
    rill__free(&hub->alloc, a, sizeof *a + a->text_len);
    return NULL;
  }
  return a;
}

bool rill__address_trusted(const rill_hub *hub, rill_str address) {
  rill__ip ip;
  rill__net net;
  bool is_ip = rill__ip_parse(address, &ip);

  for (size_t i = 0; i < hub->config.nproxies; i++) {
    rill_str proxy = rill_s(hub->config.proxies[i]);
    if (!is_ip && rill_str_eq(proxy, address))
      return true;
    if (is_ip && rill__net_parse(proxy, &net) && rill__net_has(&net, &ip))
      return true;
  }
  return false;
}

int rill__address_enter(rill_conn *c, rill_str text) {
  rill_hub *hub = c->hub;
  const rill_limits *l = &hub->config.limits;
  rill__address *a;
  rill__ip ip;

  expire(hub);
  if (!rill__ip_parse(text, &ip)) { /* a Unix socket: no address, no limit */
    rill__conn_extra *x = rill_str_eq(text, rill_s("unix")) || text.len == 0
                              ? NULL
                              : rill__conn_extra_of(c);
    if (x != NULL)
      rill__bytes_add(&x->address, text.ptr, text.len);
    return 0;
  }
  a = record_of(hub, &ip, text);
  if (a == NULL)
    return -1;
  c->address = a;
  a->conns++;
  rill__list_remove(&a->idle);
  if (!rill_str_eq(text, (rill_str){a->text, a->text_len})) {
    rill__conn_extra *x = rill__conn_extra_of(c);
    if (x == NULL)
      return -1;
    rill__bytes_add(&x->address, text.ptr, text.len);
    if (x->address.failed)
      return -1;
  }
  if (rill__address_trusted(hub, text))
    return 0; /* it brings the conns of many */
  if (a->conns > l->conns_per_address) {
    hub->metrics.limit_conns_per_address++;
    return 429;
  }
  if (!rill__bucket_take(&a->bucket, hub->now, hub->rate.address_accepts, 1)) {
    hub->metrics.limit_address_accepts_per_sec++;
    return 429;
  }
  return 0;
}

bool rill__address_share(rill_conn *c, const rill_conn *like, rill_str text) {
  rill__conn_extra *x;

  c->address = like->address;
  if (c->address != NULL)
    c->address->conns++;
  if (rill_str_eq(text, rill__address_text(c)))
    return true;
  x = rill__conn_extra_of(c);
  if (x == NULL)
    return false;
  rill__bytes_add(&x->address, text.ptr, text.len);
  return !x->address.failed;
}

void rill__address_leave(rill_conn *c) {
  rill__address *a = c->address;

  c->address = NULL;
  if (a == NULL || --a->conns > 0)
    return;
  if (a->bucket <= c->hub->now)
    record_free(c->hub, a);
  else
    rill__list_push(&c->hub->idle_addresses, &a->idle);
}

rill_str rill__address_text(const rill_conn *c) {
  if (c->extra != NULL && c->extra->address.len > 0)
    return (rill_str){(const char *)c->extra->address.data,
                      c->extra->address.len};
  if (c->address != NULL)
    return (rill_str){c->address->text, c->address->text_len};
  return rill_s("unix");
}

void rill__addresses_free(rill_hub *hub) {
  while (!rill__list_empty(&hub->idle_addresses))
    record_free(hub,
                RILL__CONTAINER(hub->idle_addresses.next, rill__address, idle));
}
