/*
 * words.h - what may be the name of somebody or something in chat.c, and
 * what may be said.  Lengths are in bytes of UTF-8, which rill has checked.
 */
#ifndef WORDS_H
#define WORDS_H

#include <ctype.h>

#include <rill/base.h>

enum { WORD_BYTES = 32, TEXT_BYTES = 4000 };

/*
 * A word is made of letters, digits, "-", "_", "." and what other scripts
 * have, but of nothing that cannot be seen: |unseen| begins the UTF-8 of
 * control codes, spaces, and marks that turn the direction of writing.
 */
static inline bool is_word(rill_str word) {
  static const char *const unseen[] = {"\xc2",         "\xe2\x80",
                                       "\xe2\x81",     "\xe3\x80\x80",
                                       "\xef\xbb\xbf", "\xf3\xa0"};
  rill_str rest;
  size_t k;

  for (rest = word; rest.len > 0; rest.ptr++, rest.len--) {
    unsigned char c = (unsigned char)rest.ptr[0];

    if (c < 0x80 && !isalnum(c) && c != '-' && c != '_' && c != '.')
      return false;
    for (k = 0; k < sizeof(unseen) / sizeof(unseen[0]); k++)
      if (rill_str_starts(rest, unseen[k]))
        return false;
  }
  return word.len > 0 && word.len <= WORD_BYTES;
}

/* Text may have line breaks and tabs, and no other control codes. */
static inline bool is_text(rill_str text) {
  size_t i;

  for (i = 0; i < text.len; i++)
    if (iscntrl((unsigned char)text.ptr[i]) && text.ptr[i] != '\n' &&
        text.ptr[i] != '\t')
      return false;
  return text.len > 0 && text.len <= TEXT_BYTES;
}

#endif
